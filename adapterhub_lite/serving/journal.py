"""What a server writes down: a line a request, and for monitoring, if asked, what was answered."""

import hashlib
import hmac
import json
import logging
import logging.handlers
import os
import re
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, Literal, get_args

from adapterhub_lite.predictions import Classified, Extracted, Generated, Prediction, Several

Texts = Literal["none", "hash", "masked", "full"]
"""What of a text a request log keeps: its length alone, a keyed hash, or words."""
TEXTS: Final = get_args(Texts)


@dataclass(slots=True)
class Record:
    """What is known of one request while it is answered; the line of the log is made of it."""

    id: str
    method: str = ""
    route: str = "other"
    version: str = ""
    code: str = ""
    inputs: int = 0
    batch: int = 0
    queued: float = 0.0
    tokens: tuple[int, int] | None = None
    begun: float = field(default_factory=time.monotonic)


class Lines(logging.Formatter):
    """Writes a log record as one line of JSON; a library's has its message and traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told = getattr(record, "told", None) or {"message": record.getMessage()}
        line = {"time": _now(), "level": record.levelname.lower(), "logger": record.name, **told}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


LOGGER: Final = logging.getLogger("adapterhub_lite.serving")


def log_as_json(level: int = logging.INFO) -> None:
    """Let this package and uvicorn write lines of JSON to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name in ("adapterhub_lite.serving", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def log_event(event: str, **told: Any) -> None:
    """Write one line about the server itself."""
    LOGGER.info(event, extra={"told": {"event": event, **told}})


def log_request(record: Record, status: int) -> None:
    """Write the line of a request: never a text that was asked or answered."""
    told: dict[str, Any] = {
        "event": "request",
        "id": record.id,
        "method": record.method,
        "route": record.route,
        "status": status,
        "ms": round((time.monotonic() - record.begun) * 1000, 2),
    }
    if record.version:
        told |= {"version": record.version, "inputs": record.inputs, "batch": record.batch}
        told["queued_ms"] = round(record.queued * 1000, 2)
    if record.tokens is not None:
        told["prompt_tokens"], told["completion_tokens"] = record.tokens
    if record.code:
        told["code"] = record.code
    LOGGER.info("request", extra={"told": told})


class Masker:
    """Turns a text into what may be kept of it.

    ``hash`` is an HMAC whose key is drawn when the server starts: equal texts have equal hashes
    until then, and nobody can try out texts afterwards. ``masked`` puts e-mail addresses, web
    addresses and numbers out; names of people stay.
    """

    _MASKS: Final = (
        (re.compile(r"[^\s@<>]+@[^\s@<>]+\.[^\s@<>]+"), "<email>"),
        (re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE), "<url>"),
        (re.compile(r"\d[\d .,:/()-]*\d|\d"), "<number>"),
    )

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._key = secrets.token_bytes(32)

    def __call__(self, text: str) -> dict[str, Any]:
        """Return what is kept of a text."""
        kept: dict[str, Any] = {"characters": len(text)}
        if self._texts == "hash":
            data = text.encode("utf-8", "surrogatepass")
            kept["hmac_sha256"] = hmac.new(self._key, data, hashlib.sha256).hexdigest()
        elif self._texts == "masked":
            kept["text"] = self._mask(text)
        elif self._texts == "full":
            kept["text"] = text
        return kept

    def _mask(self, text: str) -> str:
        for pattern, word in self._MASKS:
            text = pattern.sub(word, text)
        return text


class RequestLog:
    """A file with a line of JSON for each input that was answered, for monitoring.

    It is readable for its owner alone. When it has ``most_bytes`` it becomes ``FILE.1``, and that
    ``FILE.2``; of these ``keep`` are kept. Raises OSError when it cannot be written.
    """

    def __init__(self, path: Path, texts: Texts, *, most_bytes: int, keep: int) -> None:
        self._mask = Masker(texts)
        self._handler = _PrivateFiles(path, maxBytes=most_bytes, backupCount=keep, encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(message)s"))

    def write(self, record: Record, inputs: Sequence[Any], answers: Sequence[Prediction]) -> None:
        """Write down what a version was asked and what it answered."""
        for number, (asked, answer) in enumerate(zip(inputs, answers, strict=True)):
            line = {
                "time": _now(),
                "id": record.id,
                "index": number,
                "version": record.version,
                "route": record.route,
                "texts": [self._mask(text) for text in _texts_of(asked)],
                **self._kept(answer),
            }
            text = json.dumps(line, ensure_ascii=True)
            self._handler.emit(logging.makeLogRecord({"msg": text}))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()

    def _kept(self, answer: Prediction) -> dict[str, Any]:
        """Return what is kept of an answer: of texts no more than of those that were asked."""
        if isinstance(answer, Classified):
            return {"labels": list(answer.labels), "score": answer.score}
        if isinstance(answer, Generated):
            return {"finish": answer.finish, "answer": self._mask(answer.text)}
        if isinstance(answer, Extracted):
            return {"score": answer.score, "answer": self._mask(answer.answer)}
        if isinstance(answer, Several):
            return {"answers": {name: self._kept(one) for name, one in answer.answers.items()}}
        record = answer.record()
        return {name: record[name] for name in ("tags", "value", "similarity") if name in record}


class _PrivateFiles(logging.handlers.RotatingFileHandler):
    """Files that are readable for their owner alone, those that follow the first among them."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.fdopen(os.open(self.baseFilename, flags, 0o600), "a", encoding="utf-8")


def _texts_of(asked: Any) -> list[str]:
    """Return the texts of an input: one, two of a pair, its words, the messages' contents."""
    if isinstance(asked, str):
        return [asked]
    return [part if isinstance(part, str) else part["content"] for part in asked]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
