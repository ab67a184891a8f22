"""What a registry is told to keep to: ``config.json`` in its home."""

from pydantic import Field, ValidationError

from adapterhub_lite_registry.errors import IntegrityError
from adapterhub_lite_registry.io import FileIO, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.manifest import Count, Many, Record, Text
from adapterhub_lite_registry.temporary import Workspace

_LIMIT = 1 << 20


class Config(Record):
    """Settings of one registry, for all who use it; sizes are in bytes.

    Above ``quota_soft`` a publish warns, above ``quota_hard`` it is refused. ``remotes`` are the
    addresses that a repair asks for bytes. With ``require_signature`` no version is used, and none
    taken in from elsewhere, that was not signed by one of ``trusted_keys``, public keys in PEM.
    """

    quota_soft: Count | None = None
    quota_hard: Count | None = None
    remotes: Many[Text] = Field(default=())
    require_signature: bool = False
    trusted_keys: Many[Text] = Field(default=())


class ConfigStore:
    """Reads and writes the settings."""

    def __init__(self, io: FileIO, layout: Layout) -> None:
        self._io = io
        self._layout = layout
        self._path = f"{layout.home}/config.json"

    def read(self) -> Config:
        """Return the settings; IntegrityError if they cannot be read."""
        try:
            return Config.model_validate_json(read_small(self._io, self._path, _LIMIT))
        except FileNotFoundError:
            return Config()
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "document"
            raise IntegrityError(
                f"{self._path} cannot be read: {field}: {first['msg']}",
                hint="mend the file, or remove it and use: ahl config",
            ) from error

    def write(self, config: Config) -> None:
        """Replace the settings, durably and in one step."""
        data = config.model_dump_json(indent=2, exclude_defaults=True).encode() + b"\n"
        with Workspace(self._io, self._layout.tmp) as work:
            self._io.rename(work.write(data), self._path)
        self._io.fsync_dir(self._layout.home)
