"""An adapter merged into its base answers as the two did, on every kind of base, or is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite import api
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import find_base, load_model, resolve_artifact
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.probe import answers, difference
from adapterhub_lite.specs import Params
from adapterhub_lite.testing import TINY_ROWS, write_tiny_model
from adapterhub_lite.transformer import auto_class, load_transformer, quiet_transformers

Ahl = Callable[..., Any]
SMALL: dict[str, dict[str, Any]] = {
    "bert": {},
    "gpt2": {},
    "llama": {},
    "t5": {"decoder_start_token_id": 0, "num_decoder_layers": 2, "d_kv": 8},
}
DATA = {"train": "train.csv", "text": "text", "label": "label"}
METHODS: dict[str, dict[str, Any]] = {
    "dora": {"name": "lora", "use_dora": True, "use_rslora": True, "r": 4},
    "patterns": {
        "name": "lora",
        "bias": "all",
        "rank_pattern": {"query": 2},
        "alpha_pattern": {"query": 3},
    },
    "pissa": {"name": "lora", "init_lora_weights": "pissa", "r": 4},
    "lora": {"name": "lora"},
    "loha": {"name": "loha", "r": 4},
    "lokr": {"name": "lokr", "r": 4},
    "ia3": {"name": "ia3"},
    "oft": {"name": "oft", "oft_block_size": 4},
    "boft": {"name": "boft", "boft_block_size": 4},
}


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the folder of a tiny base of a type."""
    place = tmp_path_factory.mktemp("bases")

    def base(model_type: str) -> Path:
        folder = place / model_type
        if not folder.exists():
            write_tiny_model(folder, model_type, num_hidden_layers=2, **SMALL[model_type])
        return folder

    return base


def train(base: Path, method: Any, loader: str = "fp32", **recipe: Any) -> str:
    """Train a few steps in the folder of rows; return the adapter's reference."""
    values = {
        "base": str(base),
        "loader": loader,
        "method": method,
        "objective": {"name": "classification", "max_steps": 3, "learning_rate": 0.02},
        "data": {**DATA, "holdout": 0.2},
        "publish": "adapter",
    } | recipe
    return str(api.train(values).version)


def by_us(ref: str) -> torch.Tensor:
    registry, catalogue = api.open_registry(), get_catalogue()
    folder, _ = resolve_artifact(ref, registry)
    info = read_artifact_info(folder)
    base = find_base(folder, info, registry, catalogue)
    return answers(load_model(folder, info, base, catalogue, "cpu").model)


def by_transformers(ref: str) -> torch.Tensor:
    """Return what plain transformers answers with the version's folder."""
    folder, _ = resolve_artifact(ref, api.open_registry())
    kind = read_artifact_info(folder).head.kind
    with quiet_transformers():
        model = auto_class(kind).from_pretrained(folder, dtype=torch.float32)
    return answers(model.eval())


@pytest.mark.parametrize(
    ("model_type", "method", "loader", "most"),
    [
        *(("bert", method, "fp32", 1e-5) for method in METHODS),
        ("bert", "lora", "bf16", 0.02),
        ("bert", "dora", "nf4", 0.02),
        ("bert", "lora", "int8", 0.02),
        ("gpt2", "lora", "nf4", 0.02),
        ("llama", "lora", "nf4", 0.02),
        ("t5", "lora", "fp32", 1e-5),
    ],
)
def test_the_model_answers_as_adapter_and_base_did(
    ahl: Ahl,
    folder: Path,
    bases: Callable[[str], Path],
    model_type: str,
    method: str,
    loader: str,
    most: float,
) -> None:
    ref = train(bases(model_type), METHODS[method], loader)
    done = ahl("bake", ref, "--into", "whole", "--json")
    assert done.code == 0, done.err
    expected = by_us(ref)
    assert difference(expected, by_us("whole")) <= most
    assert difference(expected, by_transformers("whole")) <= most
    assert done.json["relative_difference"] <= most
    texts = [text for text, _ in TINY_ROWS]
    before, after = (api.load(name).predict_proba(texts) for name in (ref, "whole"))
    assert abs(before - after).max() <= max(most, 1e-4)


def test_merging_into_the_original_weights_would_be_far_off(
    folder: Path, bases: Callable[[str], Path]
) -> None:
    ref = train(bases("llama"), METHODS["lora"], "nf4")
    artifact, _ = resolve_artifact(ref, api.open_registry())
    info, catalogue = read_artifact_info(artifact), get_catalogue()
    found = find_base(artifact, info, api.open_registry(), catalogue)
    method = catalogue.implementation(catalogue.method("lora"))
    loader_spec = catalogue.loader("nf4")
    loader = catalogue.implementation(loader_spec)
    params: Params = loader_spec.params()
    stored = loader.dequantise(loader.load(found, info.head, params, "cpu"))
    original = load_transformer(Path(found.path), info.head, torch.float32, "cpu")
    expected = by_us(ref)
    right = difference(expected, answers(method.bake(stored, artifact).model))
    wrong = difference(expected, answers(method.bake(original, artifact).model))
    assert right < 0.02
    assert wrong > 5 * right
    assert wrong > 0.01


def test_lineage_and_an_override_are_on_record(
    ahl: Ahl, folder: Path, bases: Callable[[str], Path], tmp_path: Path
) -> None:
    ref = train(bases("bert"), METHODS["lora"])
    assert ahl("bake", ref, "--into", "whole", "--alias", "prod").code == 0
    registry = api.open_registry()
    manifest = registry.resolve("whole@prod").manifest
    assert manifest.kind == "model"
    assert [(p.role, p.digest) for p in manifest.parents] == [
        ("adapter", registry.resolve(ref).digest)
    ]
    assert "another_base_than" not in json.dumps(manifest.hyperparameters)
    assert ref in ahl("log", "whole").out
    other = write_tiny_model(tmp_path / "other", num_hidden_layers=2, seed=7)
    refused = ahl("bake", ref, "--into", "odd", "--base", other)
    assert refused.code == 2
    assert "another base" in refused.err
    assert ahl("bake", ref, "--into", "odd", "--base", other, "--any-base").code == 0
    odd = registry.resolve("odd").manifest
    assert odd.hyperparameters["baked"]["another_base_than"] == str(bases("bert"))  # type: ignore[index,call-overload]
    assert odd.base is not None
    assert odd.base.ref == str(other)


def test_weights_may_be_stored_in_sixteen_bits(
    ahl: Ahl, folder: Path, bases: Callable[[str], Path]
) -> None:
    ref = train(bases("bert"), METHODS["lora"])
    assert ahl("bake", ref, "--into", "half", "--dtype", "bfloat16").code == 0
    tensors = api.open_registry().resolve("half").manifest.tensors
    assert tensors is not None
    assert set(tensors.dtypes) == {"BF16"}
    assert difference(by_us(ref), by_us("half")) < 0.02


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"name": "bottleneck"}, "does not declare 'bake'"),
        ({"name": "prefix", "num_virtual_tokens": 4}, "does not declare 'bake'"),
        ({"name": "prompt", "num_virtual_tokens": 4}, "does not declare 'bake'"),
        ("full", "is a whole model already"),
    ],
)
def test_what_cannot_be_merged_is_refused(
    ahl: Ahl, folder: Path, bases: Callable[[str], Path], method: Any, said: str
) -> None:
    ref = train(bases("bert"), method)
    done = ahl("bake", ref, "--into", "whole")
    assert done.code == 2
    assert said in done.err
    assert api.open_registry().names() == ["adapter"]
    if method != "full":
        exported = ahl("export", ref, folder / "out", "--format", "hf")
        assert exported.code == 2
        assert said in exported.err


@pytest.mark.parametrize(
    ("model_type", "objective", "columns", "rows", "files"),
    [
        (
            "llama",
            {"name": "sft", "template": "plain"},
            {},
            [{"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": c}]}
             for t, c in TINY_ROWS],
            {"task.json", "chat.json", "chat_template.jinja"},
        ),
        (
            "bert",
            {"name": "embedding", "batch_size": 4},
            {},
            [{"anchor": t, "positive": t[4:]} for t, _ in TINY_ROWS],
            {"task.json", "modules.json", "1_Pooling/config.json"},
        ),
    ],
)  # fmt: skip
def test_the_objectives_files_go_along_and_a_plain_folder_comes_out(
    ahl: Ahl,
    folder: Path,
    bases: Callable[[str], Path],
    model_type: str,
    objective: dict[str, Any],
    columns: dict[str, Any],
    rows: list[Any],
    files: set[str],
) -> None:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ref = train(
        bases(model_type),
        METHODS["lora"],
        objective={**objective, "max_steps": 2},
        data={"train": "rows.jsonl", "holdout": 0.2, **columns},
    )
    assert ahl("bake", ref, "--into", "whole").code == 0
    names = {entry.path for entry in api.open_registry().resolve("whole").manifest.files}
    assert files <= names
    question = TINY_ROWS[0][0]
    before, after = (api.load(name).predict([question])[0].record() for name in (ref, "whole"))
    assert before.keys() == after.keys()
    done = ahl("export", "whole", folder / "plain", "--format", "hf")
    assert done.code == 0, done.err
    with quiet_transformers():
        kind = read_artifact_info(resolve_artifact("whole", api.open_registry())[0]).head.kind
        plain = auto_class(kind).from_pretrained(folder / "plain").eval()
    assert difference(by_us("whole"), answers(plain)) < 1e-6
    assert (folder / "plain" / "tokenizer.json").is_file()
    refused = ahl("export", "whole", folder / "no", "--format", "peft")
    assert refused.code == 2
    assert "hf" in refused.err


def test_a_published_model_is_a_base_and_an_adapter_is_not(
    ahl: Ahl, folder: Path, bases: Callable[[str], Path]
) -> None:
    ref = train(bases("bert"), METHODS["lora"])
    options = ("--train", "train.csv", "--objective", "classification", "--name", "second",
               "--method", "lora", "--set", "objective.max_steps=1")  # fmt: skip
    refused = ahl("train", *options, "--base", ref)
    assert refused.code == 2
    assert f"{ref} is an adapter, and a base is a whole model" in refused.err
    assert f"ahl bake {ref}" in refused.err
    assert ahl("bake", ref, "--into", "whole").code == 0
    done = ahl("train", *options, "--base", "whole@1")
    assert done.code == 0, done.err
    registry = api.open_registry()
    second = registry.resolve("second").manifest
    assert [(p.role, p.digest) for p in second.parents] == [
        ("base", registry.resolve("whole").digest)
    ]
    assert second.base is not None
    assert second.base.ref == "whole@1"
