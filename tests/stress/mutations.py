"""What a stranger might send: valid examples, cut, flipped, spliced, swapped about, overdone."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

PATHS = (
    "", " ", ".", "..", "../../escaped", "/escaped", "a/../../escaped", "a\\..\\escaped",
    "C:escaped", "//host/share", "~/escaped", "$HOME", "a" * 300, "a/" * 300, "a\x00b", "a\nb",
    "model.safetensors", "model.pkl", "pytorch_model.bin", "a.PKL",
)  # fmt: skip
LETTERS = (
    "\x1b[31m", "\u202e", "\ud800", "\ufeff", "e\u0301", "\xe9", "\u212a", "\u0130",
    "\u0131", "\uff21", "\xdf", "\U0001f600",
)  # fmt: skip
REFERENCES = (
    "support@1", "support@prod", "support@sha256:" + "f" * 64, "sha256:" + "0" * 64, "@", "@@",
    "a@", "@7", "a@00000000000000000000007",
)  # fmt: skip
PROGRAMS = (
    "__import__('os')", "os.system", "{{ 9**(9**9) }}", "((a+)+)+!", "(?P<a>" * 50, "all-linear",
)  # fmt: skip
TEXTS = (*PATHS, *LETTERS, *REFERENCES, *PROGRAMS, "NaN", "null", "True", "0")
NUMBERS = (
    "0", "-0", "-1", "1.5", "16.0", "1e3", "NaN", "Infinity", "-Infinity", "1e999", "-1e999",
    "1e-999", "2147483648", "4294967295", "9007199254740993", "9223372036854775807",
    "9223372036854775808", "18446744073709551615", "18446744073709551616", "-9223372036854775809",
    "9" * 400, "9" * 5000,
)  # fmt: skip
LITERALS = (
    *NUMBERS, "true", "false", "null", "[]", "{}", "[[]]", '""', '"\\ud800"',
    '"\\udc00\\ud800"', '"\\u0000"',
    "[" * 100 + "]" * 100, "[" * 5_000 + "]" * 5_000, '{"a":' * 2_000 + "1" + "}" * 2_000,
    "[" + "9," * 20_000 + "9]", "01", "+1", "'a'", "//", "{", "",
)  # fmt: skip
CLIPS = (
    b"\x00" * 8,
    b"\xff" * 8,
    b"\x80\x04\x95",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"\xef\xbb\xbf",
    b"{",
    b"]",
)


class Literal(str):
    """Text that stands in JSON as it is, right or wrong."""


class Object(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that a key may be there twice."""


def parse(text: str | bytes) -> Any:
    """Return a JSON value with objects as pairs."""
    return json.loads(text, object_pairs_hook=Object)


def write(value: Any) -> str:
    """Return the JSON text of a value, as little spaced as canonical JSON."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, Object):
        return "{" + ",".join(f"{json.dumps(key)}:{write(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


Slot = tuple[list[Any], int]


def _slots(value: Any) -> Iterator[Slot]:
    if isinstance(value, list):
        for place in range(len(value)):
            yield value, place
            yield from _slots(_get((value, place)))


def _get(slot: Slot) -> Any:
    held = slot[0][slot[1]]
    return held[1] if isinstance(slot[0], Object) else held


def _set(slot: Slot, value: Any) -> None:
    container, place = slot
    container[place] = (container[place][0], value) if isinstance(container, Object) else value


def _replace(slot: Slot, other: Slot, rng: random.Random) -> None:
    _set(slot, Literal(rng.choice(LITERALS)))


def _retype(slot: Slot, other: Slot, rng: random.Random) -> None:
    value = _get(slot)
    if isinstance(value, str):
        _set(slot, mutate_text(value, rng))
    elif isinstance(value, int):
        near = (
            value + 1,
            value - 1,
            -value,
            value * 2,
            value * 1.0,
            str(value),
            bool(value),
            [value],
        )
        _set(slot, rng.choice(near))
    else:
        _set(slot, rng.choice(([value], None, rng.choice(TEXTS), Object([("a", value)]))))


def _say(slot: Slot, other: Slot, rng: random.Random) -> None:
    _set(slot, rng.choice(TEXTS))


def _rename(slot: Slot, other: Slot, rng: random.Random) -> None:
    container, place = slot
    if isinstance(container, Object):
        container[place] = (mutate_text(container[place][0], rng), container[place][1])


def _twice(slot: Slot, other: Slot, rng: random.Random) -> None:
    container, place = slot
    container.insert(rng.randrange(len(container) + 1), container[place])


def _many(slot: Slot, other: Slot, rng: random.Random) -> None:
    container, place = slot
    times, value = rng.choice((2, 20, 500)), _get(slot)
    if not isinstance(value, list) and len(str(value)) < 100 and len(container) < 1000:
        container.extend([container[place]] * times)  # of large ones there would be gigabytes


def _drop(slot: Slot, other: Slot, rng: random.Random) -> None:
    del slot[0][slot[1]]


def _swap(slot: Slot, other: Slot, rng: random.Random) -> None:
    mine, theirs = _get(slot), _get(other)
    if not isinstance(mine, list) and not isinstance(theirs, list):
        _set(slot, theirs)
        _set(other, mine)


def _copy(slot: Slot, other: Slot, rng: random.Random) -> None:
    if not isinstance(theirs := _get(other), list):
        _set(slot, theirs)


EDITS: tuple[Callable[[Slot, Slot, random.Random], None], ...] = (
    _replace, _replace, _retype, _retype, _say, _rename, _twice, _many, _drop, _swap, _copy
)  # fmt: skip


def mutate_json(text: str | bytes, rng: random.Random) -> str:
    """Return JSON text that says something else; now and then it is none."""
    value = parse(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if not (slots := list(_slots(value))):
            return rng.choice(LITERALS)
        rng.choice(EDITS)(rng.choice(slots), rng.choice(slots), rng)
    return write(value)


def mutate_text(text: str, rng: random.Random) -> str:
    """Return text with something put in, taken out, changed in case, or put twice."""
    at, to = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    clip = rng.choice(TEXTS)
    edits = (
        *(text[:at] + clip + text[at:], text[:at] + text[to:], text[:at] + clip + text[to:]),
        *(text.swapcase(), text + text[at:to], chr(rng.randrange(0x110000)) + text, clip),
    )
    return rng.choice(edits)


def encode(text: str, rng: random.Random) -> bytes:
    """Return text as bytes, mostly UTF-8; lone surrogates as WTF-8."""
    way = rng.random()
    if way < 0.02:
        return text.encode("utf-16", "surrogatepass")
    if way < 0.03:
        return b"\xef\xbb\xbf" + text.encode("utf-8", "surrogatepass")
    return text.encode("utf-8", "surrogatepass")


def mutate_bytes(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """Return bytes with a few of them flipped, cut off, spliced from ``other``, moved or lost."""
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, to = sorted(rng.randrange(len(spoilt) + 1) for _ in range(2))
        match rng.randrange(7):
            case 0 if at < len(spoilt):
                spoilt[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(spoilt):
                spoilt[at] = rng.randrange(256)
            case 2:
                del spoilt[at : min(to, at + rng.choice((1, 4, 64, 4096)))]
            case 3:
                spoilt[at:at] = rng.choice(CLIPS)
            case 4 if rng.random() < 0.3:
                del spoilt[to:]
            case 5 if other:
                start = rng.randrange(len(other))
                spoilt[at:to] = other[start : start + rng.choice((8, 64, 1024))]
            case 6:
                spoilt[at:at] = spoilt[at : min(to, at + 64)] * rng.choice((1, 2, 30))
            case _:
                size = rng.choice((1, 2, 4, 8))
                value = rng.choice((0, 1, -1, 2**31, 2**63, 10**6)) % 2 ** (8 * size)
                spoilt[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
    return bytes(spoilt)
