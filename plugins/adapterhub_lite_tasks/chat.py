"""Chat templates: chosen, rendered in a sandbox, and kept with the SHA-256 of their text."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from jinja2 import TemplateError

from adapterhub_lite.data.examples import Message
from adapterhub_lite.errors import CapabilityError, DataError, IntegrityError, RecipeError
from adapterhub_lite_tasks.settings import ChatSettings

CHAT_FILE: Final = "chat.json"
TEMPLATE_FILE: Final = "chat_template.jinja"
"""Where transformers writes a tokenizer's template, for other tools."""

CHATML: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CHATML_MARKS: Final = ("<|im_start|>", "<|im_end|>")
PLAIN: Final = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ 'Assistant: ' + message['content'] + eos_token + '\\n' }}"
    "{% else %}"
    "{{ message['role'] | capitalize + ': ' + message['content'] + '\\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
Span = tuple[int, int]


def choose_template(tokenizer: Any, choice: str) -> str:
    """Return a template's text: the tokenizer's, a built-in one, a file's, or ``choice`` itself.

    Raises CapabilityError where there is none or the tokenizer lacks its marks, and RecipeError
    for a name that is none of these.
    """
    match choice:
        case "tokenizer":
            return _own(tokenizer)
        case "chatml":
            return _chatml(tokenizer)
        case "plain":
            return _plain(tokenizer)
    if "{{" in choice or "{%" in choice:
        return choice
    try:
        return Path(choice).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"the chat template {choice!r} is no file that can be read",
            field="objective.template",
            hint="give tokenizer, chatml, plain, a file, or the jinja text itself",
        ) from error


def _own(tokenizer: Any) -> str:
    found = own_template(tokenizer)
    if found is None:
        raise CapabilityError(
            "the base's tokenizer has no chat template",
            hint="give the objective template: plain, or a file with the template",
        )
    return found


def own_template(tokenizer: Any) -> str | None:
    """Return a tokenizer's template; of several the one called ``default``."""
    found = tokenizer.chat_template
    if isinstance(found, dict):
        found = found.get("default")
    return found if isinstance(found, str) else None


def _chatml(tokenizer: Any) -> str:
    vocabulary = tokenizer.get_vocab()
    missing = [mark for mark in CHATML_MARKS if mark not in vocabulary]
    if missing:
        raise CapabilityError(
            f"the tokenizer has no token {missing[0]}, so chatml would be spelled out in pieces",
            hint="take template: plain",
        )
    return CHATML


def _plain(tokenizer: Any) -> str:
    if tokenizer.eos_token is None:
        raise CapabilityError(
            "the template plain ends answers with the tokenizer's end token, and there is none",
            hint="set eos_token in tokenizer_config.json",
        )
    return PLAIN


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template and the tokenizer whose special tokens it may name."""

    tokenizer: Any
    text: str

    def render(self, messages: Sequence[Message], *, ask: bool = False) -> str:
        """Render messages; with ``ask`` also what opens an answer.

        transformers runs templates in jinja's immutable sandbox. Raises DataError when the
        template refuses the messages.
        """
        try:
            rendered = self.tokenizer.apply_chat_template(
                [message.as_dict() for message in messages],
                chat_template=self.text,
                tokenize=False,
                add_generation_prompt=ask,
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            roles = ", ".join(message.role for message in messages)
            raise DataError(
                f"the chat template refuses a dialogue of {roles}: {error}",
                hint="change the messages, or take another template",
            ) from error
        return str(rendered)

    def learnt(self, messages: Sequence[Message], learn: str) -> tuple[str, list[Span]]:
        """Return a dialogue's text, and the spans in it that a model is to write.

        A span is what an assistant turn adds to what it is asked with. ``learn`` is "assistant"
        for all such turns, "last", or "all" for the whole text. Raises CapabilityError where a
        template renders a turn differently when others follow: a model would be asked with another
        text than it learnt from.
        """
        text = self.render(messages)
        if learn == "all":
            return text, [(0, len(text))]
        turns = [n for n, message in enumerate(messages) if message.role == "assistant"]
        if learn == "last":
            turns = turns[-1:]
        return text, [self._span(text, messages, turn) for turn in turns]

    def _span(self, text: str, messages: Sequence[Message], turn: int) -> Span:
        before = self.render(messages[:turn], ask=True) if turn else ""
        after = text if turn == len(messages) - 1 else self.render(messages[: turn + 1])
        if not text.startswith(before) or not text.startswith(after):
            raise CapabilityError(
                f"the chat template writes turn {turn + 1} differently when others follow, so what "
                "is learnt cannot be told from what is asked",
                hint="take learn: last, or another template",
            )
        return len(before), len(after)


def template_digest(template: str) -> str:
    """Return the SHA-256 of a template's text, in hexadecimal."""
    return sha256(template.encode()).hexdigest()


def enforce(chat: ChatSettings, tokenizer: Any, folder: Path) -> Template | None:
    """Return the template of a version; None for one of plain prompts and completions.

    Raises IntegrityError when its text, the tokenizer's or that in the folder is another than the
    one that was trained with: the model would be asked in a form it has never seen.
    """
    if chat.template is None:
        if chat.sha256 is not None:
            raise IntegrityError(f"{folder / CHAT_FILE} has a hash and no template")
        return None
    if template_digest(chat.template) != chat.sha256:
        raise IntegrityError(f"the template in {folder / CHAT_FILE} does not have its hash")
    beside = folder / TEMPLATE_FILE
    found = {"tokenizer": own_template(tokenizer)}
    if beside.is_file():
        found[TEMPLATE_FILE] = beside.read_text(encoding="utf-8")
    for place, template in found.items():
        if template is not None and template != chat.template:
            raise IntegrityError(
                f"the chat template of the {place} is another than the model was trained with",
                hint=f"put back the template of {CHAT_FILE}",
            )
    tokenizer.chat_template = chat.template
    return Template(tokenizer, chat.template)
