"""The root of the project's exception tree, and the registry's branch of it.

The registry imports nothing of the core, so the root lives here; the whole tree is drawn in
:mod:`adapterhub_lite.errors`.
"""


class AdapterHubError(Exception):
    """Any error that the project raises on purpose: one line of what, and a hint of the way out.

    ``exit_code`` is what the command line exits with: 2 for a user's mistake, 1 for a failure.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RegistryError(AdapterHubError):
    """Something about the registry or an artifact in it."""


class InvalidNameError(RegistryError):
    """A name, alias or reference breaks the naming rule."""

    exit_code = 2


class NotFoundError(RegistryError):
    """No such name, version, alias or registry."""

    exit_code = 2


class InUseError(RegistryError):
    """A version cannot be removed, because an alias or a child needs it."""

    exit_code = 2


class AliasConflictError(RegistryError):
    """The alias no longer points where the caller expected: somebody else moved it."""


class IntegrityError(RegistryError):
    """Stored bytes do not match their digest, or a manifest does not parse."""


class SignatureError(RegistryError):
    """No signature by somebody who is trusted, or no way to tell."""


class InvalidManifestError(RegistryError):
    """A manifest that a caller wants to publish breaks the schema."""

    exit_code = 2


class StorageError(RegistryError):
    """The disk refused: no permission, no space, or an I/O error.

    It exits with 2, since only the user can free space or give permission.
    """

    exit_code = 2


class InvalidQueryError(RegistryError):
    """A search cannot be understood: a malformed condition, or a metric that nothing has."""

    exit_code = 2
