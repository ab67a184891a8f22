"""Reads mergekit's YAML, of mergekit-yaml and mergekit-multi, as a recipe of ours.

What is computed is what mergekit computes, but for what ``docs/merging.md`` lists.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from adapterhub_lite.errors import RecipeError
from adapterhub_lite.recipes.loading import validate
from adapterhub_lite.recipes.mergekit_methods import METHODS, Method, read_parameters
from adapterhub_lite.recipes.mergekit_output import read_dtype, read_tokenizer
from adapterhub_lite.recipes.mergekit_schema import MergekitRecipe, Model, Pieces, Slice, Source

ITS_KEYS: Final = frozenset({"merge_method", "base_model", "tokenizer_source", "out_dtype"})
"""Top-level keys that mergekit's files have, and ours have not."""
MODULES: Final = {"text_decoder": "language_model"}
"""What mergekit calls a module → what its tensors' names begin with, where that differs."""

Content = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def is_mergekit(values: Any) -> bool:
    """Say whether a recipe, or a list of documents, is written as mergekit asks."""
    if isinstance(values, Mapping):
        return bool(ITS_KEYS & values.keys())
    if isinstance(values, Sequence) and not isinstance(values, str):
        return any(map(is_mergekit, values))
    return False


def from_mergekit(values: Content) -> dict[str, Any]:
    """Return what is written for mergekit as our recipe's mapping.

    ``values`` is one document, or the several of mergekit-multi, of which all but one become
    stages. Raises RecipeError, naming the field, for a key that mergekit has not and for what
    cannot be done here.
    """
    if isinstance(values, Mapping):
        return _Reader(_document(values, ""), frozenset(), "").recipe()
    documents = [_document(document, f"{number}") for number, document in enumerate(values, 1)]
    last = _last(documents)
    names = frozenset(document.name for document in documents if document.name)
    stages = {
        str(document.name): _Reader(document, names, f"{document.name}.").stage()
        for document in documents
        if document is not last
    }
    return {**_Reader(last, names, "").recipe(), **({"stages": stages} if stages else {})}


def _document(values: Any, where: str) -> MergekitRecipe:
    if not isinstance(values, Mapping):
        raise RecipeError(f"document {where} is no mapping of keys to values", field=where)
    return validate(MergekitRecipe, _given(values), where=where)


def _given(values: Any) -> Any:
    """Leave out nulls, which are keys that are not given."""
    if isinstance(values, Mapping):
        return {key: _given(value) for key, value in values.items() if value is not None}
    return [_given(value) for value in values] if isinstance(values, list) else values


def _last(documents: Sequence[MergekitRecipe]) -> MergekitRecipe:
    """Return the merge that is asked for: the one without a name, or that no other uses."""
    names = [document.name for document in documents if document.name]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(f"two merges are named {twice[0]!r}", field="name")
    unnamed = [document for document in documents if not document.name]
    used = set().union(*(_references(document) for document in documents))
    asked = unnamed or [document for document in documents if document.name not in used]
    if len(asked) != 1:
        what = "have no name" if unnamed else "are not used by another"
        raise RecipeError(
            f"{len(asked)} merges {what}, and a recipe has one result",
            field="name",
            hint="name those that others use, and write a recipe for each result",
        )
    return asked[0]


def _references(document: MergekitRecipe) -> set[str]:
    """Return every model that a document names as an input."""
    found = {document.base_model.ref} if document.base_model else set()
    for pieces in [document, *document.modules.values()]:
        found |= {entry.model.ref for entry in pieces.models}
        for piece in pieces.slices:
            found |= {source.model.ref for source in piece.sources}
            found |= {piece.base_model.ref} if piece.base_model else set()
    return found


class _Reader:
    """Reads one document; ``stages`` are names that stand for merges, ``where`` is for errors."""

    def __init__(self, document: MergekitRecipe, stages: frozenset[str], where: str) -> None:
        self._document, self._stages, self._where = document, stages, where
        name = document.merge_method
        self._name = name
        self._method = METHODS.get(name, Method(strategy=name))
        self._base = document.base_model.ref if document.base_model else None

    def recipe(self) -> dict[str, Any]:
        """Return the document as a whole recipe."""
        document = self._document
        result = self._merged()
        if dtype := read_dtype(document):
            result["output"] = {"dtype": dtype}
        if tokenizer := read_tokenizer(document, self._model_base()):
            result["tokenizer"] = tokenizer
        if document.chat_template is not None:
            result["chat_template"] = document.chat_template
        return result

    def _model_base(self) -> str | None:
        """Return the base where our recipe names none: its strategy has a model of that name."""
        return self._base if self._method.base_is == "model" else None

    def stage(self) -> dict[str, Any]:
        """Return the document as a stage: its result is not rounded, and has no tokenizer."""
        tokenizer = read_tokenizer(self._document, None)
        if tokenizer not in (None, {"source": "base"}):
            field = f"{self._where}tokenizer"
            raise RecipeError(
                f"{field!r}: vocabularies are brought together in the last merge only", field=field
            )
        if self._document.modules:
            field = f"{self._where}modules"
            raise RecipeError(f"{field!r}: only the last merge can have modules", field=field)
        return self._merged()

    def _merged(self) -> dict[str, Any]:
        document = self._document
        result: dict[str, Any] = {}
        if self._base is not None and self._method.base_is == "base":
            result["base"] = self._base
        modules = document.modules
        if not modules:
            return {**result, **self._pieces(document, {}, "")}
        if modules.keys() == {"default"}:
            above = self._parameters(document.parameters, "parameters")
            return {**result, **self._pieces(modules["default"], above, "modules.default.")}
        above = self._parameters(document.parameters, "parameters")
        result["modules"] = {
            MODULES.get(name, name): self._pieces(module, above, f"modules.{name}.")
            for name, module in modules.items()
        }
        return result

    def _pieces(self, pieces: Pieces, above: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return strategy and models, or slices; ``above`` are parameters that others win over."""
        own = self._parameters(pieces.parameters, f"{where}parameters")
        strategy = {"name": self._method.strategy, **self._method.added, **above, **own}
        result: dict[str, Any] = {"strategy": strategy}
        if pieces.slices:
            result["slices"] = [
                self._slice(piece, f"{where}slices.{number}")
                for number, piece in enumerate(pieces.slices)
            ]
        else:
            result["models"] = self._models(pieces.models, strategy, where)
        return result

    def _models(
        self, models: Sequence[Model], strategy: Mapping[str, Any], where: str
    ) -> list[dict[str, Any]]:
        kept = [
            {**self._input(model.model.ref), **self._own(model, f"{where}models.{number}")}
            for number, model in enumerate(models)
            if not self._is_base(model.model.ref, self._base)
        ]
        if self._adds_base(models):
            assert self._base is not None, "a base is what is added"
            if "weight" in self._method.each and "weight" not in strategy:
                raise RecipeError(
                    f"{self._name} merges its base_model as one more model, and it has no weight",
                    field=f"{self._where}base_model",
                    hint="leave base_model out, or list it under models with a weight",
                )
            kept.append(self._input(self._base))
        self._require_models(kept, f"{where}models")
        return kept

    def _adds_base(self, models: Sequence[Model]) -> bool:
        """Say whether mergekit merges the base as one more model, which the file does not list."""
        if self._base is None or self._method.base_is == "base":
            return False
        return all(model.model.ref != self._base for model in models)

    def _slice(self, piece: Slice, where: str) -> dict[str, Any]:
        base = piece.base_model.ref if piece.base_model else self._base
        taken = [
            (number, source)
            for number, source in enumerate(piece.sources)
            if not self._is_base(source.model.ref, base)
        ]
        self._require_models(taken, f"{where}.sources")
        for source in piece.sources:
            if self._is_base(source.model.ref, base):
                self._require_same_layers(source, taken[0][1], where)
        result: dict[str, Any] = {
            "models": [
                {
                    **self._input(source.model.ref),
                    "layers": list(source.layer_range),
                    **self._own(source, f"{where}.sources.{number}"),
                }
                for number, source in taken
            ]
        }
        if piece.base_model and self._method.base_is == "base":
            result["base"] = piece.base_model.ref
        if params := self._parameters(piece.parameters, f"{where}.parameters"):
            result["params"] = params
        return result

    def _require_models(self, kept: Sequence[Any], where: str) -> None:
        if not kept:
            field = f"{self._where}{where}"
            raise RecipeError(f"{field!r}: nothing is merged with the base", field=field)

    def _require_same_layers(self, base: Source, other: Source, where: str) -> None:
        if base.layer_range == other.layer_range:
            return
        field = f"{self._where}{where}.sources"
        raise RecipeError(
            f"{field!r}: the base's layers {list(base.layer_range)} are not those of "
            f"{other.model.ref}, {list(other.layer_range)}",
            field=field,
            hint="differences from a base are taken layer by layer: give both the same layer_range",
        )

    def _is_base(self, ref: str, base: str | None) -> bool:
        return ref == base and self._method.base_is == "base"

    def _input(self, ref: str) -> dict[str, Any]:
        return {"stage": ref} if ref in self._stages else {"ref": ref}

    def _own(self, entry: Model | Source, where: str) -> dict[str, Any]:
        return self._parameters(entry.parameters, f"{where}.parameters", of_model=True)

    def _parameters(
        self, given: Mapping[str, Any], where: str, *, of_model: bool = False
    ) -> dict[str, Any]:
        return read_parameters(given, self._name, of_model=of_model, where=f"{self._where}{where}")
