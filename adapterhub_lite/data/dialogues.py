"""Conversations in the forms that people keep them in, and as OpenAI's messages out again.

Forms: OpenAI ``messages``; ShareGPT ``conversations``; Alpaca ``instruction``, ``input``,
``output``; ``prompt`` and ``completion``; ``question`` and ``answer``.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.data.cells import CellError, as_list, blank, named, short, text
from adapterhub_lite.data.examples import Dialogue, Message
from adapterhub_lite.data.examples import Role as Speaker
from adapterhub_lite.data.forms import Cells, Form, Role

SHAREGPT: Final[Mapping[str, Speaker]] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "tool": "tool",
    "observation": "tool",
}
"""Whose turn ShareGPT's ``from`` says it is."""

OPENAI: Final[Mapping[str, Speaker]] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
"""The roles of OpenAI's messages; the later name for ``system`` is not accepted for it."""

_ORDER: Final = "a conversation is [system], user, assistant, …, and ends with the assistant"
_LISTED: Final = "a conversation is a list of objects, one for each message"
_READ: Final = frozenset({"role", "content", "name"})


def _messages(cells: Cells) -> Dialogue:
    if not blank(cells.get("tools")):
        raise CellError("it defines tools, which are not trained on", "leave the column out")
    return _dialogue(_turns(cells["messages"], _openai_message))


def _sharegpt(cells: Cells) -> Dialogue:
    turns = _turns(cells["conversations"], _sharegpt_message)
    return _dialogue([*_system(cells), *turns])


def _alpaca(cells: Cells) -> Dialogue:
    asked = text(cells["instruction"], "instruction")
    if not blank(cells.get("input")):
        asked = f"{asked}\n\n{text(cells['input'], 'input')}"
    return _dialogue([*_system(cells), *_exchange(asked, text(cells["output"], "output"))])


def _question_answer(cells: Cells) -> Dialogue:
    asked, answer = text(cells["question"], "question"), text(cells["answer"], "answer")
    return _dialogue([*_system(cells), *_exchange(asked, answer)])


def _prompt_completion(cells: Cells) -> Dialogue:
    prompt, completion = cells["prompt"], cells["completion"]
    lists = [isinstance(cell, list | tuple) for cell in (prompt, completion)]
    if all(lists):
        return _dialogue([message for cell in (prompt, completion) for message in _chat(cell)])
    if any(lists):
        raise CellError(
            "one of prompt and completion is a list of messages and the other is not",
            "write both as strings, or both as lists of messages",
        )
    turns = _exchange(text(prompt, "prompt"), text(completion, "completion"))
    return _dialogue(turns, plain=True)


_SYSTEM: Final = Role("system", ("system_prompt",), required=False)
FORMS: Final = (
    Form(
        "messages",
        (Role("messages"), Role("tools", ("functions",), required=False)),
        _messages,
    ),
    Form("sharegpt", (Role("conversations", ("conversation",)), _SYSTEM), _sharegpt),
    Form(
        "alpaca",
        (Role("instruction"), Role("input", required=False), Role("output"), _SYSTEM),
        _alpaca,
    ),
    Form("prompt-completion", (Role("prompt"), Role("completion")), _prompt_completion),
    Form(
        "question-answer",
        (Role("question", ("query",)), Role("answer", ("response",)), _SYSTEM),
        _question_answer,
    ),
)


def _chat(cell: Any) -> list[Message]:
    return _turns(cell, _openai_message)


def _system(cells: Cells) -> list[Message]:
    cell = cells.get("system")
    return [] if blank(cell) else [Message("system", text(cell, "system prompt"))]


def _exchange(asked: str, answer: str) -> list[Message]:
    return [Message("user", asked), Message("assistant", answer)]


def _turns(cell: Any, read: Callable[[Mapping[str, Any], int], Message]) -> list[Message]:
    if blank(cell):
        return []
    items = as_list(cell)
    if items is None:
        raise CellError(f"the messages are {named(cell)}, not a list: {short(cell)}", _LISTED)
    messages = []
    for place, item in enumerate(items, start=1):
        if not isinstance(item, Mapping):
            problem = f"message {place} is {named(item)}, not an object: {short(item)}"
            raise CellError(problem, _LISTED)
        messages.append(read(item, place))
    return messages


def _openai_message(item: Mapping[str, Any], place: int) -> Message:
    for key in ("tool_calls", "function_call"):
        if not blank(item.get(key)):
            raise CellError(
                f"message {place} calls a tool ({key}), which cannot be trained on",
                "leave such rows out, or write the call into the content",
            )
    odd = [str(key) for key, value in item.items() if key not in _READ and not blank(value)]
    if odd == ["weight"] and item["weight"] == 1:
        odd = []
    if odd:
        raise CellError(
            f"message {place} has a key that would be ignored: {short(odd[0])}",
            "a message has a role, a content and perhaps a name",
        )
    content = _content(item.get("content"), place)
    return Message(_speaker(item.get("role"), OPENAI, place, "role"), content)


def _sharegpt_message(item: Mapping[str, Any], place: int) -> Message:
    return Message(
        _speaker(item.get("from"), SHAREGPT, place, "from"), _content(item.get("value"), place)
    )


def _speaker(role: Any, known: Mapping[str, Speaker], place: int, key: str) -> Speaker:
    speaker = known.get(role) if isinstance(role, str) else None
    if speaker is None:
        given = "no" if role is None else "an unknown"
        shown = "" if role is None else f": {short(role)}"
        raise CellError(f"message {place} has {given} {key!r}{shown}", f"known: {', '.join(known)}")
    return speaker


def _content(cell: Any, place: int) -> str:
    """Return a content: a string, or a list of one part that is text."""
    if isinstance(cell, list | tuple) and len(cell) == 1 and isinstance(cell[0], Mapping):
        part = cell[0]
        cell = part.get("text") if part.get("type") == "text" else cell
    if blank(cell):
        raise CellError(f"message {place} is empty", "leave it out, or the whole row")
    if not isinstance(cell, str):
        raise CellError(
            f"the content of message {place} is {named(cell)}, not text: {short(cell)}",
            "several parts, pictures and sounds cannot be trained on",
        )
    return text(cell, "content")


def _dialogue(messages: Sequence[Message], *, plain: bool = False) -> Dialogue:
    """Return a conversation that can be learnt; one without any text is left to be dropped."""
    if not any(message.content.strip() for message in messages):
        return Dialogue((), plain)
    for place, message in enumerate(messages, start=1):
        if blank(message.content):
            raise CellError(f"the {message.role}'s text is empty", "leave the row out")
        if message.role == "system" and place > 1:
            raise CellError(f"message {place} is a system message: only the first can be", _ORDER)
    if messages[-1].role != "assistant":
        raise CellError(f"it ends with the {messages[-1].role}, not with the assistant", _ORDER)
    if not any(message.role == "user" for message in messages[:-1]):
        raise CellError("nobody asks: there is no user message", _ORDER)
    return Dialogue(tuple(messages), plain)


def write_messages(dialogues: Iterable[Dialogue], file: Path) -> None:
    """Write conversations as OpenAI's JSONL: an object with ``messages`` a line, in UTF-8.

    What is read from it equals what was written. Plain prompts with their completions are written
    as those two keys. Raises ValueError when both kinds are mixed, or a conversation has no
    messages: a file has one form.
    """
    dialogues = list(dialogues)
    if len({dialogue.plain for dialogue in dialogues}) > 1:
        raise ValueError("plain prompts and messages cannot be written into one file")
    if not all(dialogue.messages for dialogue in dialogues):
        raise ValueError("a conversation without messages cannot be written")
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for dialogue in dialogues:
            stream.write(json.dumps(_as_written(dialogue), ensure_ascii=False) + "\n")


def _as_written(dialogue: Dialogue) -> dict[str, Any]:
    if dialogue.plain:
        prompt, completion = dialogue.messages
        return {"prompt": prompt.content, "completion": completion.content}
    return {"messages": [message.as_dict() for message in dialogue.messages]}
