"""The inputs in a ``data:`` section's files: rows read without their truth."""

from typing import Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.inputs import normalise_input, read_inputs
from adapterhub_lite.data.reading import read_table
from adapterhub_lite.errors import RecipeError
from adapterhub_lite.recipes.data import DataSection
from adapterhub_lite.specs import RowKind

KEYS: Final = frozenset({"train", "text", "text2", "columns", "form", "format", "encoding"})
"""What of a data section says which inputs are read."""


def read_section_inputs(
    section: DataSection,
    catalogue: Catalogue,
    *,
    rows: RowKind,
    pairs: bool,
    where: str,
    reader: str,
) -> list[Any]:
    """Return the inputs in a section's training files, as a model of such rows is asked.

    ``where`` is the section's place in the recipe, ``reader`` who wants them ("a merge"). Raises
    RecipeError for a key that chooses anything else than inputs, DataError for files.
    """
    if odd := sorted(section.model_fields_set - KEYS):
        raise RecipeError(
            f"'{where}.{odd[0]}' means nothing here: {reader} reads inputs, and no labels",
            field=f"{where}.{odd[0]}",
            hint=f"leave it out; these count: {', '.join(sorted(KEYS))}",
        )
    given = {"text": section.text, "text2": section.text2}
    columns = section.columns | {role: name for role, name in given.items() if name is not None}
    items: list[Any] = []
    for file in section.training_files.values():
        table = read_table(file, catalogue, reader=section.format, encoding=section.encoding)
        found = read_inputs(table, rows, columns, pairs=pairs, form=section.form)
        items += [normalise_input(rows, item) for item in found.items]
    return items
