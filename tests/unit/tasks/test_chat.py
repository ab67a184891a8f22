"""Chat templates: exactly the assistant's tokens are learnt, and the template cannot change."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterhub_lite.data.examples import Dialogue, Message
from adapterhub_lite.errors import CapabilityError, DataError, IntegrityError, RecipeError
from adapterhub_lite_tasks.chat import (
    CHATML,
    PLAIN,
    Template,
    choose_template,
    enforce,
    template_digest,
)
from adapterhub_lite_tasks.dialogues import cut, dialogue_encoder
from adapterhub_lite_tasks.settings import ChatSettings, GenerationSettings

END = 2
CONTENT = st.text("abcé ,.12", min_size=1, max_size=20).map(str.strip).filter(bool)


@st.composite
def dialogues(draw: st.DrawFn) -> Dialogue:
    """A conversation with perhaps a system turn, whose last turn is the assistant's."""
    messages = [Message("system", draw(CONTENT))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 4))):
        messages += [Message("user", draw(CONTENT)), Message("assistant", draw(CONTENT))]
    return Dialogue(tuple(messages))


def encoder_of(tokenizer: Any, text: str | None, learn: str = "assistant") -> Any:
    template = None if text is None else Template(tokenizer, text)
    return dialogue_encoder(tokenizer, template, learn, END)


def learnt_text(tokenizer: Any, encoded: Any) -> str:
    pairs = zip(encoded.ids, encoded.learnt, strict=True)
    return str(tokenizer.decode([token for token, is_learnt in pairs if is_learnt]))


@given(dialogue=dialogues())
@settings(max_examples=80)
@pytest.mark.parametrize(("template", "mark"), [(CHATML, "<|im_end|>"), (PLAIN, "</s>")])
def test_exactly_the_assistants_tokens_are_learnt(
    byte_tokenizer: Any, template: str, mark: str, dialogue: Dialogue
) -> None:
    answers = [m.content for m in dialogue.messages if m.role == "assistant"]
    opening = " " if template is PLAIN else ""  # "Assistant:" is asked, the space is answered
    every = encoder_of(byte_tokenizer, template).encode(dialogue)
    expected = "".join(f"{opening}{answer}{mark}" for answer in answers)
    assert learnt_text(byte_tokenizer, every) == expected
    assert every.stops == {byte_tokenizer.convert_tokens_to_ids(mark)}
    last = encoder_of(byte_tokenizer, template, "last").encode(dialogue)
    assert learnt_text(byte_tokenizer, last) == f"{opening}{answers[-1]}{mark}"
    assert last.ids == every.ids
    prompt = encoder_of(byte_tokenizer, template).prompt(dialogue.messages[:-1])
    assert prompt == list(last.ids[: last.prompt]), "what is asked is what was learnt from"


@given(prompt=st.text("ab é", max_size=12), completion=CONTENT)
def test_plain_completions_end_with_the_end_token(
    byte_tokenizer: Any, prompt: str, completion: str
) -> None:
    encoder = encoder_of(byte_tokenizer, None)
    messages = (Message("user", prompt), Message("assistant", completion))
    encoded = encoder.encode(Dialogue(messages, plain=True))
    assert learnt_text(byte_tokenizer, encoded) == completion + "</s>"
    assert list(encoded.ids[: encoded.prompt]) == encoder.prompt(prompt)
    whole = encoder_of(byte_tokenizer, None, "all").encode(Dialogue(messages, plain=True))
    assert all(whole.learnt)
    assert whole.feature(0)["labels"][0] == -100


@given(dialogue=dialogues(), limit=st.integers(10, 60), least=st.integers(1, 5))
def test_cutting_leaves_prompt_and_completion(
    byte_tokenizer: Any, dialogue: Dialogue, limit: int, least: int
) -> None:
    whole = encoder_of(byte_tokenizer, CHATML, "last").encode(dialogue)
    short = cut(whole, limit, least)
    assert len(short) == min(limit, len(whole))
    assert short.prompt >= min(least, whole.prompt)
    kept = sum(short.learnt)
    assert kept >= min(sum(whole.learnt), limit - least) > 0
    assert short.ids[short.prompt :] == whole.ids[whole.prompt : whole.prompt + kept]


def test_a_template_without_end_mark_gets_the_end_token(byte_tokenizer: Any) -> None:
    text = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}" + (
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    messages = (Message("user", "a"), Message("assistant", "b"))
    encoded = encoder_of(byte_tokenizer, text).encode(Dialogue(messages))
    assert learnt_text(byte_tokenizer, encoded) == "b</s>"
    assert encoded.stops == {END}


def test_a_template_that_rewrites_earlier_turns_is_refused(byte_tokenizer: Any) -> None:
    text = (
        "{% for m in messages %}<{{ m['role'] }}>"
        "{% if m['role'] == 'assistant' and not loop.last %}…{% else %}{{ m['content'] }}"
        "{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    turns = (("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    dialogue = Dialogue(tuple(Message(role, content) for role, content in turns))  # type: ignore[arg-type]
    with pytest.raises(CapabilityError, match="turn 2 differently") as caught:
        encoder_of(byte_tokenizer, text).encode(dialogue)
    assert "learn: last" in caught.value.hint
    last = encoder_of(byte_tokenizer, text, "last").encode(dialogue)
    assert learnt_text(byte_tokenizer, last) == "d</s>"


@pytest.mark.parametrize(
    "text",
    [
        "{{ raise_exception('no tools here') }}",
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{% for m in %}",
    ],
)
def test_a_template_runs_in_a_sandbox(byte_tokenizer: Any, text: str) -> None:
    with pytest.raises(DataError, match="template refuses"):
        Template(byte_tokenizer, text).render([Message("user", "a")])


def test_templates_are_chosen_by_name_file_or_text(byte_tokenizer: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{{ messages }}")
    assert choose_template(byte_tokenizer, "chatml") == CHATML
    assert choose_template(byte_tokenizer, "plain") == PLAIN
    assert choose_template(byte_tokenizer, str(file)) == "{{ messages }}"
    assert choose_template(byte_tokenizer, "{{ 1 }}") == "{{ 1 }}"
    with pytest.raises(RecipeError, match="chatlm"):
        choose_template(byte_tokenizer, "chatlm")
    with pytest.raises(CapabilityError, match="no chat template"):
        choose_template(byte_tokenizer, "tokenizer")


def test_chatml_is_refused_where_its_marks_are_no_tokens(make_base: Any) -> None:
    with pytest.raises(CapabilityError, match="im_start") as caught:
        choose_template(make_base("gpt2").tokenizer, "chatml")
    assert "plain" in caught.value.hint


def _chat(template: str | None, digest: str | None = None) -> ChatSettings:
    generation = GenerationSettings(
        max_new_tokens=4, num_beams=1, temperature=0.0, top_p=1.0, seed=0, stops=(END,)
    )
    digest = template_digest(template) if template and digest is None else digest
    return ChatSettings(template=template, sha256=digest, generation=generation)


def test_the_template_of_training_is_enforced(tmp_path: Path) -> None:
    def tokenizer(template: Any) -> Any:
        return SimpleNamespace(chat_template=template)

    found = enforce(_chat(PLAIN), tokenizer(PLAIN), tmp_path)
    assert found is not None
    assert found.text == PLAIN
    without = tokenizer(None)
    enforce(_chat(PLAIN), without, tmp_path)
    assert without.chat_template == PLAIN
    assert enforce(_chat(None), tokenizer(CHATML), tmp_path) is None
    with pytest.raises(IntegrityError, match="tokenizer is another"):
        enforce(_chat(PLAIN), tokenizer(CHATML), tmp_path)
    with pytest.raises(IntegrityError, match="hash"):
        enforce(_chat(PLAIN, template_digest(CHATML)), tokenizer(PLAIN), tmp_path)
    (tmp_path / "chat_template.jinja").write_text(PLAIN + " ")
    with pytest.raises(IntegrityError, match=r"chat_template\.jinja"):
        enforce(_chat(PLAIN), tokenizer(PLAIN), tmp_path)


def test_the_digest_is_of_the_templates_bytes() -> None:
    import hashlib

    assert template_digest("é") == hashlib.sha256("é".encode()).hexdigest()
    assert json.loads(_chat("é").model_dump_json())["sha256"] == template_digest("é")
