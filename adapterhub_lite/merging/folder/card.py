"""The model card of a merge: what it was made of, how, and how it is used."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.merging.folder.config import model_class
from adapterhub_lite.merging.folder.files import FolderFiles
from adapterhub_lite.merging.folder.tasks import MODULES_FILE
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.recipe_entries import Entry, entries_of
from adapterhub_lite.recipes.merge import MergeRecipe
from adapterhub_lite.reports.card import KINDS
from adapterhub_lite.reports.markdown import cell, code, longest_run
from adapterhub_lite.reports.metadata import front_matter, hub_model, license_of, task_of
from adapterhub_lite.reports.usage import EXAMPLES
from adapterhub_lite.specs import MergeSpec, RowKind
from adapterhub_lite.wording import counted

CARD: Final = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeCard:
    """What a card tells.

    ``values`` is the recipe as it was given, ``opened`` the models by what it calls them, ``base``
    the one that strategies took differences from; ``strategies`` are those that were applied.
    ``rows`` is what the task's objective reads, where the output has a task of ours.
    ``approximation`` says of an adapter how well it keeps the merged change.
    """

    recipe: MergeRecipe
    values: Mapping[str, Any]
    opened: Mapping[str, Opened]
    base: Opened | None
    strategies: Sequence[MergeSpec]
    files: FolderFiles
    rows: RowKind | None = None
    notices: Sequence[str] = ()
    approximation: str | None = None

    @property
    def name(self) -> str:
        """What the result is called."""
        return self.recipe.publish or f"merged-{self.recipe.output.kind}"


def write_card(folder: Path, card: MergeCard) -> None:
    """Write the card into a folder."""
    (folder / CARD).write_text(card_text(card), encoding="utf-8")


def card_text(card: MergeCard) -> str:
    """Return the card as Markdown, with the metadata that the hub reads."""
    parts = [
        front_matter(_metadata(card)),
        f"# {card.name}",
        _summary(card),
        _strategies(card.strategies),
        f"## Approximation\n\n{card.approximation}" if card.approximation else "",
        _models(card),
        _recipe(card.values),
        _usage(card),
        _notices(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metadata(card: MergeCard) -> dict[str, Any]:
    """Return what the hub reads; of the models only those that it has are named."""
    is_adapter = card.approximation is not None
    merged = [] if is_adapter else list(card.opened.values())
    bases = [*([card.base] if card.base else []), *merged]
    # the hub's cache names a folder by its commit
    found = [hub_model(model.ref, model.folder.name) for model in bases]
    named = list(dict.fromkeys(name for name in found if name is not None))
    relation = "adapter" if is_adapter else "merge"
    return {
        "library_name": "peft" if is_adapter else _library(card.files),
        **license_of(card.recipe.license),
        **({"pipeline_tag": task_of(card.files.info.task)} if card.files.info else {}),
        **({"base_model": named, "base_model_relation": relation} if named else {}),
        "tags": ["adapterhub-lite", "merge", *(spec.name for spec in card.strategies)],
    }


def _library(files: FolderFiles) -> str:
    """Return the library that loads the files as they are, by the hub's names."""
    if MODULES_FILE in files.copied:
        return "sentence-transformers"
    bare = model_class(files.config).endswith("Model")
    return "adapterhub-lite" if files.info and bare else "transformers"


def shown_name(model: Opened) -> str:
    """Return what a model is called in public: a version's full name, never a machine's path."""
    if model.version is not None:
        return str(model.version)
    path = Path(model.ref).expanduser()
    return path.resolve().name if path.is_absolute() or path.is_dir() else model.ref


def _summary(card: MergeCard) -> str:
    info = card.files.info
    what = KINDS[info.task] if info else "A model"
    if card.approximation is not None:
        what = f"A LoRA adapter: {what[0].lower()}{what[1:]}" if info else "A LoRA adapter"
    if info and info.head.labels:
        tags = "tags" if info.task == "token-classification" else "labels"
        what += f" with {len(info.head.labels)} {tags}"
    names = [spec.name for spec in card.strategies]
    how = f" by {_listed([_code(name) for name in names])}" if names else ""
    count = len({entry.name for entry in entries_of(card.recipe) if not entry.is_stage})
    models = counted(count, "model")
    base = f" on the base {_code(shown_name(card.base))}" if card.base else ""
    return f"{what}, merged from {models}{how}{base} with adapterhub-lite."


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _strategies(strategies: Sequence[MergeSpec]) -> str:
    if not strategies:
        return ""
    lines = ["## Strategy" if len(strategies) == 1 else "## Strategies", ""]
    for spec in strategies:
        paper = f" ([paper]({spec.paper}))" if spec.paper.startswith("https://") else ""
        lines.append(f"- {_code(spec.name)}: {spec.summary} {_code(spec.formula)}{paper}")
    return "\n".join(lines)


def _models(card: MergeCard) -> str:
    """Return the table of the models; a column that is empty throughout is left out."""
    rows = [_row(entry, card.opened.get(entry.name)) for entry in entries_of(card.recipe)]
    if card.base is not None:
        rows.insert(0, {**_of_model(card.base), "where": "base"})
    columns = {
        "model": "model",
        "where": "where",
        "params": "parameters",
        "licence": "licence",
        "digest": "version",
    }
    used = {key: title for key, title in columns.items() if any(row.get(key) for row in rows)}
    lines = [f"| {' | '.join(used.values())} |", f"|{'---|' * len(used)}"]
    lines += [f"| {' | '.join(row.get(key, '') for key in used)} |" for row in rows]
    return "\n".join(["## Models", "", *lines])


def _row(entry: Entry, model: Opened | None) -> dict[str, str]:
    told = {"where": _text(entry.where), "params": _params(entry.params)}
    if model is not None:
        return {**_of_model(model), **told}
    name = f"stage {entry.name}" if entry.is_stage else entry.name
    return {"model": _cell(name), **told}


def _of_model(model: Opened) -> dict[str, str]:
    told = {"model": _cell(shown_name(model))}
    if model.base is not None:
        told["model"] += f" on {_cell(shown_name(model.base))}"
    if model.version is not None:
        told["digest"] = _cell(model.version.digest)
        told["licence"] = _text(model.version.manifest.license or "")
    return told


def _params(params: Mapping[str, Any]) -> str:
    said = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in params.items())
    return ", ".join(_cell(one) for one in said)


def _recipe(values: Mapping[str, Any]) -> str:
    text = _yaml(dict(values))
    fence = "`" * max(3, longest_run(text) + 1)
    return f"## Recipe\n\n{fence}yaml\n{text}{fence}"


def _usage(card: MergeCard) -> str:
    if card.rows is None or card.files.info is None:
        return ""
    ours = f"adapterhub_lite.load({json.dumps(card.name)}).predict({EXAMPLES[card.rows]})"
    return f"## Use\n\n```python\nimport adapterhub_lite\n\n{ours}\n```"


def _notices(card: MergeCard) -> str:
    """Return what is to be known, with models called as in the table."""
    if not card.notices:
        return ""
    notices = "\n".join(f"- {_text(notice)}" for notice in card.notices)
    refs = {model.ref: shown_name(model) for model in card.opened.values()}
    for ref in sorted(refs, key=len, reverse=True):
        if Path(ref).is_absolute():
            notices = notices.replace(_text(ref), _text(refs[ref]))
    return f"## Notes\n\n{notices}"


def _yaml(values: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)


def _code(text: str) -> str:
    """Return text as Markdown code in one line."""
    return code(" ".join(text.split()))


def _cell(text: str) -> str:
    """Return text as code in one line of a table."""
    return cell(" ".join(text.split()))


def _text(text: str) -> str:
    """Return text whose marks are no markup, in one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
