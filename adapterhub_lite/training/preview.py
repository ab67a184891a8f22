"""Rows as tokens, before a weight is loaded: what a model will see, and what of it it learns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.protocols import TokenisedSample
from adapterhub_lite.training.notices import notice

if TYPE_CHECKING:
    from adapterhub_lite.training.plan import Plan

MOST_ROWS = 2000
"""So many rows are tokenised to count what is cut; of more, a sample spread over them."""
SHOWN_ROWS = 3
SHOWN_OF_A_ROW = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring tokens of one kind as text; ``label`` is their own, where tokens have some."""

    text: str
    learnt: bool
    label: str


@dataclass(frozen=True, slots=True)
class ShownSample:
    """A sample with its tokens as text."""

    sample: TokenisedSample
    tokens: tuple[str, ...]
    pieces: tuple[Piece, ...]

    def to_json(self) -> dict[str, Any]:
        """Return tokens and mask, and what else is known of the sample."""
        sample = self.sample
        known = {
            "row": sample.row,
            "part": sample.part,
            "ids": list(sample.ids),
            "tokens": list(self.tokens),
            "learnt": list(sample.learnt),
            "labels": list(sample.labels),
            "target": sample.target,
            "cut_tokens": sample.cut,
        }
        return {key: value for key, value in known.items() if value or key == "row"}


@dataclass(frozen=True, slots=True)
class RowsPreview:
    """A few samples, and what becomes of the rows: ``rows`` of ``of`` were looked at.

    ``longest`` is what the longest of them has, in tokens.
    """

    samples: tuple[ShownSample, ...]
    notes: tuple[str, ...]
    rows: int
    of: int
    longest: int


@dataclass(slots=True)
class _Listening:
    """A run that only listens."""

    seed: int
    folder: Path
    resume: bool = False
    notes: list[str] = field(default_factory=list)

    def emit(self, event: str, **fields: Any) -> None:
        words = notice({"event": event, **fields})
        if words:
            self.notes.append(words)

    def step(self, stage: str, done: int, total: int, **figures: float) -> None:
        """Nothing is trained."""


def preview_rows(plan: "Plan", catalogue: Catalogue) -> RowsPreview | None:
    """Tokenise a plan's rows as its objective would; None for an objective that cannot show them.

    Raises what the objective raises for rows that it would not train on.
    """
    spec = plan.objective.spec
    if not spec.preview:
        return None
    from adapterhub_lite.transformer import empty_model, load_tokenizer

    folder = Path(plan.base.path)
    base = empty_model(folder, plan.head)
    base.tokenizer = load_tokenizer(folder)
    if base.model.config.pad_token_id is None:  # as loading does
        base.model.config.pad_token_id = base.tokenizer.pad_token_id
    rows = plan.training_rows(plan.recipe.seed)
    looked_at = rows.select(_spread(len(rows), MOST_ROWS))
    run = _Listening(plan.recipe.seed, folder)
    show = catalogue.implementation(replace(spec, implementation=spec.preview))
    samples: list[TokenisedSample] = list(show(base, looked_at, plan.objective.params, run))
    shown = tuple(_shown(sample, base.tokenizer) for sample in _chosen(samples))
    longest = max((len(sample.ids) for sample in samples), default=0)
    return RowsPreview(shown, tuple(run.notes), len(looked_at), len(rows), longest)


def _spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` of the numbers below ``count``, evenly spread."""
    if count <= most:
        return list(range(count))
    return [number * count // most for number in range(most)]


def _chosen(samples: list[TokenisedSample]) -> Iterator[TokenisedSample]:
    """Yield the first samples of a few rows; a row may have many windows."""
    by_row: dict[int, list[TokenisedSample]] = {}
    for sample in samples:
        by_row.setdefault(sample.row, []).append(sample)
    rows = sorted(by_row)
    for number in _spread(len(rows), SHOWN_ROWS):
        yield from by_row[rows[number]][:SHOWN_OF_A_ROW]


def _shown(sample: TokenisedSample, tokenizer: Any) -> ShownSample:
    tokens = tuple(map(str, tokenizer.convert_ids_to_tokens(list(sample.ids))))
    return ShownSample(sample, tokens, tuple(_pieces(sample, tokenizer)))


def _pieces(sample: TokenisedSample, tokenizer: Any) -> Iterator[Piece]:
    """Yield runs of tokens that are learnt, or not, as the tokenizer writes them."""
    count = len(sample.ids)
    learnt = sample.learnt or (False,) * count
    labels = sample.labels or ("",) * count

    def kind(number: int) -> tuple[bool, str, int]:
        # Two neighbours with one label are two words, and each has its own.
        return learnt[number], labels[number], number if labels[number] else -1

    for (is_learnt, label, _), numbers in groupby(range(count), key=kind):
        ids = [sample.ids[number] for number in numbers]
        yield Piece(tokenizer.decode(ids), is_learnt, label)


def preview_json(preview: RowsPreview) -> Mapping[str, Any]:
    """Return everything as JSON values."""
    return {
        "rows": preview.rows,
        "of": preview.of,
        "longest": preview.longest,
        "notes": list(preview.notes),
        "samples": [shown.to_json() for shown in preview.samples],
    }
