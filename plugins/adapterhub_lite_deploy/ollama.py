"""A gguf with the Modelfile that ollama makes a model of."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import Questions, Tolerance
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.transformer import load_tokenizer
from adapterhub_lite_deploy import GgufParams
from adapterhub_lite_deploy.gguf_file import MODEL, GgufExporter

ROLES: Final = ("system", "user", "assistant")
MARK: Final = "\ue000"
"""A letter for private use, which no template has: it stands for what is said."""


class OllamaExporter:
    """Writes ``model.gguf`` and ``Modelfile``."""

    def __init__(self) -> None:
        self._gguf = GgufExporter()

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: GgufParams
    ) -> None:
        """Write ``destination`` from a whole model's folder.

        Raises CapabilityError as for gguf, and for a chat template that is not turns of fixed
        text around what is said.
        """
        tokenizer = load_tokenizer(folder)
        template = ollama_template(tokenizer)
        self._gguf.export(folder, destination, base, params)
        lines = [f"FROM ./{MODEL}", f'TEMPLATE """{template}"""', *_parameters(folder, tokenizer)]
        (destination / "Modelfile").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def answers(
        self, destination: Path, asked: Questions, params: GgufParams
    ) -> Sequence[NDArray[Any]]:
        """Ask the gguf that the Modelfile names."""
        return self._gguf.answers(destination, asked, params)

    def tolerance(self, params: GgufParams) -> Tolerance:
        """Return what the kind of number allows."""
        return self._gguf.tolerance(params)

    def usage(self, destination: Path) -> str:
        """Return a line of a shell."""
        return f"ollama create {destination.name} -f {destination / 'Modelfile'}"


def ollama_template(tokenizer: Any) -> str:
    """Return a tokenizer's chat template in ollama's language; without one the prompt alone.

    A template is known by what it writes: if each turn is a fixed text before and one after what
    is said, whatever was said before, that is the whole of it. Raises CapabilityError otherwise.
    """
    if tokenizer.chat_template is None:
        return "{{ .Prompt }}"
    try:
        turns = {role: _around(tokenizer, role) for role in ROLES}
        opening = _opening(tokenizer, turns)
    except (ValueError, TypeError) as error:
        raise _unknown() from error
    parts = [
        f'{{{{ if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}{{{{ end }}}}'
        for role, (before, after) in turns.items()
    ]
    return f"{{{{ range .Messages }}}}{''.join(parts)}{{{{ end }}}}{opening}"


def _rendered(tokenizer: Any, roles: Sequence[str], *, ask: bool = False) -> str:
    from jinja2 import TemplateError

    messages = [{"role": role, "content": MARK} for role in roles]
    try:
        found = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
    except TemplateError as error:
        raise ValueError("the template refuses these turns") from error
    return str(found)


def _around(tokenizer: Any, role: str) -> tuple[str, str]:
    before, _, after = _rendered(tokenizer, [role]).partition(MARK)
    return before, after


def _opening(tokenizer: Any, turns: dict[str, tuple[str, str]]) -> str:
    """Return what opens an answer; raises ValueError where turns depend on each other."""
    dialogue = ["system", "user", "assistant", "user"]
    whole = "".join(f"{turns[role][0]}{MARK}{turns[role][1]}" for role in dialogue)
    asking = _rendered(tokenizer, dialogue, ask=True)
    if _rendered(tokenizer, dialogue) != whole or not asking.startswith(whole):
        raise ValueError("a turn is written otherwise beside others")
    opening = asking[len(whole) :]
    if any(mark in whole + opening for mark in ("{{", '"""')):
        raise ValueError("the template writes what ollama would read")
    return opening


def _parameters(folder: Path, tokenizer: Any) -> list[str]:
    """Return how the version generates, as lines of a Modelfile."""
    for name in ("chat.json", "task.json"):
        if (folder / name).is_file():
            told = json.loads((folder / name).read_text(encoding="utf-8")).get("generation")
            if told:
                stops = [tokenizer.decode([number]) for number in told["stops"]]
                return [
                    f"PARAMETER temperature {told['temperature']}",
                    f"PARAMETER top_p {told['top_p']}",
                    f"PARAMETER num_predict {told['max_new_tokens']}",
                    f"PARAMETER seed {told['seed']}",
                    *(f"PARAMETER stop {json.dumps(stop)}" for stop in stops),
                ]
    return []


def _unknown() -> CapabilityError:
    return CapabilityError(
        "the chat template has no form in ollama: a turn is more than fixed text around what is "
        "said",
        hint="take gguf, which keeps the template as it is",
    )
