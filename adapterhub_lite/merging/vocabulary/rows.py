"""Which row of which model each token of the output gets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adapterhub_lite.errors import CapabilityError, RecipeError, nearest_name
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.vocabulary.tokens import ModelTokens
from adapterhub_lite.recipes.merge import TokenizerSection, TokenSource
from adapterhub_lite.streaming.resized import MEAN, ZEROS, RowMap, Rows
from adapterhub_lite.streaming.token_tensors import vocabulary_rows


class TokenRows:
    """The models' embeddings, by their tokens.

    ``base`` is the number of the base among the models, or None. Raises CapabilityError for a model
    without embeddings, or with two vocabularies.
    """

    def __init__(
        self,
        models: Sequence[Opened],
        tokens: Sequence[ModelTokens],
        base: int | None,
        section: TokenizerSection,
    ) -> None:
        self._models, self._tokens = models, tokens
        self._base, self._section = base, section
        self._counts = [_required_rows(model) for model in models]
        self.notes: list[str] = []

    def number_of(self, ref: str, where: str) -> int:
        """Return the number of the model that the recipe calls ``ref``; raises RecipeError."""
        if ref == "base":
            return self._base or 0
        refs = [model.ref for model in self._models]
        if ref in refs:
            return refs.index(ref)
        near = nearest_name(ref, refs)
        hint = f"did you mean {near!r}? " if near else ""
        raise RecipeError(
            f"{where!r}: {ref!r} is no model of the recipe",
            field=where,
            hint=f"{hint}models: {', '.join(refs)}",
        )

    def already_at_place(self, chosen: int) -> bool:
        """Say whether no row moves, as told without reading a vocabulary."""
        total = rounded_up(self._counts[chosen], self._section.pad_to_multiple_of)
        same = all(tokens.key == self._tokens[chosen].key for tokens in self._tokens)
        return same and not self._section.tokens and set(self._counts) == {total}

    def row_map(self, chosen: int, ids: Mapping[str, int]) -> RowMap | None:
        """Return where each model finds the rows of the tokens; None when all are at their places.

        The model ``chosen`` tells how many rows there are at least: rows of no token are kept.
        Raises RecipeError for a token's source that is none.
        """
        total = max(self._counts[chosen], max(ids.values(), default=-1) + 1)
        total = rounded_up(total, self._section.pad_to_multiple_of)
        tables = [self._table(number, ids, total) for number in range(len(self._models))]
        moves = any(
            count != total or not np.array_equal(table, np.arange(total))
            for count, table in zip(self._counts, tables, strict=True)
        )
        self._tell(ids, tables)
        donors, donor_rows = self._fill(tables)
        for token, asked in self._section.tokens.items():
            place = ids[token]
            donors[place], donor_rows[place] = self._origin(token, asked)
            for table in tables if asked.force else ():
                table[place] = -1
        forced = any(asked.force for asked in self._section.tokens.values())
        return (
            RowMap(tables=tables, donors=donors, donor_rows=donor_rows) if moves or forced else None
        )

    def _table(self, number: int, ids: Mapping[str, int], total: int) -> Rows:
        """Return a model's rows (total,) of the output's tokens; a row of no token keeps its id."""
        own = self._tokens[number].ids
        table: Rows = np.arange(total, dtype=np.int64)
        table[_places(ids)] = np.fromiter((own.get(t, -1) for t in ids), np.int64, len(ids))
        table[table >= self._counts[number]] = -1
        return table

    def _fill(self, tables: Sequence[Rows]) -> tuple[Rows, Rows]:
        """For what a model lacks: the base's row, else the only one there is, else the mean."""
        stacked = np.stack(tables)
        having = stacked >= 0
        donors = np.where(having.sum(0) > 1, MEAN, np.where(having.any(0), having.argmax(0), ZEROS))
        if self._base is not None:
            donors = np.where(having[self._base], self._base, donors)
        rows = np.take_along_axis(stacked, np.maximum(donors, 0)[None], axis=0)[0]
        return donors.astype(np.int64), np.where(donors >= 0, rows, -1)

    def _tell(self, ids: Mapping[str, int], tables: Sequence[Rows]) -> None:
        """Note which model lacks how many of the output's tokens."""
        places = _places(ids)
        for model, table in zip(self._models, tables, strict=True):
            if lacking := int((table[places] < 0).sum()):
                self.notes.append(
                    f"{model.ref} lacks {lacking:,} of the output's {len(ids):,} tokens, whose "
                    "embeddings are taken from the base, else from the models that have them"
                )

    def _origin(self, token: str, asked: TokenSource) -> tuple[int, int]:
        """Return the model and the row that a token's embedding is taken from."""
        where, source = f"tokenizer.tokens.{token}.source", asked.source
        if source in ("zero", {"kind": "zero"}):
            return ZEROS, -1
        if isinstance(source, str):
            return self._row(source, token, None, where)
        known = {"kind", "model", "token", "token_id"}
        wanted, number = source.get("token"), source.get("token_id")
        told = (wanted is None) != (number is None)
        if source.get("kind") != "model_token" or source.keys() - known or not told:
            raise RecipeError(
                f"{where!r} is no source of a token",
                field=where,
                hint="give a model, zero, or {kind: model_token, model: REF, token: TOKEN}, "
                "where token_id may stand for token",
            )
        return self._row(str(source.get("model")), wanted, number, where)

    def _row(self, ref: str, token: Any, number: Any, where: str) -> tuple[int, int]:
        """Return a model and its row of a token, or of an id where ``token`` is None."""
        model = self.number_of(ref, where)
        row = number if token is None else self._tokens[model].ids.get(str(token))
        if not isinstance(row, int) or not 0 <= row < self._counts[model]:
            asked = number if token is None else token
            raise RecipeError(
                f"{where!r}: {self._models[model].ref} has no embedding of {asked!r}",
                field=where,
                hint="take it from a model that has the token",
            )
        return model, row


def rounded_up(rows: int, multiple: int | None) -> int:
    """Return the next multiple, or the number itself where none is asked for."""
    return rows if multiple is None else -(-rows // multiple) * multiple


def _places(ids: Mapping[str, int]) -> Rows:
    return np.fromiter(ids.values(), dtype=np.int64, count=len(ids))


def _required_rows(model: Opened) -> int:
    rows = vocabulary_rows(model.source)
    if rows is None:
        raise CapabilityError(
            f"no token embeddings were found in {model.ref}, which a tokenizer section needs",
            hint="leave the tokenizer section out, and merge models of the same vocabulary",
        )
    return rows
