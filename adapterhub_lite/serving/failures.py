"""From an exception to what a client is told: a status, and an error in OpenAI's shape."""

from dataclasses import dataclass
from typing import Final

from adapterhub_lite.errors import (
    AdapterHubError,
    BaseModelError,
    CapabilityError,
    IntegrityError,
    InvalidNameError,
    MissingDependencyError,
    NotFoundError,
    PluginError,
    StorageError,
    UnknownNameError,
    UserError,
)


class RefusedError(AdapterHubError):
    """A request that is not answered; ``code`` says why in a word, ``param`` which field it was.

    ``retry_after`` is the seconds after which the same request may be answered.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        param: str | None = None,
        retry_after: int | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after


class ClientGoneError(RefusedError):
    """The client closed the connection: nobody reads the answer, only the log does."""

    def __init__(self) -> None:
        super().__init__("the client closed the connection", status=499, code="client_gone")


@dataclass(frozen=True, slots=True)
class Failure:
    """What a client is told of an error."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after: int | None = None

    @property
    def kind(self) -> str:
        """The ``type`` of OpenAI's errors."""
        return _KINDS.get(self.status, "server_error" if self.status >= 500 else _INVALID)

    def body(self) -> dict[str, dict[str, str | None]]:
        """Return the response's body."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def headers(self) -> dict[str, str]:
        """Return the response's headers."""
        found = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return found | ({"www-authenticate": "Bearer"} if self.status == 401 else {})


_INVALID: Final = "invalid_request_error"
_KINDS: Final = {
    401: "authentication_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_BY_TYPE: Final[tuple[tuple[type[AdapterHubError], int, str], ...]] = (
    (NotFoundError, 404, "model_not_found"),
    (InvalidNameError, 404, "model_not_found"),
    (UnknownNameError, 404, "name_not_found"),
    (BaseModelError, 409, "base_model_mismatch"),
    (CapabilityError, 400, "not_supported"),
    (MissingDependencyError, 503, "library_missing"),
    (UserError, 400, "invalid_input"),
    (IntegrityError, 503, "version_damaged"),
    (StorageError, 503, "storage_unavailable"),
    (PluginError, 503, "plugin_failed"),
)
"""Kind of error → status and code; the first that fits."""


def failure_of(error: BaseException) -> Failure:
    """Return what a client is told; of an error that nobody raised on purpose, not a word more."""
    if isinstance(error, RefusedError):
        message = _line(error)
        return Failure(error.status, error.code, message, error.param, error.retry_after)
    for kind, status, code in _BY_TYPE:
        if isinstance(error, kind):
            return Failure(status, code, _line(error))
    return Failure(500, "internal_error", "the server failed; its log has the reason")


def _line(error: AdapterHubError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
