"""Whether there is room for more bytes: on the disk, and within the quota."""

import logging

from adapterhub_lite_registry.config import ConfigStore
from adapterhub_lite_registry.errors import StorageError
from adapterhub_lite_registry.io import FileIO
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.walk import stored

logger = logging.getLogger(__name__)

_HINT = "nothing was written; free some room (ahl rm NAME@N, then ahl gc), or choose another --home"


class Space:
    """Asked before a byte is written.

    What is used is counted afresh, one ``stat`` a file, and only where there is a quota. Two who
    publish at once may both find room, and pass the quota by what one of them brings.
    """

    def __init__(self, io: FileIO, layout: Layout) -> None:
        self._io = io
        self._layout = layout
        self._config = ConfigStore(io, layout)

    def used(self) -> int:
        """Return the bytes of all files of versions, needed or not."""
        return sum(
            self._io.stat(path).st_size for _, path, _ in stored(self._io, self._layout.blobs)
        )

    def check(self, needed: int, here: int = 0) -> None:
        """Refuse ``needed`` more bytes with a StorageError where there is no room for them.

        So many of them as ``here`` says are on the disk already, and count for the quota alone.
        Above the soft quota it only warns, on the logger of this module.
        """
        if reason := self._refusal(needed, here):
            raise StorageError(reason, hint=_HINT)
        soft = self._config.read().quota_soft
        if soft is not None and (used := self.used() + needed) > soft:
            logger.warning(
                "warning: the registry comes to %s bytes; its soft quota is %s: see ahl gc --help",
                f"{used:,}",
                f"{soft:,}",
            )

    def has(self, needed: int, here: int = 0) -> bool:
        """Tell whether there is room, and warn of nothing."""
        return self._refusal(needed, here) is None

    def _refusal(self, needed: int, here: int) -> str | None:
        free = self._io.free(self._layout.home)
        if needed - here > free:
            place = self._layout.home
            return f"{needed:,} bytes are to be written and {free:,} are free at {place}"
        hard = self._config.read().quota_hard
        if hard is None or (used := self.used()) + needed <= hard:
            return None
        return f"{needed:,} bytes would exceed the quota of {hard:,}, of which {used:,} are used"
