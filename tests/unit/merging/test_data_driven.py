"""Merges that compute with data: against references from the formulas, and what is refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import adapterhub_lite
from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError, DataError, MergeError, RecipeError, UserError
from adapterhub_lite.merging.memory import merge_states
from adapterhub_lite.merging.reading import plan_recipe
from adapterhub_lite.merging.run import run_merge
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.specs import Head
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite_merges.adaptive import entropy
from adapterhub_lite_merges.data_driven import scores
from tests.unit.merging.models import State, read_state
from tests.unit.merging.versions import classifier, few_shot, talker

CATALOGUE = get_catalogue(first_party_only=True)
ROWS = {
    "fruit": [f"{a} {b}" for a in ("apple", "ripe pear", "plum") for b in ("sweet", "is juicy")],
    "tool": [f"{a} {b}" for a in ("hammer", "rusty saw", "bolt") for b in ("heavy", "is sharp")],
}
LABELS = ("fruit", "tool")


@dataclass(frozen=True)
class Home:
    """Two whole classifiers in folders, a LoRA adapter in a registry, their base, and rows."""

    place: Path
    base: Path
    registry: Any

    @property
    def rows(self) -> dict[str, str]:
        return {"train": str(self.place / "rows.csv")}

    def folder(self, name: str) -> Path:
        return self.place / name

    def ref(self, name: str) -> str:
        return str(self.folder(name)) if name in ("one", "two") else name

    def entries(self, *names: str, **params: Any) -> list[dict[str, Any]]:
        return [{"ref": self.ref(name), "data": self.rows, **params} for name in names]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    place = tmp_path_factory.mktemp("data-driven")
    base = write_tiny_model(place / "base", "bert")
    pairs = [(text, label) for label, texts in ROWS.items() for text in texts]
    lines = ["text,label", *(f"{text},{label}" for text, label in pairs)]
    (place / "rows.csv").write_text("\n".join(lines) + "\n")
    registry = api.open_registry(place / "home")
    recipe = {
        "base": str(base),
        "method": {"name": "lora", "r": 4},
        "objective": {"name": "classification", "max_steps": 4, "learning_rate": 0.01},
        "data": {"train": str(place / "rows.csv")},
        "publish": "lora",
    }
    adapterhub_lite.train(recipe, registry=registry)
    for seed, name in enumerate(("one", "two")):
        tuned(place / name, base, seed)
    return Home(place, base, registry)


def tuned(folder: Path, base: Path, seed: int) -> None:
    """Write a classifier that differs from a base by noise, and from others in its head."""
    classifier(folder, seed, LABELS)
    generator = torch.Generator().manual_seed(seed)
    state = load_file(folder / "model.safetensors")
    for name, value in read_state(base).items():
        noise = torch.randn(value.shape, generator=generator)
        state[f"bert.{name}"] = value + 0.05 * noise
    state["classifier.weight"] *= 20
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def merge(home: Home, tmp_path: Path) -> Callable[..., State]:
    """Merge by a recipe; return the tensors."""

    def run(recipe: dict[str, Any], threads: int = 1) -> State:
        values = {"heads": "omit", **recipe}
        plan = plan_recipe(values, (), CATALOGUE, home.registry, threads, device="cpu")
        out = tmp_path / f"merged-{len(list(tmp_path.iterdir()))}"
        run_merge(plan, CATALOGUE, home.registry, out=out)
        return read_state(out)

    return run


def whole(folder: Path) -> Any:
    """Load a classifier with transformers alone, in 64 bits."""
    return AutoModelForSequenceClassification.from_pretrained(folder).double().eval()


def encoded(folder: Path, texts: Sequence[str]) -> Any:
    return AutoTokenizer.from_pretrained(folder)(list(texts), return_tensors="pt", padding=True)


def texts() -> list[str]:
    return [text for own in ROWS.values() for text in own]


def fisher_by_hand(folder: Path) -> dict[str, torch.Tensor]:
    """Σ over rows and labels of p(y|x)·(∇ log p(y|x))², each by a backward pass of its own."""
    model = whole(folder)
    total = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    for text in texts():
        for label in range(len(LABELS)):
            model.zero_grad()
            chances = model(**encoded(folder, [text])).logits[0].softmax(-1)
            chances[label].log().backward()
            for name, value in model.named_parameters():
                if value.grad is not None:
                    total[name] += chances[label].detach() * value.grad**2
    return {name: value / len(texts()) for name, value in total.items()}


@pytest.mark.parametrize("normalize", [True, False])
def test_fisher_weighs_each_number_by_its_information(
    home: Home, merge: Callable[..., State], normalize: bool
) -> None:
    strategy = {"name": "fisher", "normalize": normalize}
    models = [*home.entries("one", weight=2.0), *home.entries("two")]
    merged = merge({"strategy": strategy, "models": models})
    states = [load_file(home.folder(name) / "model.safetensors") for name in ("one", "two")]
    information = [fisher_by_hand(home.folder(name)) for name in ("one", "two")]
    for own, weight in zip(information, (2.0, 1.0), strict=True):
        size = torch.cat([own[name].flatten() for name in merged]).square().mean().sqrt()
        for name in merged:
            own[name] = weight * (own[name] / (size if normalize else 1.0)).clamp(min=1e-6)
    for name, found in merged.items():
        one, two = (state[name].double() for state in states)
        expected = (information[0][name] * one + information[1][name] * two) / (
            information[0][name] + information[1][name]
        )
        assert torch.allclose(found.double(), expected, rtol=1e-4, atol=1e-6), name
    query = "bert.encoder.layer.0.attention.self.query.weight"
    mean = (2 * states[0][query] + states[1][query]) / 3
    assert float((merged[query] - mean).abs().mean()) > 0.001


def inputs_of(folder: Path, weight: str) -> np.ndarray[Any, Any]:
    """Record what a layer is called with, row by row, so that there is no padding."""
    model = whole(folder)
    seen: list[torch.Tensor] = []
    module = model.get_submodule(weight.removesuffix(".weight"))
    module.register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
    with torch.no_grad():
        for text in texts():
            model(**encoded(folder, [text]))
    return torch.cat(seen).numpy()


def test_regmean_solves_the_normal_equations(home: Home, merge: Callable[..., State]) -> None:
    recipe = {"strategy": "regmean", "models": home.entries("one", "two")}
    merged = merge(recipe)
    folders = [home.folder(name) for name in ("one", "two")]
    states = [load_file(folder / "model.safetensors") for folder in folders]
    for weight in ("attention.self.query.weight", "output.dense.weight"):
        name = f"bert.encoder.layer.1.{weight}"
        grams = []
        for folder in folders:
            gram = (recorded := inputs_of(folder, name)).T @ recorded
            grams.append(0.95 * gram + 0.05 * np.diag(np.diag(gram)))
        outputs = sum(
            gram @ state[name].double().numpy().T for gram, state in zip(grams, states, strict=True)
        )
        expected = np.linalg.solve(sum(grams), outputs).T
        assert np.allclose(merged[name].numpy(), expected, rtol=1e-3, atol=1e-5), weight
        mean = (states[0][name] + states[1][name]) / 2
        assert not np.allclose(expected, mean.numpy(), atol=1e-4)
    norm = "bert.encoder.layer.1.output.LayerNorm.weight"
    assert torch.allclose(merged[norm], (states[0][norm] + states[1][norm]) / 2)
    assert merge(recipe, threads=3).keys() == merged.keys()
    assert all(torch.equal(value, merged[name]) for name, value in merge(recipe, 3).items())


def test_regmean_of_equal_inputs_is_the_mean(
    home: Home, merge: Callable[..., State], tmp_path: Path
) -> None:
    """Only embeddings decide what the first layer reads: two models that have the same ones."""
    other = tmp_path / "other"
    other.mkdir()
    for file in home.folder("one").iterdir():
        if file.is_file():
            (other / file.name).write_bytes(file.read_bytes())
    state = load_file(other / "model.safetensors")
    name = "bert.encoder.layer.0.attention.self.query.weight"
    changed = {**state, name: state[name] + 0.1}
    save_file(changed, other / "model.safetensors", metadata={"format": "pt"})
    merged = merge({"strategy": "regmean", "models": home.entries("one", str(other))})
    assert torch.allclose(merged[name], state[name] + 0.05, atol=1e-5)


def mean_entropy(home: Home, merged: State, names: Sequence[str]) -> float:
    """The sum over tasks of the mean entropy of the merged encoder with each task's head."""
    total = 0.0
    for name in names:
        model = whole(home.folder(name))
        own = model.state_dict()
        shared = {key: value.double() for key, value in merged.items() if key in own}
        assert shared
        model.load_state_dict({**own, **shared})
        with torch.no_grad():
            chances = model(**encoded(home.folder(name), texts())).logits.softmax(-1)
        total += float(-(chances * chances.log()).sum(-1).mean())
    return total


def adaptive(home: Home, **params: Any) -> dict[str, Any]:
    strategy = {"name": "adamerging", "learning_rate": 0.05, **params}
    return {"base": str(home.base), "strategy": strategy, "models": home.entries("one", "two")}


@pytest.mark.parametrize("wise", ["layer", "task"])
def test_adamerging_makes_predictions_more_certain(
    home: Home, merge: Callable[..., State], wise: str
) -> None:
    before = merge(adaptive(home, steps=0))
    after = merge(adaptive(home, steps=10, wise=wise))
    names = ("one", "two")
    assert mean_entropy(home, after, names) < 0.9 * mean_entropy(home, before, names)
    again = merge(adaptive(home, steps=10, wise=wise), threads=2)
    assert all(torch.equal(value, again[name]) for name, value in after.items())


def test_adamerging_begins_with_the_initial_coefficient(
    home: Home, merge: Callable[..., State]
) -> None:
    recipe = adaptive(home, steps=0)
    plain = {**recipe, "strategy": {"name": "task_arithmetic", "weight": 0.3}}
    plain["models"] = [home.ref("one"), home.ref("two")]
    merged, expected = merge(recipe), merge(plain)
    assert merged.keys() == expected.keys()
    assert all(torch.allclose(value, expected[name]) for name, value in merged.items())


def test_adamerging_follows_the_entropys_slope(home: Home, merge: Callable[..., State]) -> None:
    """One step of Adam is the learning rate against the sign of the slope, whatever its size."""
    rate = 1e-3
    names = ("one", "two")
    started = {0: merge(adaptive(home, steps=0, examples=8))}
    stepped = merge(adaptive(home, steps=1, learning_rate=rate, wise="task", examples=8))
    base = read_state(home.base)
    name = "encoder.layer.1.output.dense.weight"
    deltas = torch.stack(
        [
            (load_file(home.folder(n) / "model.safetensors")[f"bert.{name}"] - base[name]).flatten()
            for n in names
        ]
    )
    moved = (stepped[f"bert.{name}"] - started[0][f"bert.{name}"]).flatten()
    found = torch.linalg.lstsq(deltas.T.double(), moved.double()).solution
    assert torch.allclose(found.abs(), torch.full((2,), rate).double(), rtol=1e-2)


def test_an_adapter_is_a_model_as_well(home: Home, merge: Callable[..., State]) -> None:
    """With itself merged, an adapter stays what it makes of its base."""
    for name in ("fisher", "regmean"):
        models = home.entries("lora", "lora")
        merged = merge({"strategy": name, "models": models})
        plain = merge({"strategy": "linear", "models": ["lora", "lora"]})
        assert merged.keys() == plain.keys()
        assert all(torch.allclose(merged[n], plain[n], atol=1e-5) for n in plain)


def test_language_models_are_weighted_by_drawn_tokens(
    merge: Callable[..., State], home: Home, tmp_path: Path
) -> None:
    folders = [talker(tmp_path / name, seed) for seed, name in enumerate(("a", "b"))]
    rows = tmp_path / "chats.jsonl"
    rows.write_text('{"messages": [{"role": "user", "content": "the apple is sweet"}]}\n' * 4)
    models = [{"ref": str(folder), "data": {"train": str(rows)}} for folder in folders]
    recipe = {"strategy": "fisher", "models": models, "heads": "refuse"}
    merged = merge(recipe)
    assert all(torch.equal(value, merged[n]) for n, value in merge(recipe).items())
    drawn = merge({**recipe, "seed": 5})
    assert any(not torch.equal(value, merged[name]) for name, value in drawn.items())
    one, two = (read_state(folder) for folder in folders)
    for name, value in merged.items():
        low, high = torch.minimum(one[name], two[name]), torch.maximum(one[name], two[name])
        assert bool(((low - 1e-6 <= value) & (value <= high + 1e-6)).all()), name


@pytest.mark.parametrize(
    ("problem", "count"),
    [("single-label", 3), ("single-label", 14), ("multi-label", 3), ("multi-label", 14)],
)
def test_scores_have_the_fisher_information_of_their_distribution(problem: Any, count: int) -> None:
    """In logits it is diag(p) - ppᵀ for one label, p(1 - p) for labels apart; drawn, on average."""
    logits = torch.linspace(-1.0, 1.0, count, dtype=torch.float64, requires_grad=True)
    head = Head(kind="sequence-classification", problem=problem)
    generator = torch.Generator().manual_seed(0)
    draws = 1 if count < 10 else 4000
    total = torch.zeros(count, dtype=torch.float64)
    for _ in range(draws):
        for score in scores(head, logits, generator):
            (gradient,) = torch.autograd.grad(score, logits, retain_graph=True)
            total += gradient.square() / draws
    chances = logits.detach().softmax(-1) if problem == "single-label" else logits.sigmoid()
    expected = (chances * (1 - chances)).detach()
    assert torch.allclose(total, expected, rtol=1e-9 if draws == 1 else 0.2)


def test_entropy_is_that_of_the_predictions() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, 40.0]])
    one = Head(kind="sequence-classification", problem="single-label")
    several = Head(kind="sequence-classification", problem="multi-label")
    assert float(entropy(one, logits)) == pytest.approx(np.log(2) / 2)
    assert float(entropy(several, logits)) == pytest.approx(3 * np.log(2) / 2)


def test_an_adapter_comes_out_of_data_too(home: Home, tmp_path: Path) -> None:
    base = {"base": str(home.base), "heads": "omit", "strategy": "fisher"}
    recipe = {**base, "models": home.entries("one", "lora")}
    states = []
    for number, output in enumerate(({}, {"kind": "adapter", "rank": 32, "rest": "omit"})):
        values = {**recipe, "output": output}
        plan = plan_recipe(values, (), CATALOGUE, home.registry, 2, device="cpu")
        run_merge(plan, CATALOGUE, home.registry, out=tmp_path / str(number))
        states.append(read_state(tmp_path / str(number)))
    merged, adapter = states
    own, layers = read_state(home.base), 0
    for name, down in adapter.items():
        if not name.endswith("lora_A.weight"):
            continue
        change = adapter[name.replace("lora_A", "lora_B")] @ down
        weight = name.removeprefix("base_model.model.").replace("lora_A.", "")
        found = merged.get(f"bert.{weight}", merged.get(weight))
        assert torch.allclose(own[weight] + change, found, atol=1e-5)
        layers += 1
    assert layers > 12


def refusals() -> list[tuple[str, Callable[[Home], dict[str, Any]], type[UserError], str]]:
    return [
        (
            "one model has no data",
            lambda h: {"strategy": "fisher", "models": [*h.entries("one"), h.ref("two")]},
            RecipeError,
            "models.1.data",
        ),
        (
            "no model has data",
            lambda h: {"strategy": "regmean", "models": [h.ref("one"), h.ref("two")]},
            CapabilityError,
            "computes with rows of data",
        ),
        (
            "data is of no use",
            lambda h: {"strategy": "linear", "models": h.entries("one", "two")},
            CapabilityError,
            "makes no use of data",
        ),
        (
            "a stranger's model",
            lambda h: {
                "strategy": "fisher",
                "models": [*h.entries("one"), {"ref": str(h.base), "data": h.rows}],
            },
            CapabilityError,
            "no version of this project's",
        ),
        (
            "a file that is missing",
            lambda h: {
                "strategy": "fisher",
                "models": [{"ref": h.ref("one"), "data": {"train": "x.csv"}}],
            },
            DataError,
            "x.csv",
        ),
        (
            "keys about labels",
            lambda h: {
                "strategy": "fisher",
                "models": [{"ref": h.ref("one"), "data": {**h.rows, "label": "label"}}],
            },
            RecipeError,
            "models.0.data.label",
        ),
        (
            "a parameter by part",
            lambda h: {
                "strategy": {"name": "fisher", "floor": {"embeddings": 0.1, "rest": 0.2}},
                "models": h.entries("one", "two"),
            },
            RecipeError,
            "one value",
        ),
        (
            "no base",
            lambda h: {"strategy": "adamerging", "models": h.entries("one", "two")},
            CapabilityError,
            "base",
        ),
        (
            "slices",
            lambda h: {
                "strategy": "fisher",
                "slices": [{"models": [{"ref": h.ref("one"), "data": h.rows, "layers": [0, 1]}]}],
            },
            CapabilityError,
            "layers alone",
        ),
        (
            "an adapter of no rank",
            lambda h: {
                "strategy": "fisher",
                "models": h.entries("lora", "lora"),
                "output": {"kind": "adapter"},
            },
            UserError,
            "data",
        ),
        (
            "a stage",
            lambda h: {
                "strategy": "fisher",
                "stages": {"s": {"strategy": "linear", "models": [h.ref("one"), h.ref("two")]}},
                "models": [*h.entries("one"), {"stage": "s", "data": h.rows}],
            },
            CapabilityError,
            "stage",
        ),
    ]


@pytest.mark.parametrize(
    ("make", "error", "reason"), [case[1:] for case in refusals()], ids=[c[0] for c in refusals()]
)
def test_what_is_refused_at_planning(
    home: Home,
    make: Callable[[Home], dict[str, Any]],
    error: type[UserError],
    reason: str,
) -> None:
    with pytest.raises(error, match=reason):
        plan_recipe({"heads": "omit", **make(home)}, (), CATALOGUE, home.registry, 1, device="cpu")


def test_heads_that_are_no_distribution_are_refused(home: Home, tmp_path: Path) -> None:
    folder = few_shot(tmp_path / "few", 0)
    talking = talker(tmp_path / "talker", 0)
    (tmp_path / "documents.csv").write_text("text\nthe apple\n")
    for strategy, ref in (("fisher", folder), ("adamerging", folder), ("adamerging", talking)):
        rows = tmp_path / "documents.csv"
        entry = {"ref": str(ref), "data": {"train": str(rows)}}
        base = {"base": str(ref)} if strategy == "adamerging" else {}
        recipe = {"strategy": strategy, "models": [entry], **base}
        with pytest.raises(CapabilityError, match=r"no (distribution|head over labels)"):
            plan_recipe(recipe, (), CATALOGUE, home.registry, 1, device="cpu")


def test_a_model_without_information_is_refused(
    home: Home, merge: Callable[..., State], tmp_path: Path
) -> None:
    """A head of zeros answers alike whatever the encoder says."""
    folder = tmp_path / "silent"
    folder.mkdir()
    for file in home.folder("one").iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    state = load_file(folder / "model.safetensors")
    state["classifier.weight"].zero_()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MergeError, match=r"silent.* has no Fisher information"):
        merge({"strategy": "fisher", "models": home.entries("one", str(folder))})


def test_states_in_memory_have_no_data() -> None:
    states = [{"weight": nn.Linear(2, 2).weight.detach()}] * 2
    with pytest.raises(CapabilityError, match="computes with rows of data"):
        merge_states(states, "fisher", CATALOGUE)


def test_rows_that_change_make_it_another_merge(home: Home, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    recipe = {
        "strategy": "fisher",
        "heads": "omit",
        "models": [{"ref": home.ref("one"), "data": {"train": str(rows)}}],
    }
    digests = set()
    for content in ("text\nthe apple\n", "text\nthe apple and the plum\n"):
        rows.write_text(content)
        plan = plan_recipe(recipe, (), CATALOGUE, home.registry, 1, device="cpu")
        digests.add(plan.digest)
    assert len(digests) == 2


def test_a_stage_computes_with_data_of_its_own(home: Home, merge: Callable[..., State]) -> None:
    fisher = {"strategy": "fisher", "models": home.entries("one", "two")}
    recipe = {"strategy": "linear", "stages": {"both": fisher}, "models": [{"stage": "both"}]}
    direct = merge(fisher)
    staged = merge({**recipe, "models": [{"stage": "both"}, {"stage": "both"}]})
    assert staged.keys() == direct.keys()
    assert all(torch.allclose(value, direct[name]) for name, value in staged.items())


def test_a_module_of_a_model_is_merged_with_data(home: Home, merge: Callable[..., State]) -> None:
    section = {"strategy": "regmean", "models": home.entries("one", "two")}
    recipe = {"base": home.ref("one"), "modules": {"bert.encoder": section}}
    merged = merge({**recipe, "models": [home.ref("one"), home.ref("two")]})
    whole_merge = merge(section)
    name = "bert.encoder.layer.1.output.dense.weight"
    assert torch.equal(merged[name], whole_merge[name])
