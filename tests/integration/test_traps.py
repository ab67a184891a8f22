"""The traps of the libraries below, measured once; each is tested where it would spring.

Most are caught in the unit tests of what catches them: ELSEWHERE says where. The others are sprung
here, through the commands.
"""

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from adapterhub_lite.testing import TINY_ROWS, write_tiny_model

Ahl = Callable[..., Any]
Train = Callable[..., Any]
Rows = Sequence[Mapping[str, Any]]

TESTS: Final = Path(__file__).parents[1]
ELSEWHERE: Final[Mapping[str, str]] = {
    "the Trainer multiplies accumulated losses that are no language model's": (
        "unit/finetuning/test_accumulation.py::test_trainer_multiplies_the_gradient_and_we_do_not"
    ),
    "the Trainer averages the means of micro-batches of different sizes": (
        "unit/finetuning/test_accumulation.py::test_any_split_of_any_units_gives_the_same_weights"
    ),
    "the Trainer's resumed run is not the uninterrupted one, and its checkpoints are pickles": (
        "unit/finetuning/test_resume.py::test_resumed_is_uninterrupted"
    ),
    "adapter_names is ignored without a word by all but three methods": (
        "unit/peft/test_capabilities.py::test_a_method_can_do_what_its_spec_says_and_no_more"
    ),
    "disable_adapter raises for soft prompts on a classifier": (
        "unit/peft/test_capabilities.py::test_a_method_can_do_what_its_spec_says_and_no_more"
    ),
    "DoRA and rsLoRA merge wrongly, rank_pattern and PiSSA do not come back": (
        "unit/peft/test_lora.py::test_a_variant_comes_back_exactly_on_an_untouched_base"
    ),
    "adapter keys that are missing are left random, with a message at most": (
        "unit/peft/test_loading.py::test_tensors_have_to_be_exactly_those_expected"
    ),
    "soft prompts answer for n + k tokens": (
        "unit/peft/test_refusals.py"
        "::test_virtual_tokens_are_not_offered_where_each_token_has_an_answer"
    ),
    "soft prompts make a decoder's classifier read padding": (
        "unit/tasks/test_classification.py::test_soft_prompts_on_a_decoder_are_refused"
    ),
    "a name of a module that is not there is passed over beside one that is": (
        "unit/peft/test_refusals.py::test_it_is_refused_with_a_reason"
    ),
    "a regular expression in target_modules never ends": (
        "unit/peft/test_refusals.py::test_an_endless_pattern_is_stopped"
    ),
    "bitsandbytes quantises BERT's fresh classifier, which then crashes": (
        "unit/loaders/test_quantised.py::test_heads_embeddings_and_norms_stay_in_float32"
    ),
    "bitsandbytes and transformers print harmless warnings": (
        "unit/loaders/test_quantised.py::test_nothing_is_said"
    ),
    "merging into another base than the one that was trained on": (
        "unit/loaders/test_dequantise.py::test_weights_are_those_that_peft_dequantises"
    ),
    "a quantised base is merged into": (
        "unit/peft/test_loading.py::test_a_quantised_base_is_not_baked_into"
    ),
    "LlamaForQuestionAnswering leaves the whole transformer random": (
        "unit/training/test_heads.py::test_what_transformers_would_leave_random_is_refused"
    ),
    "weights that transformers misses are drawn at random": (
        "unit/training/test_heads.py::test_a_tensor_missing_below_a_new_head_is_refused"
    ),
    "SetFit's SupCon loss is NaN where a class is alone in the batch": (
        "unit/setfit/test_supcon.py::test_a_batch_of_singletons_teaches_nothing"
    ),
    "SetFit's head is a pickle": (
        "unit/setfit/test_head.py::test_only_safetensors_and_json_are_written"
    ),
    "a model is asked in another chat template than it has learnt": (
        "unit/tasks/test_chat.py::test_the_template_of_training_is_enforced"
    ),
    "in-batch negatives change when gradients are accumulated": (
        "unit/tasks/test_embedding.py::test_in_batch_negatives_cannot_be_accumulated"
    ),
    "an adapter is loaded onto another base without a word": (
        "integration/test_training_tasks.py"
        "::test_an_adapter_is_refused_on_another_base_unless_it_is_insisted"
    ),
    "prefix on a base without past keys and values, or with gradient checkpointing": (
        "integration/test_training_bad_input.py"
        "::test_what_does_not_fit_is_refused_before_anything_is_loaded"
    ),
    "a run started by torchrun trains each copy on its own": (
        "integration/test_training_tasks.py::test_two_processes_are_refused"
    ),
}
"""What goes wrong with the libraries alone, and the test that holds it off."""

LABELLED: Final = [{"text": text, "label": label} for text, label in TINY_ROWS]
PROMPTED: Final = [{"prompt": f"{text} ", "completion": label} for text, label in TINY_ROWS]
WIDE: Final[Mapping[str, Any]] = {"initializer_range": 0.2}
"""At the usual 0.02 a model of this size hardly tells its inputs apart."""


@pytest.fixture
def train(ahl: Ahl, tmp_path: Path) -> Train:
    """Return a function that trains on rows and publishes ``words``."""

    def run(base: Path, objective: str, rows: Rows, *sets: str) -> Any:
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        result = ahl(
            *("train", "--base", base, "--objective", objective, "--name", "words", "--json"),
            *("--train", file, "--test", file, "--set", "objective.max_steps=6"),
            *(word for value in sets for word in ("--set", value)),
        )
        assert result.code == 0, result.err
        return result.json

    return run


@pytest.mark.parametrize("trap", ELSEWHERE)
def test_the_test_of_a_trap_is_there(trap: str) -> None:
    file, _, name = ELSEWHERE[trap].partition("::")
    module = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def probabilities(ahl: Ahl, ref: str) -> list[float]:
    """Return what a version answers to a few texts."""
    texts = [text for text, _ in TINY_ROWS[::3]]
    answers = ahl("predict", ref, *texts, "--json")
    assert (answers.code, answers.err) == (0, "")
    return [p for one in answers.json for _, p in sorted(one["probabilities"].items())]


@pytest.mark.parametrize(
    "method",
    [
        "{name: lora, use_dora: true}",
        "{name: lora, use_rslora: true, lora_alpha: 32}",
        "{name: lora, rank_pattern: {query: 4}, init_lora_weights: pissa}",
    ],
)
def test_what_is_baked_answers_as_the_adapter(
    method: str, train: Train, ahl: Ahl, tmp_path: Path
) -> None:
    """PEFT merges some variants wrongly (.55 off for DoRA), and cannot reload others."""
    base = write_tiny_model(tmp_path / "base", **WIDE)
    train(base, "classification", LABELLED, f"method={method}", "objective.learning_rate=0.02")
    before = probabilities(ahl, "words")
    assert max(before) > 0.4, "something was learnt, so a wrong merge would show"
    baked = ahl("bake", "words", "--into", "whole")
    assert baked.code == 0, baked.err
    assert probabilities(ahl, "whole") == pytest.approx(before, abs=1e-5)


def test_qlora_is_baked_into_the_base_that_it_was_trained_on(
    train: Train, ahl: Ahl, tmp_path: Path
) -> None:
    """The float original is another base: the same adapter on it answers otherwise."""
    base = write_tiny_model(tmp_path / "base", hidden_size=64, **WIDE)
    sets = ("method=lora", "loader={name: nf4, compute_dtype: float32}")
    train(base, "classification", LABELLED, *sets, "objective.learning_rate=0.02")
    before = probabilities(ahl, "words")
    assert ahl("bake", "words", "--into", "whole").code == 0
    assert probabilities(ahl, "whole") == pytest.approx(before, abs=1e-3)


@pytest.mark.parametrize("method", ["prefix", "prompt", "bottleneck"])
def test_what_cannot_be_merged_is_refused_and_not_passed_over(
    method: str, train: Train, ahl: Ahl, tmp_path: Path
) -> None:
    """PEFT raises an AttributeError, AdapterHub's merge of a bottleneck does nothing."""
    train(write_tiny_model(tmp_path / "base"), "classification", LABELLED, f"method={method}")
    result = ahl("bake", "words", "--into", "whole")
    assert result.code == 2
    assert "cannot be baked" in result.err
    assert "Error" not in result.err
    assert ahl("show", "whole").code != 0


@pytest.mark.parametrize(
    "method",
    [
        "lora",
        "bottleneck",
        "{name: prompt, prompt_tuning_init: TEXT, prompt_tuning_init_text: the apple}",
        "full",
    ],
)
def test_no_place_of_this_machine_is_in_what_is_loaded(
    method: str, train: Train, ahl: Ahl, tmp_path: Path
) -> None:
    """PEFT writes the base's path into an adapter; transformers has done so in configs.

    Where the base was is in ``adapterhub.json`` and the recipe, as the person wrote it.
    """
    base = write_tiny_model(tmp_path / "secret-place" / "base")
    train(base, "classification", LABELLED, f"method={method}")
    folder = Path(ahl("path", "words").out.strip())
    ours = {"adapterhub.json", "recipe.yml", "README.md", "report.html"}
    files = [file for file in folder.iterdir() if file.name not in ours]
    assert files
    assert not [file.name for file in files if b"secret-place" in file.read_bytes()]


def perplexity(trained: Any) -> float:
    """Return the perplexity on the test rows."""
    metrics = trained["seeds"][0]["test"]["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "perplexity"))


def change(file: Path, **values: Any) -> None:
    """Change keys of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_an_end_token_that_is_the_padding_too_is_learnt(train: Train, tmp_path: Path) -> None:
    """Masking padding by its number would mask the end of each answer: it would never stop."""
    found = []
    for pad in ("[PAD]", "[SEP]"):
        base = write_tiny_model(tmp_path / pad, "llama", **WIDE)
        change(base / "tokenizer_config.json", pad_token=pad)
        ends = json.loads((base / "config.json").read_text())["eos_token_id"]
        change(base / "config.json", pad_token_id=0 if pad == "[PAD]" else ends)
        sets = ("method=full", "objective.learning_rate=0.01", "objective.batch_size=4")
        found.append(perplexity(train(base, "sft", PROMPTED, *sets)))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize("method", ["prompt", "prefix", "p-tuning"])
def test_soft_prompts_generate_without_a_word(
    method: str, train: Train, ahl: Ahl, tmp_path: Path
) -> None:
    """PEFT warns at each batch; and padded, a text's answer would depend on its company."""
    base = write_tiny_model(tmp_path / "gpt2", "gpt2", **WIDE)
    sets = (f"method={{name: {method}, num_virtual_tokens: 4}}", "objective.max_new_tokens=4")
    train(base, "sft", PROMPTED, *sets, "objective.learning_rate=0.1")
    texts = ("the apple is sweet and ripe ", "saw ")
    together = ahl("predict", "words", *texts, "--json")
    assert (together.code, together.err) == (0, "")
    alone = [ahl("predict", "words", text, "--json").json[0] for text in texts]
    assert together.json == alone
