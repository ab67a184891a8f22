"""The output's tokenizer, and where each model finds the rows of its tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from adapterhub_lite.errors import CapabilityError, MergeError
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.vocabulary.rows import TokenRows
from adapterhub_lite.merging.vocabulary.tokens import ModelTokens, find_tokens
from adapterhub_lite.merging.vocabulary.union import United, unite, with_tokens
from adapterhub_lite.recipes.merge import TokenizerSection
from adapterhub_lite.streaming.resized import RowMap, resized_sources
from adapterhub_lite.streaming.sources import Source

CHOOSE: Final = (
    "say which tokenizer the output gets: `tokenizer: base`, `union`, or a model's reference"
)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The output's tokens.

    ``models`` are all whose tensors are read, the base among them; ``tokens`` are their tokenizers,
    in the same order. ``chosen`` is the model whose tokenizer's files the output has, unless
    ``made`` is a tokenizer of several; it is None where no model has one. ``row_map`` is None where
    every row is at its place in every model already. ``notes`` are for the user.
    """

    models: Sequence[Opened]
    tokens: Sequence[ModelTokens | None]
    chosen: int | None
    made: United | None = None
    row_map: RowMap | None = None
    notes: Sequence[str] = ()

    @property
    def rows(self) -> int | None:
        """How many embeddings the output has; None where that is what the models have."""
        return self.row_map.rows if self.row_map else None

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """Every token of the output and its id; empty without a tokenizer."""
        if self.made is not None:
            return self.made.ids
        chosen = None if self.chosen is None else self.tokens[self.chosen]
        return {} if chosen is None else chosen.ids

    def resized(self, source: Source) -> Source:
        """Return a model in the output's vocabulary: the source itself where no row moves."""
        return self._resized.get(id(source), source)

    def new_id(self, model: Opened, number: int) -> int | None:
        """Return the id in the output of a model's token; None when the output lacks it."""
        mine = next((t for m, t in zip(self.models, self.tokens, strict=True) if m is model), None)
        if mine is None or not self.moves(mine):
            return number
        token = next((token for token, known in mine.ids.items() if known == number), None)
        return None if token is None else self.ids.get(token)

    def moves(self, tokens: ModelTokens) -> bool:
        """Say whether a tokenizer's tokens have other ids in the output, or are not in it."""
        chosen = None if self.chosen is None else self.tokens[self.chosen]
        if chosen is None or tokens.key == chosen.key:
            return False
        return any(self.ids.get(token) != number for token, number in tokens.ids.items())

    @cached_property
    def _resized(self) -> Mapping[int, Source]:
        if self.row_map is None:
            return {}
        sources = [model.source for model in self.models]
        resized = resized_sources(sources, self.row_map)
        return {id(source): new for source, new in zip(sources, resized, strict=True)}


def plan_vocabulary(
    models: Sequence[Opened], base: Opened | None, section: TokenizerSection | None
) -> Vocabulary:
    """Decide the output's tokenizer and the rows of its embeddings.

    Without a section it is the base's, or the first model's, and every model must have its tokens.
    Tokenizers that are the same in all cost a hash of their files. Raises CapabilityError or
    MergeError for vocabularies that do not fit, RecipeError for a section that names what is not
    there.
    """
    every = list(models)
    if base is not None and all(model is not base for model in every):
        every = [base, *every]
    first = next((number for number, model in enumerate(every) if model is base), 0)
    tokens = [_tokens_of(model) for model in every]
    if section is None:
        return _kept(every, tokens, first)
    return _as_asked(every, tokens, first, None if base is None else first, section)


def _tokens_of(model: Opened) -> ModelTokens | None:
    """Return a model's tokenizer; an adapter without one has its base's."""
    own = find_tokens(model.adapter, model.ref) if model.adapter else None
    return own or find_tokens(model.folder, model.ref)


def _kept(models: Sequence[Opened], tokens: Sequence[ModelTokens | None], first: int) -> Vocabulary:
    """Take the first one's tokenizer; every model has to have its tokens, at the same ids."""
    mine = tokens[first]
    if mine is None:
        return Vocabulary(models=models, tokens=tokens, chosen=None)
    notes = []
    for other in tokens:
        if other is None or other.key == mine.key:
            continue
        lacking = [token for token, number in mine.ids.items() if other.ids.get(token) != number]
        if lacking:
            what = "at another id" if lacking[0] in other.ids else "not at all"
            more = f", and so {len(lacking) - 1:,} more" if len(lacking) > 1 else ""
            raise MergeError(
                f"the vocabularies of {mine.label} and {other.label} differ: {other.label} has "
                f"{lacking[0]!r} {what}{more}",
                hint=CHOOSE,
            )
        if own := len(other.ids) - len(mine.ids):
            notes.append(f"{own:,} tokens of {other.label} are not in the output's tokenizer")
    return Vocabulary(models=models, tokens=tokens, chosen=first, notes=notes)


def _required(tokens: ModelTokens | None, model: Opened) -> ModelTokens:
    if tokens is None:
        raise CapabilityError(
            f"{model.ref} has no tokenizer, which a tokenizer section needs",
            hint="put its tokenizer.json into the folder, or leave the section out",
        )
    return tokens


def _as_asked(
    models: Sequence[Opened],
    maybe: Sequence[ModelTokens | None],
    first: int,
    base: int | None,
    section: TokenizerSection,
) -> Vocabulary:
    tokens = [_required(t, m) for t, m in zip(maybe, models, strict=True)]
    rows = TokenRows(models, tokens, base, section)
    named = section.source not in ("base", "union")
    chosen = rows.number_of(section.source, "tokenizer.source") if named else first
    made = _made(tokens, chosen, section)
    notes = made.notes if made else []
    if made is not None and not made.added and len(made.ids) == len(tokens[chosen].ids):
        made = None  # the chosen one has them all
    row_map = None
    if made is not None or not rows.already_at_place(chosen):
        row_map = rows.row_map(chosen, made.ids if made else tokens[chosen].ids)
    return Vocabulary(
        models=models,
        tokens=tokens,
        chosen=chosen,
        made=made,
        row_map=row_map,
        notes=[*notes, *rows.notes],
    )


def _made(tokens: Sequence[ModelTokens], chosen: int, section: TokenizerSection) -> United | None:
    """Return a tokenizer of several, or with more tokens; None where neither is asked for."""
    first = tokens[chosen]
    others = [other for number, other in enumerate(tokens) if number != chosen]
    lacking = [token for token in section.tokens if token not in first.ids]
    if section.source == "union" and any(other.key != first.key for other in others):
        return unite(first, others, list(section.tokens))
    return with_tokens(first, others, lacking) if lacking else None
