"""What a fusion is kept as: its members' files beside its own, and which they are."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from adapterhub_lite.errors import IntegrityError
from adapterhub_lite.plugins import one_line
from adapterhub_lite.tuners.files import CONFIG, WEIGHTS

FUSION_FILE: Final = "fusion.json"
MEMBERS: Final = "adapters"
"""The folder with the members' files, each in one of its number, from 0."""


@dataclass(frozen=True, slots=True)
class Fused:
    """The members' common method, and their names in the order in which they are weighed."""

    method: str
    adapters: Annotated[list[str], Field(min_length=2)]


_FUSED = TypeAdapter(Fused)


def write_members(folder: Path, method: str, members: Mapping[str, Path]) -> None:
    """Copy the files of adapters into a fusion's folder, and write down which they are."""
    for number, source in enumerate(members.values()):
        place = folder / MEMBERS / str(number)
        place.mkdir(parents=True)
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(source / name, place / name)
    said = {"method": method, "adapters": list(members)}
    text = json.dumps(said, indent=2, ensure_ascii=False) + "\n"
    (folder / FUSION_FILE).write_text(text, encoding="utf-8")


def read_members(folder: Path) -> tuple[str, dict[str, Path]]:
    """Return the members' method, and their folders by their names.

    Raises IntegrityError for a file that is absent or does not parse.
    """
    try:
        fused = _FUSED.validate_json((folder / FUSION_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(f"{FUSION_FILE} cannot be read: {one_line(error)}") from error
    if len(set(fused.adapters)) < len(fused.adapters):
        raise IntegrityError(f"{FUSION_FILE} names an adapter twice")
    places = (folder / MEMBERS / str(number) for number in range(len(fused.adapters)))
    return fused.method, dict(zip(fused.adapters, places, strict=True))
