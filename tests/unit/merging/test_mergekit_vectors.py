"""The same inputs and the same YAML as mergekit was given: the same numbers, or better ones.

``tests/vectors/merging`` has the inputs, the recipes, and what mergekit made of them;
``regenerate.py`` there makes them anew.
"""

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import adapterhub_lite
from tests.unit.merging.models import State, read_state

VECTORS = Path(__file__).parents[2] / "vectors" / "merging"
BITWISE = (
    "linear",
    "linear_bf16",
    "linear_slices",
    "linear_sum",
    "linear_to_bf16",
    "linear_with_base",
    "passthrough",
    "ties",
)
CLOSE = (
    "arcee_fusion",
    "breadcrumbs",
    "breadcrumbs_ties",
    "karcher",
    "model_stock",
    "model_stock_rows",
    "multislerp",
    "multislerp_base",
    "nearswap",
    "nuslerp",
    "nuslerp_base",
    "nuslerp_columns",
    "nuslerp_rows",
    "precedence",
    "ram",
    "ramplus",
    "sce",
    "sce_selected",
    "slerp",
    "slerp_gradient",
    "task_arithmetic",
    "task_arithmetic_normalised",
    "ties_sum",
)
DIFFERENT = (
    "dare_linear",
    "dare_ties",
    "della",
    "della_linear",
    "linear_gradient",
    "model_stock_small",
    "sce_small",
    "slerp_bf16",
    "task_arithmetic_bf16",
    "ties_bf16",
)
HEAD = ("lm_head.weight", "model.norm.weight")

Merge = Callable[[str], State]


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Merge:
    """Merge a recipe of the vectors with our engine."""
    monkeypatch.chdir(VECTORS)

    def merge(name: str) -> State:
        out = tmp_path / name
        adapterhub_lite.merge(VECTORS / "recipes" / f"{name}.yml", out=out, threads=1)
        return read_state(out)

    return merge


def mergekits(name: str) -> State:
    return load_file(VECTORS / "expected" / f"{name}.safetensors")


def model(name: str) -> State:
    """Return an input in float64."""
    state = load_file(VECTORS / "models" / name / "model.safetensors")
    return {key: value.double() for key, value in state.items()}


def models(kind: str) -> tuple[State, list[State]]:
    """Return the base and the others."""
    near = "fp32" if kind == "small" else kind
    return model(f"{near}/base"), [model(f"{kind}/{name}") for name in ("one", "two", "three")]


def away(found: State, reference: State) -> float:
    """Return the largest distance of a tensor from its reference, relative to the latter."""
    return max(
        float((found[name].double() - value).norm() / value.norm())
        for name, value in reference.items()
    )


def test_every_vector_is_compared() -> None:
    known = {*BITWISE, *CLOSE, *DIFFERENT}
    assert {file.stem for file in (VECTORS / "recipes").iterdir()} == known
    assert {file.stem for file in (VECTORS / "expected").iterdir()} == known
    assert json.loads((VECTORS / "versions.json").read_text())["mergekit"] == "0.1.5"


@pytest.mark.parametrize("name", BITWISE)
def test_bit_for_bit(name: str, ours: Merge) -> None:
    found, expected = ours(name), mergekits(name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("name", CLOSE)
def test_but_for_rounding(name: str, ours: Merge) -> None:
    found, expected = ours(name), mergekits(name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-7, msg=key)


def slerp(first: torch.Tensor, second: torch.Tensor, t: float) -> torch.Tensor:
    """Spherical interpolation, of nearly parallel vectors a straight one."""
    cosine = (first * second).sum() / (first.norm() * second.norm())
    if abs(cosine) > 0.9995:
        return (1 - t) * first + t * second
    angle = torch.arccos(cosine)
    shares = torch.sin((1 - t) * angle), torch.sin(t * angle)
    return (shares[0] * first + shares[1] * second) / torch.sin(angle)


def test_slerp_is_that_of_float64(ours: Merge) -> None:
    base, (one, *_) = models("fp32")
    found = ours("slerp")
    for name, value in found.items():
        reference = slerp(base[name], one[name], 0.3)
        assert float((value.double() - reference).abs().max()) < 1e-7


def in_bf16(name: str) -> State:
    """Return in float64 what is merged of 16-bit models."""
    base, others = models("bf16")
    if name == "slerp_bf16":
        return {key: slerp(value, others[0][key], 0.3) for key, value in base.items()}
    weights = (0.3, 0.5, 0.7)
    return {
        key: value + sum(w * (o[key] - value) for w, o in zip(weights, others, strict=True))
        for key, value in base.items()
    }


@pytest.mark.parametrize("name", ["slerp_bf16", "task_arithmetic_bf16"])
def test_16_bit_results_are_rounded_once(name: str, ours: Merge) -> None:
    found, expected = ours(name), mergekits(name)
    for key, reference in in_bf16(name).items():
        half_a_step = reference.abs() * 2**-8
        assert (found[key].double() - reference).abs().le(half_a_step * 1.001 + 1e-7).all()
        # mergekit rounds task vectors to the inputs' 8 bits, too.
        torch.testing.assert_close(found[key], expected[key], rtol=2**-7, atol=1e-3)


def test_ties_in_bf16_keeps_as_many_and_differs_at_ties_alone(ours: Merge) -> None:
    base, (one, *_) = models("bf16")
    found, expected = ours("ties_bf16"), mergekits("ties_bf16")
    for name, value in base.items():
        kept, wanted = found[name].double() != value, expected[name].double() != value
        delta = (one[name] - value).abs()
        assert kept.sum() == wanted.sum() == min(value.numel() // 2, delta.count_nonzero())
        threshold = delta.flatten().sort(descending=True).values[value.numel() // 2 - 1]
        clear = (delta / threshold - 1).abs() > 2**-7
        assert torch.equal(kept[clear], wanted[clear])


@pytest.mark.parametrize("name", ["dare_linear", "dare_ties", "della", "della_linear"])
def test_random_ones_keep_the_same_share_and_the_same_norm(name: str, ours: Merge) -> None:
    base, (one, *_) = models("fp32")
    for state in (ours(name), mergekits(name)):
        kept = changed = 0
        for key, value in base.items():
            delta, result = one[key] - value, state[key].double() - value
            result[result.abs() < 1e-7] = 0  # what is left of a number that was dropped
            assert not result[delta == 0].any()
            if result.any():
                assert float(result.abs().sum() / delta.abs().sum()) == pytest.approx(1, rel=1e-4)
            kept += int(result.count_nonzero())
            changed += int(delta.count_nonzero())
        share = expected_share(name)
        assert kept / changed == pytest.approx(
            share, abs=5 * (share * (1 - share) / changed) ** 0.5
        )


def expected_share(name: str) -> float:
    """Return how much of a model's changes is kept, of a density of 0.4.

    DELLA's probabilities are by rank, from 0.2 to 0.6, and the 0.3 of a row that are zero take the
    lowest ranks: those that count are kept with 0.2 + 0.4 · 0.65 on average.
    """
    return 0.46 if name.startswith("della") else 0.4


def test_a_gradient_ends_at_the_head(ours: Merge) -> None:
    _, (one, two, _) = models("fp32")
    found, expected = ours("linear_gradient"), mergekits("linear_gradient")
    for name in found.keys() - set(HEAD):
        assert torch.equal(found[name], expected[name])
    # mergekit gives the value of the first layer to all that is in no layer.
    for name in HEAD:
        assert torch.equal(found[name], two[name].float())
        assert torch.equal(expected[name], one[name].float())


def test_model_stock_of_small_changes_is_that_of_float64(ours: Merge) -> None:
    base, others = models("small")
    reference = {}
    for name, value in base.items():
        deltas = [other[name] - value for other in others]
        cosines = [float((a * b).sum() / (a.norm() * b.norm())) for a, b in combinations(deltas, 2)]
        cosine = sum(cosines) / len(cosines)
        t = len(others) * cosine / (1 + (len(others) - 1) * cosine)
        reference[name] = value + t * sum(deltas) / len(others)
    assert away(ours("model_stock_small"), reference) < 1e-7
    # mergekit takes norms below a fixed bound for that bound.
    assert away(mergekits("model_stock_small"), reference) > 1e-5


def test_sce_of_small_changes_is_that_of_float64(ours: Merge) -> None:
    base, others = models("small")
    reference = {}
    for name, value in base.items():
        deltas = torch.stack([other[name] - value for other in others])
        energies = deltas.square().flatten(1).mean(1)
        weights = (energies / energies.sum()).view(-1, *[1] * value.ndim)
        elected = torch.where(deltas.sum(0) >= 0, 1.0, -1.0)
        agree = (deltas.sign() == elected).double()
        total = (agree * weights).sum(0)
        summed = (agree * weights * deltas).sum(0)
        reference[name] = value + torch.where(total > 0, summed / total, 0.0)
    assert away(ours("sce_small"), reference) < 1e-7
    # mergekit weighs all alike where the changes are small.
    assert away(mergekits("sce_small"), reference) > 1e-5
