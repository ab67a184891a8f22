"""What members are to be asked, by examples: the recipe's files, else what they were trained on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.prepare import prepare
from adapterhub_lite.data.sections import read_section_inputs
from adapterhub_lite.errors import RecipeError, UserError
from adapterhub_lite.inference.interface import interface_of
from adapterhub_lite.inference.loading import is_path
from adapterhub_lite.protocols import Interface
from adapterhub_lite.recipes import ComposeRecipe, validate
from adapterhub_lite.recipes.data import REPLAY, DataSection

if TYPE_CHECKING:
    from adapterhub_lite.composition.plan import Found
    from adapterhub_lite_registry import Registry


@dataclass(frozen=True, slots=True)
class MemberExamples:
    """Inputs that are a member's own, and the files they stand in."""

    inputs: tuple[Any, ...]
    files: tuple[str, ...]

    def told(self) -> dict[str, Any]:
        """Return how many they are, their files, and the SHA-256 of their sorted JSON lines."""
        lines = sorted(map(json.dumps, self.inputs))
        digest = sha256("\n".join(lines).encode("ascii")).hexdigest()
        return {"rows": len(self.inputs), "files": list(self.files), "sha256": digest}


def read_examples(
    recipe: ComposeRecipe, found: "Sequence[Found]", catalogue: Catalogue, registry: "Registry"
) -> dict[str, MemberExamples]:
    """Return each member's examples by its name; no weight is loaded.

    Raises RecipeError for a member that has none, with the way out, DataError for files that
    cannot be read.
    """
    examples = {}
    for number, (one, place) in enumerate(zip(recipe.members, found, strict=True)):
        takes = interface_of(place.info, catalogue)
        where = f"members.{number}.examples"
        if one.examples is None:
            examples[place.name] = _trained_on(place, takes, catalogue, registry, where)
            continue
        inputs = read_section_inputs(
            one.examples,
            catalogue,
            rows=takes.rows,
            pairs=takes.pairs,
            where=where,
            reader="a composition",
        )
        files = tuple(one.examples.training_files.values())
        examples[place.name] = MemberExamples(tuple(inputs), files)
    return examples


def refuse_examples(recipe: ComposeRecipe, composition: str) -> None:
    """Raise RecipeError where a recipe has examples and nothing is learnt from them."""
    for number, one in enumerate(recipe.members):
        if one.examples is not None:
            raise RecipeError(
                f"{composition} learns nothing here, and {one.ref} has examples",
                field=f"members.{number}.examples",
                hint="leave them out, or take a composition that learns: {name: route, by: router}",
            )


def _trained_on(
    place: "Found", takes: Interface, catalogue: Catalogue, registry: "Registry", where: str
) -> MemberExamples:
    """Return what a version was trained on, if that is still what it was."""

    def refusal(reason: str) -> RecipeError:
        return RecipeError(
            f"{place.ref} has no examples: {reason}",
            field=where,
            hint=f"name a file of inputs: {{ref: {place.asked}, examples: rows.jsonl}}",
        )

    if is_path(place.ref):
        raise refusal("a folder does not say what it was trained on")
    manifest = registry.resolve(place.ref).manifest
    own = (manifest.recipe or {}).get("data")
    if not isinstance(own, Mapping) or manifest.dataset is None or not manifest.dataset.sha256:
        raise refusal("its version names no training rows")
    try:
        section = validate(DataSection, own, where="data")
        data = prepare(section, catalogue, rows=takes.rows, pairs=takes.pairs)
    except UserError as error:
        raise refusal(f"its training rows cannot be read: {error.message}") from error
    files = tuple(section.training_files.values())
    if data.fingerprints["train"] != manifest.dataset.sha256:
        raise refusal(f"its training rows have changed since: {', '.join(files)}")
    sources = data.sources or ("",) * len(data.train)
    kept = zip(data.train.inputs, sources, strict=True)
    return MemberExamples(tuple(asked for asked, source in kept if source != REPLAY), files)
