"""A model folder's tokens and their ids, from its tokenizer's files."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.bases import TOKENIZER_FILES
from adapterhub_lite.errors import BaseModelError

TOKENIZER: Final = "tokenizer.json"
CONFIG: Final = "tokenizer_config.json"
ALL_FILES: Final = (
    *TOKENIZER_FILES,
    "added_tokens.json",
    "bpe.codes",
    "normalizer.json",
    "source.spm",
    "spm.model",
    "target.spm",
    "tekken.json",
)
"""Every file that a tokenizer can consist of, beside its chat templates."""
NAMED: Final = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
LISTED: Final = ("additional_special_tokens", "extra_special_tokens")


@dataclass(frozen=True, slots=True)
class Added:
    """A token that is cut out of a text before the tokenizer's model sees it, with its flags."""

    content: str
    special: bool = False
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False


class ModelTokens:
    """The tokenizer of a folder; its files are read when something is asked of it.

    ``key`` is the same for tokenizers that are byte for byte the same. Raises BaseModelError for
    files that do not parse.
    """

    def __init__(self, folder: Path, label: str) -> None:
        self.folder = folder
        self.label = label

    @cached_property
    def key(self) -> str:
        """A digest of all that decides which token has which id."""
        files = [self.folder / TOKENIZER]
        if not files[0].is_file():
            files = [self.folder / name for name in ALL_FILES if name != CONFIG]
        digest = hashlib.sha256()
        for file in files:
            if file.is_file():
                digest.update(f"{file.name} {file.stat().st_size} ".encode())
                digest.update(file.read_bytes())
        data = files[0].read_bytes() if files[0].is_file() else b""
        digest.update(json.dumps([t.content for t in self._told if not _occurs(t, data)]).encode())
        return digest.hexdigest()

    @cached_property
    def config(self) -> dict[str, Any]:
        """What tokenizer_config.json says; empty without one."""
        return read_object(self.folder / CONFIG, self.label)

    @cached_property
    def text(self) -> str | None:
        """The whole tokenizer as the tokenizers library writes it; None for one in Python alone."""
        backend = self._backend
        return None if backend is None else str(backend.to_str())

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """Every token and its id, in the order of the ids: the library gives them in any."""
        if self._backend is not None:
            vocabulary = self._backend.get_vocab(with_added_tokens=True)
        else:
            vocabulary = _in_transformers(self.folder).get_vocab()
        return dict(sorted(vocabulary.items(), key=lambda item: item[1]))

    @cached_property
    def _backend(self) -> Any:
        from tokenizers import AddedToken, Tokenizer

        file = self.folder / TOKENIZER
        if not file.is_file():
            return getattr(_in_transformers(self.folder), "backend_tokenizer", None)
        try:
            backend = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises no narrower one
            raise BaseModelError(
                f"{TOKENIZER} of {self.label!r} does not parse: {error}", ref=self.label
            ) from error
        # transformers adds, in this order, what the config names and the tokenizer lacks.
        for token in self._told:
            if backend.token_to_id(token.content) is None:
                backend.add_tokens([AddedToken(**asdict(token))])
        return backend

    @cached_property
    def _told(self) -> tuple[Added, ...]:
        """The tokens that the config names, first those with an id, in its order."""
        try:
            return tuple(dict.fromkeys(_named_tokens(self.config)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BaseModelError(
                f"{CONFIG} of {self.label!r} names tokens in no known way: {error!r}",
                ref=self.label,
            ) from error

    def added(self) -> dict[str, Added]:
        """Return the tokens that are cut out of a text first, by content, in order of their ids."""
        if self.text is None:
            return {}
        listed = sorted(json.loads(self.text)["added_tokens"], key=lambda entry: int(entry["id"]))
        return {entry["content"]: added_from(entry) for entry in listed}


def find_tokens(folder: Path, label: str) -> ModelTokens | None:
    """Return the tokenizer of a folder; None when it holds none."""
    if any((folder / name).is_file() for name in ALL_FILES if name not in (CONFIG, "vocab.json")):
        return ModelTokens(folder, label)
    if (folder / "vocab.json").is_file() and (folder / CONFIG).is_file():
        return ModelTokens(folder, label)
    return None


def added_from(entry: Mapping[str, Any]) -> Added:
    """Read an added token as tokenizer.json writes it."""
    return Added(
        content=str(entry["content"]),
        **{flag.name: bool(entry.get(flag.name)) for flag in fields(Added)[1:]},
    )


def _occurs(token: Added, data: bytes) -> bool:
    """Say whether a tokenizer's JSON has the token, without parsing it."""
    return any(
        json.dumps(token.content, ensure_ascii=escaped).encode() in data
        for escaped in (False, True)
    )


def _named_tokens(config: Mapping[str, Any]) -> Iterator[Added]:
    decoder = config.get("added_tokens_decoder") or {}
    for _, entry in sorted(decoder.items(), key=lambda item: int(item[0])):
        yield added_from(entry)
    for key in NAMED:
        if config.get(key):
            yield _special(config[key])
    for key in LISTED:
        entries = config.get(key) or []
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield _special(entry)


def _special(entry: Any) -> Added:
    if isinstance(entry, dict):
        return added_from({**entry, "special": True})
    return Added(str(entry), special=True)


def _in_transformers(folder: Path) -> Any:
    from adapterhub_lite.transformer import load_tokenizer

    return load_tokenizer(folder)


def read_object(file: Path, label: str) -> dict[str, Any]:
    """Read a file that holds a JSON object, empty without one; raises BaseModelError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise BaseModelError(
            f"{file.name} of {label!r} does not parse: {error}", ref=label
        ) from error
    if not isinstance(found, dict):
        raise BaseModelError(f"{file.name} of {label!r} is no JSON object", ref=label)
    return found
