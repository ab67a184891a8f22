"""Which chat template a merged model has."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapterhub_lite.errors import RecipeError, nearest_name
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.vocabulary.tokens import read_object

TEMPLATE_FILE: Final = "chat_template.jinja"
OLD_TEMPLATE_FILE: Final = "chat_template.json"
MORE_TEMPLATES: Final = "additional_chat_templates"

_OPEN: Final = "{% for message in messages %}"
_CLOSE: Final = "{% endfor %}{% if add_generation_prompt %}"

NAMED: Final[Mapping[str, str]] = {
    "alpaca": _OPEN
    + "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    + "{% elif message['role'] == 'user' %}"
    + "{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}"
    + "{% else %}{{ '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}{% endif %}"
    + _CLOSE
    + "{{ '### Response:\\n' }}{% endif %}",
    "chatml": _OPEN
    + "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    + _CLOSE
    + "{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "exaone": _OPEN
    + "{{ '[|' + message['role'] + '|]' + message['content'] }}"
    + "{% if message['role'] != 'user' %}{{ '[|endofturn|]' }}{% endif %}{{ '\\n' }}"
    + _CLOSE
    + "{{ '[|assistant|]' }}{% endif %}",
    "llama3": "{{ bos_token }}"
    + _OPEN
    + "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    + "{{ message['content'] | trim + '<|eot_id|>' }}"
    + _CLOSE
    + "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    "mistral": "{{ bos_token }}"
    + _OPEN
    + "{% if message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
    + "{% else %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}"
    + "{% endfor %}",
}
"""Forms of conversations that recipes call by name."""
MARKS: Final[Mapping[str, tuple[str, ...]]] = {
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "exaone": ("[|endofturn|]",),
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
}
"""The tokens that a form is made for: without them it is spelled out in pieces."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A template that was chosen, and a note on where it comes from."""

    text: str
    note: str


def choose_template(
    choice: str | None,
    models: Sequence[Opened],
    base: Opened | None,
    ids: Mapping[str, int],
) -> ChatTemplate | None:
    """Return the template that a recipe asks for; None to leave it to the tokenizer.

    ``auto`` takes what most of the models have, of several such the first; ``ids`` are the output's
    tokens. Raises RecipeError for a choice that is none.
    """
    if choice is None:
        return None
    if choice == "auto":
        return _most_common(models, base)
    if "{{" in choice or "{%" in choice:
        _require_syntax(choice)
        return ChatTemplate(choice, "the chat template is the recipe's")
    if choice in NAMED:
        return _named(choice, ids)
    return _of_model(choice, [*models, *([base] if base else [])])


def template_of(folder: Path) -> str | None:
    """Return the template that a folder's tokenizer has; of several the one called default."""
    file = folder / TEMPLATE_FILE
    if file.is_file():
        return file.read_text(encoding="utf-8")
    for name in ("tokenizer_config.json", OLD_TEMPLATE_FILE):
        found = read_object(folder / name, folder.name).get("chat_template")
        if isinstance(found, list):
            default = [entry for entry in found if entry.get("name") == "default"]
            found = default[0].get("template") if default else None
        if isinstance(found, str):
            return found
    return None


def _own(model: Opened) -> str | None:
    """Return a model's template; an adapter without one has its base's."""
    own = template_of(model.adapter) if model.adapter else None
    return own or template_of(model.folder)


def _most_common(models: Sequence[Opened], base: Opened | None) -> ChatTemplate | None:
    owned = [(model, text) for model in models if (text := _own(model)) is not None]
    if not owned and base is not None and (text := _own(base)) is not None:
        return ChatTemplate(text, f"the chat template is that of {base.ref}: no model has one")
    if not owned:
        return None
    ((text, count),) = Counter(text for _, text in owned).most_common(1)
    first = next(model for model, own in owned if own == text)
    note = f"the chat template is that of {first.ref}, as {count} of {len(models)} models have it"
    return ChatTemplate(text, note)


def _named(name: str, ids: Mapping[str, int]) -> ChatTemplate:
    note = f"the chat template is {name}"
    missing = [mark for mark in MARKS.get(name, ()) if mark not in ids]
    if missing:
        note += f", whose {missing[0]} is no token of the output and is spelled out in pieces"
    return ChatTemplate(NAMED[name], note)


def _of_model(ref: str, models: Sequence[Opened]) -> ChatTemplate:
    model = next((model for model in models if model.ref == ref), None)
    if model is None:
        near = nearest_name(ref, [*NAMED, "auto", *(model.ref for model in models)])
        raise RecipeError(
            f"'chat_template': {ref!r} is no model of the recipe, and no template",
            field="chat_template",
            hint=f"did you mean {near!r}?"
            if near
            else f"give auto, a model, a Jinja template, or one of {', '.join(NAMED)}",
        )
    text = _own(model)
    if text is None:
        raise RecipeError(
            f"'chat_template': {ref} has no chat template",
            field="chat_template",
            hint="take another model's, or auto",
        )
    return ChatTemplate(text, f"the chat template is that of {ref}")


def _require_syntax(text: str) -> None:
    from jinja2 import TemplateSyntaxError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        ImmutableSandboxedEnvironment(extensions=[loopcontrols]).parse(text)
    except TemplateSyntaxError as error:
        if "generation" in (error.message or ""):  # a tag that transformers adds to Jinja
            return
        raise RecipeError(
            f"'chat_template' is no Jinja template: {error.message} in line {error.lineno}",
            field="chat_template",
        ) from error
