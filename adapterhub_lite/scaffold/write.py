"""Writes a plugin's distribution from the templates: working code, with other names.

A template is a module that works as it stands, under the names ``my-plugin``, ``my_plugin`` and, of
what it offers, ``my-method`` and ``MyMethod``; so what is written has been run, typed and tested.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from adapterhub_lite.errors import UserError, nearest_name
from adapterhub_lite.scaffold.kinds import KINDS, PLUGIN_GROUP, Kind

NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
PLACES: Final[Mapping[str, str]] = {
    "gitignore": ".gitignore",
    "pyproject.txt": "pyproject.toml",
    "test.yml": ".github/workflows/test.yml",
}
"""Files of every distribution that lie elsewhere, or under a name that tools would act upon."""


def write_plugin(name: str, kind: str, folder: Path) -> list[Path]:
    """Write a distribution called ``name`` into ``folder``, and return its files.

    What it offers has the same name. Raises UserError for a name that is no distribution's, a kind
    without a template, and a folder that has something in it.
    """
    template = _template(kind)
    _check_name(name)
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty", hint="name a folder that is new: --out FOLDER")
    names = _names(name, template)
    written = []
    for place, text in _texts(kind, template).items():
        file = folder / _renamed(place, names)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_renamed(text, names), encoding="utf-8")
        written.append(file)
    return sorted(written)


def _template(kind: str) -> Kind:
    if kind not in KINDS:
        near = nearest_name(kind, KINDS)
        raise UserError(
            f"there is no template of kind {kind!r}",
            hint=f"did you mean {near!r}?" if near else f"one of: {', '.join(KINDS)}",
        )
    return KINDS[kind]


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name for a plugin",
            hint="lower-case letters and digits in words joined by hyphens, like bias-tuning",
        )
    module = name.replace("-", "_")
    import keyword
    import sys

    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise UserError(f"{module!r} is a name of Python's own", hint=f"for example: ahl-{name}")


def _names(name: str, template: Kind) -> dict[str, str]:
    """Return what stands in the template → what is to stand there, longest first."""
    words = name.split("-")
    own = template.offer.split("-")
    offered = "".join(word.capitalize() for word in own)
    return {
        "my_plugin": "_".join(words),
        "my-plugin": name,
        offered: "".join(word.capitalize() for word in words),
        template.offer: name,
        "_".join(own): "_".join(words),
    }


def _texts(kind: str, template: Kind) -> dict[str, str]:
    """Return the distribution's files by place, under the template's names."""
    root = files("adapterhub_lite.scaffold") / "templates"
    own = _tree(root / kind, "")
    use = own.pop("use.md").strip()
    common = {
        PLACES.get(file.name, file.name): _filled(file.read_text(encoding="utf-8"), template, use)
        for file in (root / "common").iterdir()
    }
    return common | own


def _tree(folder: Traversable, start: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                found |= _tree(entry, f"{start}{entry.name}/")
        elif not entry.name.endswith(".pyc"):
            found[start + entry.name] = entry.read_text(encoding="utf-8")
    return found


def _filled(text: str, template: Kind, use: str) -> str:
    group = template.group if template.group == PLUGIN_GROUP else f'"{template.group}"'
    left = "my-plugin" if template.group == PLUGIN_GROUP else template.offer
    entry = f'[project.entry-points.{group}]\n{left} = "my_plugin{template.target}"'
    values = {"SUMMARY": template.summary, "USE": use, "ENTRY_POINTS": entry}
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _renamed(text: str, names: Mapping[str, str]) -> str:
    pattern = re.compile("|".join(map(re.escape, names)))
    return pattern.sub(lambda found: names[found[0]], text)
