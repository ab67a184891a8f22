"""Ask a transformer what a version is asked: the answers that deployments are compared by."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.data.examples import Message
from adapterhub_lite.protocols import Questions
from adapterhub_lite.specs import RowKind, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adapterhub_lite.pooling import Pooling

PROBES: Final = (
    "Where is my parcel?",
    "The invoice shows an amount that I have not agreed to, please correct it.",
    "Thank you, that was quick!",
    "I would like to cancel the order that I placed yesterday, and get my money back.",
    "the apple is sweet and ripe",
    "my drill was rusty and heavy",
    "A man is playing a violin in the park, and some children listen to him.",
    "no",
)
"""What a version is asked when nobody gives inputs."""

MOST_TOKENS: Final = 512
"""Where an input is cut for a model that says no length of its own."""


def probe_inputs(kind: RowKind, *, pairs: bool = False) -> tuple[Any, ...]:
    """Return inputs for rows of a kind: texts, or with ``pairs`` and for questions two texts."""
    if pairs or kind == "question":
        return tuple(zip(PROBES, PROBES[1:] + PROBES[:1], strict=True))
    return PROBES


def longest_text(folder: Path) -> int | None:
    """Return at how many tokens a version cuts a text; None where it does not say."""
    for name in ("task.json", "scorer.json"):
        if (folder / name).is_file():
            settings: Mapping[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
            found = settings.get("max_length")
            return found if isinstance(found, int) else None
    return None


def write_longest_text(folder: Path, destination: Path) -> None:
    """Let the tokenizer in ``destination`` cut where the version does: other tools ask it alone."""
    file = destination / "tokenizer_config.json"
    longest = longest_text(folder)
    if longest is None or not file.is_file():
        return
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings["model_max_length"] = min(longest, settings.get("model_max_length") or longest)
    text = json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    file.write_text(text, encoding="utf-8")


def folder_answers(
    model: Any, tokenizer: Any, folder: Path, asked: Questions
) -> list["NDArray[Any]"]:
    """Return what a transformer answers as the folder says: pooled, or in the targets' unit.

    The answers are those that a :class:`~adapterhub_lite.protocols.Target` gives.
    """
    if asked.task == "sentence-similarity":
        from adapterhub_lite.pooling import read_pooling

        return _embeddings(model, tokenizer, read_pooling(folder), asked.inputs)
    found = model_answers(model, tokenizer, asked.task, asked.inputs)
    if asked.task == "text-regression":
        unit = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        return [one.astype(float) * unit["deviation"] + unit["mean"] for one in found]
    return found


def _embeddings(
    model: Any, tokenizer: Any, pooling: "Pooling", texts: Sequence[str]
) -> list["NDArray[Any]"]:
    import torch

    found = []
    with torch.inference_mode():
        for text in texts:
            encoded = encode(tokenizer, "sentence-similarity", text)
            hidden = model.eval()(**encoded).last_hidden_state
            # what stands before the text's own tokens is a prompt that was learnt
            own = hidden[:, -encoded["input_ids"].shape[1] :]
            found.append(pooling(own, encoded["attention_mask"])[0].numpy())
    return found


def model_answers(
    model: Any, tokenizer: Any, task: Task, inputs: Sequence[Any]
) -> list["NDArray[Any]"]:
    """Return what a transformer says to each input, one at a time, in 32-bit floating point.

    Logits (outputs,) of a head over whole texts; (tokens, outputs) of one over tokens, of a
    question's start and end (2, tokens).
    """
    import torch

    answers = []
    with torch.inference_mode():
        for item in inputs:
            encoded = encode(tokenizer, task, item).to(model.device)
            if model.config.is_encoder_decoder and task == "text2text-generation":
                encoded["decoder_input_ids"] = encoded["input_ids"]
            output = model.eval()(**encoded)
            if task == "question-answering":
                found = torch.cat([output.start_logits, output.end_logits])
            else:
                found = output.logits[0]
            answers.append(found.float().cpu().numpy())
    return answers


def encode(tokenizer: Any, task: Task, item: Any) -> Any:
    """Return an input as a batch of one: a text, a pair, words, or a dialogue in its template."""
    longest = min(tokenizer.model_max_length, MOST_TOKENS)
    settings = {"truncation": True, "max_length": longest, "return_tensors": "pt"}
    if task == "text-generation":
        text, templated = _prompt(tokenizer, item)
        encoded = tokenizer(text, add_special_tokens=not templated, **settings)
    elif isinstance(item, str):
        encoded = tokenizer(item, **settings)
    elif task == "token-classification":
        encoded = tokenizer(" ".join(item), **settings)
    else:
        encoded = tokenizer(*item, **settings)
    if task in ("text-generation", "text2text-generation"):
        encoded.pop("token_type_ids", None)
    return encoded


def copy_files(folder: Path, destination: Path, names: Sequence[str]) -> None:
    """Copy what a folder has of ``names``, the links of the store resolved."""
    for name in names:
        if (folder / name).is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, destination / name)


def _prompt(tokenizer: Any, item: Any) -> tuple[str, bool]:
    """Return what a language model goes on from, and whether a template made it."""
    if not isinstance(item, str):
        messages = [one.as_dict() if isinstance(one, Message) else dict(one) for one in item]
    elif tokenizer.chat_template is None:
        return item, False
    else:
        messages = [{"role": "user", "content": item}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return str(text), True
