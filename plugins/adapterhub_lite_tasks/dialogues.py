"""Dialogues as tokens, with a mask of what is learnt, cut to a length by a stated rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapterhub_lite.data.examples import Dialogue
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite_tasks.chat import Span, Template
from adapterhub_lite_tasks.inputs import IGNORED
from adapterhub_lite_tasks.tokens import opening_tokens, plain_tokens


@dataclass(frozen=True, slots=True)
class Encoded:
    """A dialogue's tokens, which of them are learnt, and those that ended its answers."""

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]
    stops: frozenset[int]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def prompt(self) -> int:
        """How many tokens stand before the first that is learnt."""
        return self.learnt.index(True) if True in self.learnt else len(self.ids)

    def feature(self, row: int) -> Feature:
        """Return it as a feature; the first token has nothing to be foretold from."""
        pairs = zip(self.ids, self.learnt, strict=True)
        labels = [token if is_learnt else IGNORED for token, is_learnt in pairs]
        return {
            "input_ids": list(self.ids),
            "labels": [IGNORED, *labels[1:]],
            "length": len(self.ids),
            "row": row,
        }


@dataclass(frozen=True, slots=True)
class DialogueEncoder:
    """Tokenises dialogues by a template, and plain prompts and completions as they stand."""

    tokenizer: Any
    template: Template | None
    learn: str
    end: int
    endings: frozenset[int]

    def encode(self, dialogue: Dialogue) -> Encoded:
        """Return a dialogue's tokens; each answer ends with a token that stops generation."""
        return self._plain(dialogue) if dialogue.plain else self._chat(dialogue)

    def prompt(self, asked: Any) -> list[int]:
        """Return the tokens that an answer follows: of a plain prompt, or of messages."""
        if isinstance(asked, str):
            ids = opening_tokens(self.tokenizer) + plain_tokens(self.tokenizer, asked)
            return ids or [self.end]
        assert self.template is not None, "messages are asked of a model with a template"
        return plain_tokens(self.tokenizer, self.template.render(asked, ask=True))

    def _plain(self, dialogue: Dialogue) -> Encoded:
        """Join prompt and completion as tokens: generation starts at that very boundary."""
        contents = [message.content for message in dialogue.messages]
        prompt = self.prompt("".join(contents[:-1]))
        completion = [*plain_tokens(self.tokenizer, contents[-1]), self.end]
        learns_prompt = self.learn == "all"
        learnt = [learns_prompt] * len(prompt) + [True] * len(completion)
        return Encoded((*prompt, *completion), tuple(learnt), frozenset({self.end}))

    def _chat(self, dialogue: Dialogue) -> Encoded:
        assert self.template is not None, "chats are rendered by a template"
        text, spans = self.template.learnt(dialogue.messages, self.learn)
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = list(encoded["input_ids"])
        learnt = [False] * len(ids)
        stops = set()
        for span in spans:
            tokens = _inside(encoded["offset_mapping"], span)
            stop = self._stop(ids, tokens)
            if stop is not None:
                stops.add(ids[stop])
                tokens = [token for token in tokens if token <= stop]
            for token in tokens:
                learnt[token] = True
        if not self._is_ended(ids, learnt):
            ids, learnt = [*ids, self.end], [*learnt, True]
            stops.add(self.end)
        # What follows the last learnt token teaches nothing, and would count against the limit.
        length = max(n for n, is_learnt in enumerate(learnt) if is_learnt) + 1
        return Encoded(tuple(ids[:length]), tuple(learnt[:length]), frozenset(stops))

    def _stop(self, ids: Sequence[int], tokens: Sequence[int]) -> int | None:
        """Return the place of the token that ends an answer: only spaces may follow it."""
        for token in reversed(tokens):
            if ids[token] in self.endings:
                return token
            if self.tokenizer.decode([ids[token]]).strip():
                return None
        return None

    def _is_ended(self, ids: Sequence[int], learnt: Sequence[bool]) -> bool:
        last = max((n for n, is_learnt in enumerate(learnt) if is_learnt), default=None)
        return last is not None and ids[last] in self.endings


def dialogue_encoder(
    tokenizer: Any, template: Template | None, learn: str, end: int
) -> DialogueEncoder:
    """Return an encoder; what ends an answer is ``end``, or any token that is only a mark."""
    marks = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    others = ("unk", "pad", "mask", "bos", "cls")
    no_ends = {getattr(tokenizer, f"{name}_token_id") for name in others}
    return DialogueEncoder(tokenizer, template, learn, end, frozenset(marks - no_ends | {end}))


def _inside(offsets: Sequence[tuple[int, int]], span: Span) -> list[int]:
    """Return the tokens that write a part of a span."""
    start, end = span
    return [n for n, (a, b) in enumerate(offsets) if a < b and a < end and b > start]


def cut(encoded: Encoded, limit: int, min_prompt: int) -> Encoded:
    """Cut to ``limit`` tokens: the prompt from the left, then the completion from the right.

    At least ``min_prompt`` tokens of the prompt stay, and the completion's beginning always does.
    """
    over = len(encoded) - limit
    if over <= 0:
        return encoded
    left = min(over, max(encoded.prompt - min_prompt, 0))
    right = len(encoded) - (over - left)
    return Encoded(encoded.ids[left:right], encoded.learnt[left:right], encoded.stops)
