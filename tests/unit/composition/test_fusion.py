"""AdapterFusion: what it computes, what learns, what is kept, and what it attends to."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from adapterhub_lite import api
from adapterhub_lite.errors import IntegrityError, UnknownNameError
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.protocols import Attached
from adapterhub_lite.specs import Adapter as Named
from adapterhub_lite.specs import Head
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite_fusion import FusionParams
from adapterhub_lite_fusion.attention import blocks_of, mean_attention
from adapterhub_lite_fusion.block import FusionBlock
from adapterhub_lite_registry import RegistryError
from tests.unit.composition.conftest import LABELS, TEXTS, Adapter, Done
from tests.unit.composition.models import PREFIX, State, bare, bottleneck, files_of, folder_of

HEAD = Head(kind="sequence-classification", labels=LABELS, problem="single-label")
METHODS: dict[str, list[dict[str, Any]]] = {
    # ranks, widths and the layers that are adapted may differ
    "lora": [
        {"name": "lora", "r": 2, "target_modules": ["query", "output.dense"]},
        {"name": "lora", "r": 5, "lora_alpha": 20, "target_modules": "all-linear"},
        {"name": "lora", "r": 3, "use_rslora": True},
    ],
    "bottleneck": [
        {"name": "bottleneck", "bottleneck_size": 3},
        {"name": "bottleneck", "bottleneck_size": 7, "scaling": 2.5, "non_linearity": "relu"},
        {"name": "bottleneck", "style": "houlsby", "non_linearity": "relu", "layers": [1]},
    ],
}


@pytest.fixture
def members(adapter: Adapter) -> Callable[[str], list[Named]]:
    """Return a function that gives three adapters of a method, as a plan finds them."""

    def make(method: str) -> list[Named]:
        refs = [adapter(f"{method}-{n}", given) for n, given in enumerate(METHODS[method])]
        return [Named(ref, folder_of(ref), method=method) for ref in refs]

    return make


def implementation() -> Any:
    return get_catalogue().implementation(get_catalogue().method("fusion"))


def attached_to(base: Path, adapters: list[Named]) -> Attached:
    """Return a fusion whose attention and head are of random numbers, and sharp."""
    torch.manual_seed(3)
    loaded = load_transformer(base, HEAD, torch.float32, "cpu")
    attached: Attached = implementation().attach(loaded, FusionParams(adapters=adapters))
    for name, value in attached.model.named_parameters():
        if name in attached.trainable:
            value.data += 0.7 * torch.randn(value.shape)
    return attached


@torch.no_grad()
def logits(model: Any, tokenizer: Any) -> Any:
    return model.eval()(**tokenizer(list(TEXTS), return_tensors="pt", padding=True)).logits


@pytest.mark.parametrize("method", METHODS)
def test_it_computes_what_the_paper_says(
    members: Callable[[str], list[Named]], bases: Callable[..., Path], method: str, tmp_path: Path
) -> None:
    adapters = members(method)
    attached = attached_to(bases(), adapters)
    implementation().save(attached, tmp_path)
    found = logits(attached.model, attached.tokenizer)
    own = load_file(tmp_path / "adapter_model.safetensors")
    model = bare(bases(), len(LABELS))
    parameters = dict(model.named_parameters())
    for name in own.keys() & parameters.keys():
        parameters[name].data = own[name].double()
    places = {name.partition(".mixture.")[0] for name in own if ".mixture." in name}
    assert len(places) > 2
    for place in places:
        hook = _Fused(place, own, [one.ref for one in adapters])
        model.get_submodule(place).register_forward_hook(hook)
    expected = logits(model, attached.tokenizer)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-4


class _Fused:
    """One layer's attention by the paper's formulas, in 64 bits, from the files."""

    def __init__(self, place: str, own: State, refs: list[str]) -> None:
        self.place, self.refs = place, refs
        self.own = {
            name.removeprefix(f"{place}.mixture."): value.double().numpy()
            for name, value in own.items()
            if name.startswith(f"{place}.mixture.")
        }

    def __call__(self, _: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
        h = output.numpy()
        z = np.stack([self._change(ref, given[0], output) for ref in self.refs])
        query = h @ self.own["query.weight"].T + self.own["query.bias"]
        keys, values = z @ self.own["key.weight"].T, z @ self.own["value.weight"].T
        scores = (query[None] * keys).sum(-1)
        weights = np.exp(scores - scores.max(0))
        weights /= weights.sum(0)
        assert weights.max() > 0.45, "an even attention would show nothing"
        return torch.from_numpy(h + (weights[..., None] * values).sum(0))

    def _change(self, ref: str, x: torch.Tensor, y: torch.Tensor) -> NDArray[np.float64]:
        config, state = files_of(ref)
        if f"{self.place}.bottleneck_down.weight" in state:
            return bottleneck(y, self.place, config, state).numpy()
        if f"{self.place}.lora_A.weight" not in state:
            return np.zeros(y.shape)
        down, up = (state[f"{self.place}.lora_{one}.weight"].double() for one in "AB")
        scale = config["lora_alpha"] / (config["r"] ** (0.5 if config["use_rslora"] else 1))
        return (scale * (x @ down.T @ up.T)).numpy()


def test_all_attention_on_one_adapter_is_that_adapter() -> None:
    block = FusionBlock(4)
    hidden, changes = torch.randn(2, 5, 4), torch.randn(2, 5, 3, 4)
    for number in range(3):
        block.query.weight.data = 1e4 * torch.eye(4)
        block.key.weight.data = torch.eye(4)
        towards = changes[..., number, :]
        others = [n for n in range(3) if n != number]
        changes[..., others, :] = -changes[..., others, :].abs() * hidden.sign().unsqueeze(-2)
        changes[..., number, :] = towards.abs() * hidden.sign()
        assert torch.equal(block(hidden, changes), changes[..., number, :])


@pytest.mark.parametrize("method", METHODS)
def test_it_comes_back_to_the_bit_and_needs_its_members_no_more(
    members: Callable[[str], list[Named]],
    bases: Callable[..., Path],
    method: str,
    tmp_path: Path,
) -> None:
    adapters = members(method)
    attached = attached_to(bases(), adapters)
    expected = logits(attached.model, attached.tokenizer)
    implementation().save(attached, tmp_path)
    for number, one in enumerate(adapters):
        copy = tmp_path / "adapters" / str(number)
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            assert (copy / file).read_bytes() == (one.folder / file).read_bytes()
    before = torch.random.get_rng_state()
    loaded = load_transformer(bases(), HEAD, torch.float32, "cpu")
    drawn = torch.random.get_rng_state()
    found = implementation().load(loaded, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert not torch.equal(before, drawn), "a base with a new head draws"
    assert torch.equal(logits(found.model, attached.tokenizer), expected)
    assert not any(value.requires_grad for value in found.model.parameters())


def test_only_attention_and_head_learn(
    members: Callable[[str], list[Named]], bases: Callable[..., Path]
) -> None:
    attached = attached_to(bases(), members("bottleneck"))
    others = {
        name
        for name in attached.trainable
        if not name.startswith(("classifier.", "bert.pooler.")) and ".mixture." not in name
    }
    assert not others
    assert {n for n, v in attached.model.named_parameters() if v.requires_grad} == (
        attached.trainable
    )


def test_the_penalty_is_the_distance_of_the_values_from_the_identity(
    members: Callable[[str], list[Named]], bases: Callable[..., Path]
) -> None:
    adapters = members("bottleneck")
    attached = attached_to(bases(), adapters)
    learnt = attached.model.state_dict()
    values = [v.double() for n, v in learnt.items() if n.endswith("mixture.value.weight")]
    expected = sum(float((value - torch.eye(len(value))).pow(2).sum()) for value in values)
    assert attached.penalty is not None
    assert float(attached.penalty().detach()) == pytest.approx(0.01 * expected, rel=1e-5)
    params = FusionParams(adapters=adapters, regularization=0)
    loaded = load_transformer(bases(), HEAD, torch.float32, "cpu")
    assert implementation().attach(loaded, params).penalty is None


def test_how_much_each_adapter_is_attended_to(
    members: Callable[[str], list[Named]], bases: Callable[..., Path]
) -> None:
    adapters = members("bottleneck")
    attached = attached_to(bases(), adapters)
    even = blocks_of(attached.model)[0]
    even[1].key.weight.data.zero_()
    found = mean_attention(attached.model, lambda: logits(attached.model, attached.tokenizer))
    assert list(found) == [place for place, _ in blocks_of(attached.model)]
    for weights in found.values():
        assert list(weights) == [one.ref for one in adapters]
        assert sum(weights.values()) == pytest.approx(1)
    assert found[even[0]] == pytest.approx({one.ref: 1 / 3 for one in adapters})
    assert found[blocks_of(attached.model)[-1][0]] != pytest.approx(found[even[0]], abs=0.01)


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        (None, IntegrityError, r"fusion\.json cannot be read"),
        ({"method": "bottleneck", "adapters": ["a"]}, IntegrityError, "cannot be read"),
        (
            {"method": "bottleneck", "adapters": ["a", "a"]},
            IntegrityError,
            "names an adapter twice",
        ),
        ({"method": "bottlenek", "adapters": ["a", "b"]}, UnknownNameError, "bottlenek"),
        ({"method": "bottleneck", "adapters": [*"abcd"]}, IntegrityError, "cannot be read"),
    ],
)
def test_files_that_were_changed_are_refused(
    members: Callable[[str], list[Named]],
    bases: Callable[..., Path],
    said: Mapping[str, Any] | None,
    error: type[Exception],
    match: str,
    tmp_path: Path,
) -> None:
    implementation().save(attached_to(bases(), members("bottleneck")), tmp_path)
    (tmp_path / "fusion.json").write_text("{" if said is None else json.dumps(said))
    with pytest.raises(error, match=match):
        implementation().load(load_transformer(bases(), HEAD, torch.float32, "cpu"), tmp_path)


def test_an_adapter_of_a_bare_transformer_is_found_within_one_with_a_head(
    members: Callable[[str], list[Named]], bases: Callable[..., Path], tmp_path: Path
) -> None:
    headed = members("lora")
    renamed = []
    for one in headed:
        folder = tmp_path / one.ref
        folder.mkdir()
        config = json.loads((one.folder / "adapter_config.json").read_text())
        config |= {"modules_to_save": None, "task_type": "FEATURE_EXTRACTION"}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        own = load_file(one.folder / "adapter_model.safetensors")
        bared = {n.replace("model.bert.", "model."): v for n, v in own.items() if "lora_" in n}
        save_file(bared, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        renamed.append(Named(one.ref, folder, method="lora"))
    attached, other = attached_to(bases(), headed), attached_to(bases(), renamed)
    expected = logits(attached.model, attached.tokenizer)
    assert torch.equal(logits(other.model, other.tokenizer), expected)


def test_a_lost_part_of_the_attention_is_noticed(
    members: Callable[[str], list[Named]], bases: Callable[..., Path], tmp_path: Path
) -> None:
    implementation().save(attached_to(bases(), members("lora")), tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    own = load_file(file)
    lost = next(name for name in own if name.endswith("mixture.value.weight"))
    del own[lost]
    save_file(own, file, metadata={"format": "pt"})
    with pytest.raises(IntegrityError, match=lost):
        implementation().load(load_transformer(bases(), HEAD, torch.float32, "cpu"), tmp_path)


def test_a_version_is_trained_and_stands_on_its_own(
    adapter: Adapter,
    bases: Callable[..., Path],
    ahl: Callable[..., Done],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From a recipe to a version that is loaded, shown and kept from losing its members."""
    written = "adapterhub_lite.training.artifact.write_report"
    monkeypatch.setattr(written, lambda file, *_: file.touch())
    refs = [adapter("topics"), adapter("mails", {"name": "lora", "r": 3})]
    registry = api.open_registry()
    registry.set_alias("topics", "prod", 1)
    rows = tmp_path / "rows.csv"
    lines = (f"{text} {n},{LABELS[n % 3]}\n" for n, text in enumerate(TEXTS * 3))
    rows.write_text("text,label\n" + "".join(lines))
    recipe = {
        "base": str(bases()),
        "method": {"name": "fusion", "adapters": ["topics@prod", refs[1]]},
        "objective": {
            "name": "classification",
            "max_steps": 6,
            "learning_rate": 0.02,
            "batch_size": 16,
        },
        "data": {"train": str(rows)},
        "publish": "fused",
    }
    trained = api.train(recipe)
    lines = (trained.folder / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    steps = [event["loss"] for event in events if event["event"] == "step" and "loss" in event]
    assert steps[-1] < steps[0]
    assert trained.version is not None
    manifest = trained.version.manifest
    assert manifest.recipe["method"]["adapters"] == refs
    assert [(one.role, one.digest) for one in manifest.parents] == [
        ("member", registry.resolve(ref).digest) for ref in refs
    ]
    with pytest.raises(RegistryError, match="fused@1"):
        registry.remove(refs[1])
    answered = ahl("predict", "fused", TEXTS[0])
    assert (answered.code, answered.err) == (0, "")
    assert any(label in answered.out for label in LABELS)
    refused = ahl("bake", "fused", "--into", "baked")
    assert refused.code == 2
    assert "fusion" in refused.err
    predictor: Any = api.load("fused")
    found = mean_attention(predictor.scorer.model, lambda: predictor.predict(list(TEXTS)))
    assert {name for weights in found.values() for name in weights} == set(refs)
    assert PREFIX not in next(iter(found))


def test_a_composition_called_so_is_told_to_be_trained(adapter: Adapter, compose: Any) -> None:
    for name in ("fuse", "fusion"):
        with pytest.raises(UnknownNameError) as refused:
            compose(name, adapter(f"a-{name}"), adapter(f"b-{name}"))
        assert "there is the method 'fusion': ahl train, with method: fusion" in refused.value.hint
