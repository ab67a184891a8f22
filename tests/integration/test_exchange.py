"""To PEFT and back with equal outputs; a stranger's folder is believed nothing."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from adapterhub_lite import api
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import find_base, load_model, resolve_artifact
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.probe import answers, difference
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import quiet_transformers

Ahl = Callable[..., Any]
CLASSES = {
    "SEQ_CLS": transformers.AutoModelForSequenceClassification,
    "TOKEN_CLS": transformers.AutoModelForTokenClassification,
    "QUESTION_ANS": transformers.AutoModelForQuestionAnswering,
    "CAUSAL_LM": transformers.AutoModelForCausalLM,
    "SEQ_2_SEQ_LM": transformers.AutoModelForSeq2SeqLM,
    "FEATURE_EXTRACTION": transformers.AutoModel,
}
T5 = {"decoder_start_token_id": 0, "num_decoder_layers": 3, "d_kv": 8}
SEVERAL = {"SEQ_CLS": {"num_labels": 3}, "TOKEN_CLS": {"num_labels": 3}}


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the folder of a tiny base of a type."""
    place = tmp_path_factory.mktemp("bases")

    def base(model_type: str) -> Path:
        folder = place / model_type
        if not folder.exists():
            write_tiny_model(folder, model_type, **(T5 if model_type == "t5" else {}))
        return folder

    return base


def plain(base: Path, task: str, **more: Any) -> Any:
    """Load a base as a person without our help does; a new head is the same each time."""
    torch.manual_seed(0)
    with quiet_transformers():
        return CLASSES[task].from_pretrained(base, **{**SEVERAL.get(task, {}), **more})


def save_adapter(folder: Path, base: Path, config: Any, **more: Any) -> Path:
    """Write an adapter as PEFT does, its weights moved from where they began."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(
            plain(base, config.task_type or "FEATURE_EXTRACTION", **more), config
        )
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.05 * torch.randn_like(parameter)
        model.save_pretrained(folder)
    return folder


def by_peft(base: Path, folder: Path, task: str, **more: Any) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return answers(peft.PeftModel.from_pretrained(plain(base, task, **more), folder).eval())


def by_us(ref: str) -> torch.Tensor:
    registry, catalogue = api.open_registry(), get_catalogue()
    folder, _ = resolve_artifact(ref, registry)
    info = read_artifact_info(folder)
    base = find_base(folder, info, registry, catalogue)
    return answers(load_model(folder, info, base, catalogue, "cpu").model)


def import_(ahl: Ahl, folder: Path, *more: object) -> Any:
    return ahl("import", folder, "--format", "peft", "--name", "x", *more)


@pytest.fixture
def adapter(tmp_path: Path, tiny_base: Path) -> Path:
    """Return a LoRA for classification among three labels, on the tiny BERT."""
    return save_adapter(tmp_path / "adapter", tiny_base, peft.LoraConfig(task_type="SEQ_CLS"))


@pytest.mark.parametrize(
    ("model_type", "config", "task"),
    [
        ("bert", peft.LoraConfig(task_type="SEQ_CLS"), "text-classification"),
        (
            "bert",
            peft.LoraConfig(task_type="SEQ_CLS", use_dora=True, use_rslora=True, bias="all"),
            "text-classification",
        ),
        (
            "bert",
            peft.LoraConfig(task_type="SEQ_CLS", init_lora_weights="pissa", r=4),
            "text-classification",
        ),
        ("roberta", peft.IA3Config(task_type="SEQ_CLS"), "text-classification"),
        (
            "bert",
            peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4),
            "text-classification",
        ),
        ("bert", peft.LoraConfig(task_type="TOKEN_CLS"), "token-classification"),
        ("bert", peft.LoraConfig(task_type="QUESTION_ANS"), "question-answering"),
        ("bert", peft.LoraConfig(task_type="FEATURE_EXTRACTION"), "sentence-similarity"),
        ("llama", peft.LoraConfig(task_type="CAUSAL_LM"), "text-generation"),
        (
            "llama",
            peft.PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
            "text-generation",
        ),
        ("gpt2", peft.LoraConfig(task_type="CAUSAL_LM", fan_in_fan_out=True), "text-generation"),
        ("t5", peft.LoraConfig(task_type="SEQ_2_SEQ_LM"), "text2text-generation"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.peft_type.value,
)  # fmt: skip
def test_there_and_back_the_outputs_are_pefts(
    ahl: Ahl, tmp_path: Path, bases: Callable[[str], Path], model_type: str, config: Any, task: str
) -> None:
    base = bases(model_type)
    folder = save_adapter(tmp_path / "theirs", base, config)
    expected = by_peft(base, folder, config.task_type)
    done = import_(ahl, folder, "--base", base, "--json")
    assert done.code == 0, done.err
    version = api.open_registry().resolve("x")
    assert (version.manifest.kind, version.manifest.task) == ("adapter", task)
    assert difference(expected, by_us("x")) < 1e-5
    assert ahl("export", "x", tmp_path / "ours", "--format", "peft").code == 0
    assert difference(expected, by_peft(base, tmp_path / "ours", config.task_type)) < 1e-5


def test_the_manifest_tells_base_labels_and_origin(
    ahl: Ahl, adapter: Path, tiny_base: Path
) -> None:
    (adapter / "evil.py").write_text("raise SystemExit")
    (adapter / "tokenizer.json").write_text("{}")
    done = import_(ahl, adapter, "--base", tiny_base, "--labels", "fruit,tool, music")
    assert done.code == 0, done.err
    manifest = api.open_registry().resolve("x").manifest
    assert manifest.base is not None
    assert manifest.base.weights_sha256
    assert manifest.signature is not None
    assert manifest.signature.labels == ("fruit", "tool", "music")
    assert manifest.hyperparameters["imported_from"] == "peft"
    assert manifest.method is not None
    assert manifest.method.name == "lora"
    assert "evil.py" not in {entry.path for entry in manifest.files}
    (predicted,) = ahl("predict", "x", "the apple", "--json").json
    assert predicted["label"] in ("fruit", "tool", "music")


def test_labels_come_from_a_file_or_are_numbered(ahl: Ahl, adapter: Path, tiny_base: Path) -> None:
    (adapter.parent / "labels.txt").write_text("a, or b\nc\nd\n")
    file = f"@{adapter.parent / 'labels.txt'}"
    named = import_(ahl, adapter, "--base", tiny_base, "--labels", file, "--json").json
    assert named["labels"] == ["a, or b", "c", "d"]
    numbered = import_(ahl, adapter, "--base", tiny_base, "--multi-label", "--json").json
    assert numbered["labels"] == ["LABEL_0", "LABEL_1", "LABEL_2"]
    several = api.load("x")
    assert several.multi_label


def test_a_regression_and_a_chat_are_told_by_the_objective(
    ahl: Ahl, tmp_path: Path, tiny_base: Path, bases: Callable[[str], Path]
) -> None:
    one = save_adapter(
        tmp_path / "one", tiny_base, peft.LoraConfig(task_type="SEQ_CLS"), num_labels=1
    )
    refused = import_(ahl, one, "--base", tiny_base)
    assert refused.code == 2
    assert "--objective regression" in refused.err
    assert import_(ahl, one, "--base", tiny_base, "--objective", "regression").code == 0
    chat = save_adapter(tmp_path / "chat", bases("llama"), peft.LoraConfig(task_type="CAUSAL_LM"))
    options = ("--objective", "sft", "--set", "template=plain", "--set", "max_new_tokens=3")
    done = import_(ahl, chat, "--base", bases("llama"), *options)
    assert done.code == 0, done.err
    names = {entry.path for entry in api.open_registry().resolve("x").manifest.files}
    assert {"task.json", "chat.json", "chat_template.jinja"} <= names


def test_an_adapter_without_task_needs_an_objective(
    ahl: Ahl, tmp_path: Path, tiny_base: Path
) -> None:
    config = peft.LoraConfig(target_modules=["query"])
    folder = save_adapter(tmp_path / "bare", tiny_base, config)
    refused = import_(ahl, folder, "--base", tiny_base)
    assert refused.code == 2
    assert "--objective" in refused.err
    assert import_(ahl, folder, "--base", tiny_base, "--objective", "embedding").code == 0


def test_a_named_base_is_found_in_the_registry_and_a_path_is_not_followed(
    ahl: Ahl, adapter: Path, tiny_base: Path, folder: Path
) -> None:
    refused = import_(ahl, adapter)
    assert refused.code == 2
    assert "a path as its base, which is not followed" in refused.err
    assert "--base" in refused.err
    recipe = ("--preset", "linear-probe", "--objective", "classification", "--train", "train.csv")
    trained = ahl(
        "train", *recipe, "--base", tiny_base, "--set", "objective.max_steps=1", "--name", "root"
    )
    assert trained.code == 0, trained.err
    shutil.copytree(tiny_base, folder / "root")  # a folder of the name is not what is meant
    edit(adapter, base_model_name_or_path="root@1")
    done = import_(ahl, adapter)
    assert done.code == 0, done.err
    manifest = api.open_registry().resolve("x").manifest
    assert manifest.base is not None
    assert manifest.base.ref == "root@1"
    assert [parent.role for parent in manifest.parents] == ["base"]


def edit(folder: Path, **values: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    file = folder / "adapter_model.safetensors"
    state = load_file(file)
    change(state)
    save_file(state, file)


def poison(state: dict[str, torch.Tensor]) -> None:
    next(iter(state.values()))[0] = float("nan")


def pickle_it(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def link(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    file.rename(folder.parent / "elsewhere")
    file.symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (pickle_it, "pickled"),
        (link, "leads out of the folder"),
        (lambda f: (f / "adapter_config.json").unlink(), "no adapter of PEFT"),
        (lambda f: (f / "adapter_config.json").write_text("["), "cannot be read"),
        (lambda f: edit(f, r=2_000_000), "r"),
        (lambda f: edit(f, r=16), "has the shape"),
        (lambda f: edit(f, surprise=1), "unknown key 'surprise'"),
        (lambda f: edit(f, megatron_config={"a": 1}), "megatron_config"),
        (lambda f: edit(f, corda_config={"a": 1}), "corda_config"),
        (lambda f: edit(f, peft_type="EVIL"), "EVIL"),
        (lambda f: edit(f, task_type="EVIL"), "EVIL"),
        (lambda f: edit(f, target_modules="(.*)*(.*)*(.*)*x"), "takes more than"),
        (lambda f: edit(f, target_modules=["nothing"]), "nothing"),
        (lambda f: edit(f, target_modules=["query"]), "unexpected"),
        (lambda f: edit(f, init_lora_weights="pissa_niter_4"), "cannot be computed again"),
        (lambda f: edit_weights(f, poison), "not finite"),
        (lambda f: edit_weights(f, lambda s: s.pop(min(s))), "tensors"),
        (lambda f: edit_weights(f, lambda s: s.update(more=torch.zeros(1))), "unexpected"),
        (
            lambda f: edit_weights(f, lambda s: [s.pop(n) for n in list(s) if "classifier" in n]),
            "no weights of a head",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_in_one_line_before_anything_is_published(
    ahl: Ahl, adapter: Path, tiny_base: Path, harm: Callable[[Path], Any], said: str
) -> None:
    harm(adapter)
    done = import_(ahl, adapter, "--base", tiny_base)
    assert done.code == 2, done.err
    assert said in done.err
    assert len(done.err.strip().splitlines()) <= 2
    assert api.open_registry().names() == []


def test_another_base_is_refused_by_its_shapes(ahl: Ahl, adapter: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", hidden_size=16, num_attention_heads=2)
    done = import_(ahl, adapter, "--base", other)
    assert done.code == 2
    assert "has the shape" in done.err
    deeper = write_tiny_model(tmp_path / "deeper", num_hidden_layers=4)
    done = import_(ahl, adapter, "--base", deeper)
    assert done.code == 2
    assert "lacks" in done.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--labels", "a,b"], "3 outputs, and 2 labels"),
        (["--labels", "a,b,b"], "not distinct"),
        (["--labels", "@nowhere"], "cannot be read"),
        (["--objective", "tagging"], "needs token-classification"),
        (["--objective", "contrastive"], "trained elsewhere"),
        (["--objective", "regression"], "3 outputs, and a regression has one"),
        (["--objective", "clasification"], "did you mean 'classification'"),
        (["--set", "max_lenght=4"], "max_lenght"),
        (["--convert-pickle"], "--convert-pickle is not for it"),
    ],
)  # fmt: skip
def test_choices_that_do_not_fit_are_refused(
    ahl: Ahl, adapter: Path, tiny_base: Path, options: list[str], said: str
) -> None:
    done = import_(ahl, adapter, "--base", tiny_base, *options)
    assert done.code == 2, done.err
    assert said in done.err
    assert api.open_registry().names() == []


def test_setfit_tells_its_labels_itself(ahl: Ahl, tmp_path: Path) -> None:
    done = ahl("import", tmp_path, "--format", "setfit", "--name", "x", "--labels", "a")
    assert done.code == 2
    assert "--labels is not for it" in done.err
