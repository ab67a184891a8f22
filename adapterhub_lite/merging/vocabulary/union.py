"""One tokenizer with the tokens of several: the first one's, and what it lacks of the others.

What is exact: tokens that are cut out of a text first (chat marks, special tokens), words of a
word-level vocabulary, and single letters. What cannot be done right is refused: other normalisers
or pre-tokenisers split a text otherwise, and merges or scores of two models have no common order.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from adapterhub_lite.errors import CapabilityError, MergeError
from adapterhub_lite.merging.vocabulary.tokens import Added, ModelTokens

PARTS: Final = {"normalizer": "normalisers", "pre_tokenizer": "pre-tokenisers"}
"""What has to be the same in all, and what it is called."""
NOT_SETTINGS: Final = frozenset({"vocab", "merges", "unk_id"})
WAY_OUT: Final = "take the tokenizer of one model: tokenizer: base, or a model's reference"


@dataclass(slots=True)
class United:
    """A tokenizer that was made: ``text`` is its tokenizer.json; ``notes`` tell what is not exact.

    ``added`` are the tokens that are cut out of a text first and that the first one did not have.
    """

    text: str
    ids: Mapping[str, int]
    added: Mapping[str, Added]
    notes: list[str] = field(default_factory=list)


def unite(first: ModelTokens, others: Sequence[ModelTokens], wanted: Iterable[str]) -> United:
    """Return the first tokenizer with the others' tokens, and those ``wanted``, behind its own.

    The first one's tokens keep their ids. Raises CapabilityError for tokenizers that cannot become
    one.
    """
    state = _state(first)
    notes: list[str] = []
    added: dict[str, Added] = {}
    for other in others:
        if other.key == first.key:
            continue
        theirs = _state(other)
        _require_alike(first, state, other, theirs, notes)
        marks = other.added()
        added |= {t: mark for t, mark in marks.items() if t not in first.ids and t not in added}
        pieces = [token for token in other.ids if token not in marks and token not in first.ids]
        _add_pieces(state, theirs, pieces, first, other, notes)
    known = {token: mark for other in others for token, mark in other.added().items()}
    taken = first.ids.keys() | added.keys() | _pieces(state)
    added |= {token: known.get(token, Added(token)) for token in wanted if token not in taken}
    return _finished(first, state, added, notes)


def with_tokens(first: ModelTokens, others: Sequence[ModelTokens], wanted: Sequence[str]) -> United:
    """Return a tokenizer with some tokens more; the others tell their flags."""
    known = {token: mark for other in reversed(others) for token, mark in other.added().items()}
    added = {token: known.get(token, Added(token)) for token in wanted if token not in first.ids}
    return _finished(first, _state(first), added, [])


def _state(tokens: ModelTokens) -> dict[str, Any]:
    if tokens.text is None:
        raise CapabilityError(
            f"the tokenizer of {tokens.label} is written in Python, and cannot be added to",
            hint=WAY_OUT,
        )
    state: dict[str, Any] = json.loads(tokens.text)
    return state


def _finished(
    first: ModelTokens, state: Mapping[str, Any], added: Mapping[str, Added], notes: list[str]
) -> United:
    """Let the library give the added tokens their ids, and look whether all is as it should be."""
    from tokenizers import AddedToken, Tokenizer

    backend = Tokenizer.from_str(json.dumps(state, ensure_ascii=False))
    for token in added.values():
        backend.add_tokens([AddedToken(**asdict(token))])
    ids: dict[str, int] = backend.get_vocab(with_added_tokens=True)
    moved = [token for token, number in first.ids.items() if ids.get(token) != number]
    if moved or len(set(ids.values())) < len(ids):
        raise MergeError(
            f"tokens cannot be added to the tokenizer of {first.label} without giving others, like "
            f"{(moved or list(ids))[0]!r}, new ids",
            hint=WAY_OUT,
        )
    return United(backend.to_str(pretty=True), ids, added, notes)


def _require_alike(
    first: ModelTokens,
    mine: Mapping[str, Any],
    other: ModelTokens,
    theirs: Mapping[str, Any],
    notes: list[str],
) -> None:
    """Refuse tokenizers that split a text otherwise, whatever their tokens are."""
    one, two = mine["model"], theirs["model"]
    if one["type"] != two["type"]:
        _refuse(first, other, f"one is {one['type']} and the other {two['type']}")
    for part, name in PARTS.items():
        if mine.get(part) != theirs.get(part):
            _refuse(first, other, f"their {name} differ")
    for key in sorted((one.keys() | two.keys()) - NOT_SETTINGS):
        if one.get(key) != two.get(key):
            _refuse(first, other, f"their {key} differ")
    if one.get("merges") != two.get("merges"):
        _refuse(first, other, "their merges differ, and have no common order")
    if one["type"] == "Unigram" and _scores_differ(one["vocab"], two["vocab"]):
        _refuse(first, other, "they give the same piece different scores")
    if _frame(mine) != _frame(theirs):
        notes.append(
            f"the tokenizers of {first.label} and {other.label} put different tokens around a text;"
            f" the output does as that of {first.label}"
        )
    differing = [t for t, m in other.added().items() if first.added().get(t, m) != m]
    if differing:
        notes.append(
            f"the token {differing[0]!r} is cut out of a text otherwise in {other.label} than in "
            f"{first.label}, as the output does"
        )


def _refuse(first: ModelTokens, other: ModelTokens, why: str) -> None:
    raise CapabilityError(
        f"the tokenizers of {first.label} and {other.label} cannot become one: {why}", hint=WAY_OUT
    )


def _scores_differ(mine: Sequence[Any], theirs: Sequence[Any]) -> bool:
    known = dict(mine)
    return any(known.get(piece, score) != score for piece, score in theirs)


def _frame(state: Mapping[str, Any]) -> str:
    """Return what stands around a text, without the ids, which may well differ."""
    return json.dumps(_without_ids(state.get("post_processor")), sort_keys=True)


def _without_ids(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_ids(entry) for key, entry in value.items() if key != "ids"}
    if isinstance(value, list):
        return [_without_ids(entry) for entry in value if not isinstance(entry, int)]
    return value


def _add_pieces(
    state: dict[str, Any],
    theirs: Mapping[str, Any],
    pieces: Sequence[str],
    first: ModelTokens,
    other: ModelTokens,
    notes: list[str],
) -> None:
    """Put pieces into the tokenizer's own vocabulary, behind every id that is taken."""
    known = _pieces(state)
    new = [piece for piece in pieces if piece not in known]
    if not new:
        return
    kind = state["model"]["type"]
    _fold_added(state, first)
    if kind == "Unigram":
        scores = dict(theirs["model"]["vocab"])
        for piece in new:
            state["model"]["vocab"].append([piece, scores[piece]])
    else:
        vocabulary = state["model"]["vocab"]
        start = max(vocabulary.values(), default=-1) + 1
        vocabulary |= {piece: start + number for number, piece in enumerate(new)}
    if kind in ("WordPiece", "Unigram"):
        notes.append(
            f"{len(new):,} pieces of {other.label} are new to the tokenizer of {first.label}: words"
            " may be split otherwise than in any of the models"
        )


def _pieces(state: Mapping[str, Any]) -> set[str]:
    vocabulary = state["model"]["vocab"]
    return set(vocabulary) if isinstance(vocabulary, dict) else {piece for piece, _ in vocabulary}


def _fold_added(state: dict[str, Any], first: ModelTokens) -> None:
    """Write the added tokens into the vocabulary too: what is appended then comes behind them.

    Their ids are given out behind the vocabulary when the tokenizer is loaded.
    """
    vocabulary = state["model"]["vocab"]
    if isinstance(vocabulary, dict):
        vocabulary |= {t["content"]: t["id"] for t in state["added_tokens"]}
        return
    behind = sorted((t["id"], t["content"]) for t in state["added_tokens"])
    lowest = min((score for _, score in vocabulary), default=0.0)
    for number, token in behind:
        if number > len(vocabulary):
            raise CapabilityError(
                f"the tokenizer of {first.label} leaves ids out, and pieces cannot be added to it",
                hint=WAY_OUT,
            )
        if number == len(vocabulary):
            vocabulary.append([token, lowest])
