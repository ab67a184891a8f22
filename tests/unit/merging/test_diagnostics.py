"""Comparing models before a merge: the figures, against NumPy in float64, and what they suggest."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.errors import CapabilityError, MergeError
from adapterhub_lite.merging.diagnosis import effective_rank
from adapterhub_lite.merging.diagnosis.diagnose import Diagnosis, Part, diagnose
from adapterhub_lite.merging.diagnosis.hints import RULES, hints, letter
from adapterhub_lite.merging.diagnosis.picture import diagnosis_png
from adapterhub_lite.merging.engine import Settings
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.sources import Source, StateSource

State = dict[str, torch.Tensor]
SHAPES = {
    "embed.weight": (30, 8),
    "layers.0.up.weight": (12, 20),
    "layers.0.up.bias": (12,),
    "layers.1.up.weight": (20, 12),
    "layers.1.conv.weight": (6, 4, 3),
    "layers.10.up.weight": (9, 9),
    "final_norm.weight": (8,),
    "lm_head.weight": (30, 8),
    "scale": (),
}


def grid(shape: tuple[int, ...], seed: int, step: float = 1 / 16) -> torch.Tensor:
    """Draw multiples of ``step``: sums are exact, and many magnitudes are equal, zeros among."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).div(step).round().mul(step)


def a_base() -> State:
    return {name: grid(shape, number) for number, (name, shape) in enumerate(SHAPES.items())}


def a_model(base: Mapping[str, torch.Tensor], seed: int, scale: float = 1.0) -> State:
    """Return a model whose difference from the base is exact in 32-bit floats."""
    return {
        name: value + scale * grid(tuple(value.shape), 1000 * seed + number, step=1 / 4)
        for number, (name, value) in enumerate(base.items())
    }


def three() -> tuple[State, list[State]]:
    base = a_base()
    return base, [a_model(base, seed) for seed in (1, 2, 3)]


def compared(
    models: Sequence[Mapping[str, torch.Tensor]],
    base: Mapping[str, torch.Tensor],
    settings: Settings | None = None,
) -> Diagnosis:
    sources = [StateSource(state, f"m{number}") for number, state in enumerate(models)]
    return diagnose(sources, StateSource(base, "base"), settings=settings)


# The reference: everything at once, in float64.


def changes(model: State, base: State, names: Sequence[str]) -> list[np.ndarray[Any, Any]]:
    return [(model[name].double() - base[name].double()).numpy() for name in names]


def largest(delta: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mark the fifth of entries that changed most, of equals the first; what changed at all."""
    flat = np.abs(delta).reshape(-1)
    kept = np.zeros(len(flat), bool)
    kept[np.argsort(-flat, kind="stable")[: max(1, round(len(flat) / 5))]] = True
    return kept & (flat > 0)


def ratio(upper: float, lower: float) -> float | None:
    return upper / lower if lower else None


def expected_pair(
    one: Sequence[np.ndarray[Any, Any]], other: Sequence[np.ndarray[Any, Any]]
) -> dict[str, float | None]:
    x, y = (np.concatenate([delta.reshape(-1) for delta in part]) for part in (one, other))
    top_x, top_y = (np.concatenate([largest(delta) for delta in part]) for part in (one, other))
    opposed, both = x * y < 0, (x != 0) & (y != 0)
    either = top_x | top_y
    return {
        "cosines": ratio(x @ y, np.linalg.norm(x) * np.linalg.norm(y)),
        "conflicts": ratio(opposed.sum(), both.sum()),
        "top_conflicts": ratio((opposed & either).sum(), either.sum()),
        "overlaps": ratio((top_x & top_y).sum(), min(top_x.sum(), top_y.sum())),
    }


def expected_rank(delta: np.ndarray[Any, Any]) -> tuple[float, float]:
    matrix = delta.reshape(len(delta), -1)
    sigma = np.linalg.svd(matrix, compute_uv=False)
    shares = sigma[sigma > 1e-9 * sigma[0]] / sigma.sum()
    value = math.exp(-(shares * np.log(shares)).sum())
    return value, value / min(matrix.shape)


def check_part(part: Part, names: Sequence[str], base: State, models: Sequence[State]) -> None:
    deltas = [changes(model, base, names) for model in models]
    under = np.concatenate([base[name].double().numpy().reshape(-1) for name in names])
    assert part.tensors == len(names)
    assert part.numbers == len(under)
    assert part.base_norm == pytest.approx(np.linalg.norm(under), rel=1e-12)
    for number, own in enumerate(deltas):
        flat = np.concatenate([delta.reshape(-1) for delta in own])
        norm = np.linalg.norm(flat)
        assert part.norms[number] == pytest.approx(norm, rel=1e-12)
        assert part.relative_norms[number] == pytest.approx(norm / np.linalg.norm(under), rel=1e-12)
        assert part.unchanged[number] == (flat == 0).mean()
        ranks = [expected_rank(delta) for delta in own if delta.ndim > 1]
        if ranks:
            value, share = np.mean(ranks, axis=0)
            assert part.effective_ranks[number] == pytest.approx(value, rel=1e-6)
            assert part.rank_shares[number] == pytest.approx(share, rel=1e-6)
        else:
            assert part.effective_ranks[number] is part.rank_shares[number] is None
    for i, j in combinations(range(len(models)), 2):
        for field, value in expected_pair(deltas[i], deltas[j]).items():
            square = getattr(part, field)
            assert square[i][j] == square[j][i]
            known = value if value is None else pytest.approx(value, rel=1e-12)
            assert square[i][j] == known, (part.name, field)


def test_every_figure_is_that_of_numpy() -> None:
    base, models = three()
    found = compared(models, base)
    check_part(found.whole, sorted(base), base, models)
    names: dict[str, list[str]] = {
        "embeddings": ["embed.weight"],
        "layer 0": ["layers.0.up.bias", "layers.0.up.weight"],
        "layer 1": ["layers.1.conv.weight", "layers.1.up.weight"],
        "layer 10": ["layers.10.up.weight"],
        "norm": ["final_norm.weight"],
        "head": ["lm_head.weight"],
        "other": ["scale"],
    }
    assert [part.name for part in found.parts] == list(names)
    for part in found.parts:
        check_part(part, names[part.name], base, models)
    assert (found.judged, found.matrices) == (6, 6)
    assert found.models == ("m0", "m1", "m2")


def test_the_diagonal_is_a_model_with_itself() -> None:
    base, models = three()
    whole = compared(models, base).whole
    for i in range(3):
        assert whole.cosines[i][i] == pytest.approx(1.0)
        assert whole.conflicts[i][i] == whole.top_conflicts[i][i] == 0.0
        assert whole.overlaps[i][i] == 1.0


def test_models_in_half_precision_are_compared_as_they_are_stored() -> None:
    base, models = three()
    short = [{name: value.bfloat16() for name, value in model.items()} for model in models]
    half = {name: value.half() for name, value in base.items()}
    found = compared(short, half)
    check_part(
        found.whole,
        sorted(base),
        {name: value.float() for name, value in half.items()},
        [{name: value.float() for name, value in model.items()} for model in short],
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("chunk_size", [7, 64, 1000])
def test_chunks_and_threads_change_nothing(chunk_size: int, threads: int) -> None:
    base, models = three()
    whole = compared(models, base).whole
    found = compared(models, base, Settings(chunk_size=chunk_size, threads=threads)).whole
    for field in ("conflicts", "top_conflicts", "overlaps", "unchanged"):
        assert getattr(found, field) == getattr(whole, field), field
    for field in ("norms", "effective_ranks", "rank_shares"):
        assert getattr(found, field) == pytest.approx(getattr(whole, field), rel=1e-9), field
    assert np.array(found.cosines) == pytest.approx(np.array(whole.cosines), abs=1e-14)


def test_threads_give_the_same_to_the_last_bit() -> None:
    base, models = three()
    one = compared(models, base, Settings(threads=1, chunk_size=64))
    assert compared(models, base, Settings(threads=3, chunk_size=64)) == one


@given(power=st.integers(-6, 6), sign=st.sampled_from([1.0, -1.0]))
def test_scaling_a_change_scales_its_norm_and_turns_no_angle(power: int, sign: float) -> None:
    base = {"layers.0.w": torch.zeros(6, 10), "layers.1.w": torch.zeros(40)}
    first, second = a_model(base, 1), a_model(base, 2)
    scaled = {name: value * 2.0**power * sign for name, value in first.items()}
    before, after = compared([first, second], base).whole, compared([scaled, second], base).whole
    assert after.norms == pytest.approx((before.norms[0] * 2.0**power, before.norms[1]))
    assert after.cosines[0][1] == pytest.approx(sign * before.cosines[0][1])
    assert after.overlaps == before.overlaps
    assert after.rank_shares == pytest.approx(before.rank_shares)
    if sign > 0:
        assert after.top_conflicts == before.top_conflicts
    else:
        assert after.conflicts[0][1] == pytest.approx(1 - before.conflicts[0][1])


def test_the_order_of_the_models_is_the_order_of_the_figures() -> None:
    base, models = three()
    order = (2, 0, 1)
    found = compared(models, base).whole
    other = compared([models[number] for number in order], base).whole
    for field in ("norms", "relative_norms", "unchanged", "effective_ranks", "rank_shares"):
        assert getattr(other, field) == tuple(getattr(found, field)[i] for i in order), field
    for field in ("cosines", "conflicts", "top_conflicts", "overlaps"):
        square = getattr(found, field)
        assert getattr(other, field) == tuple(tuple(square[i][j] for j in order) for i in order)


def test_where_nothing_changed_there_is_no_angle_and_no_rank() -> None:
    base, (model, *_) = three()
    found = compared([model, base], base).whole
    assert found.norms[1] == found.relative_norms[1] == 0.0
    assert found.unchanged[1] == 1.0
    assert found.effective_ranks[1] is None
    assert found.effective_ranks[0] is not None
    for square in (found.cosines, found.conflicts, found.overlaps):
        assert square[0][1] is square[1][0] is square[1][1] is None
    assert found.top_conflicts[0][1] == 0.0


def test_a_base_of_zeros_has_nothing_to_be_relative_to() -> None:
    base = {"w": torch.zeros(4, 4)}
    found = compared([a_model(base, 1), a_model(base, 2)], base).whole
    assert found.relative_norms == (None, None)
    assert None not in found.norms


def test_zeros_are_not_among_the_largest() -> None:
    base = {"w": torch.zeros(100)}
    sparse = {"w": torch.zeros(100)}
    sparse["w"][[3, 50]] = torch.tensor([1.0, -1.0])
    dense = {"w": torch.linspace(1.0, 2.0, 100)}
    found = compared([sparse, dense], base).whole
    assert found.overlaps[0][1] == 0.0
    # The two of the one and the twenty of the other; one of them is opposed.
    assert found.top_conflicts[0][1] == pytest.approx(1 / 22)
    assert found.conflicts[0][1] == 0.5


class Adapter:
    """An adapter whose change is too small for the base's numbers to show it."""

    def __init__(self, base: StateSource, label: str, delta: torch.Tensor) -> None:
        self.base, self.label, self._delta = base, label, delta
        self.tensors = base.tensors

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        added = self.update(name, start, stop)
        under = self.base.read(name, start, stop)
        return under if added is None else under + added

    def raw(self, name: str) -> torch.Tensor:
        return self.base.raw(name)

    def rests_on(self, name: str, base: Source, base_name: str) -> bool:
        return base is self.base and name == base_name

    def update(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        return self._delta.view(-1)[start:stop].clone() if name == "w" else None


def test_an_adapters_change_is_taken_without_the_bases_rounding() -> None:
    base = StateSource({"w": torch.full((8, 8), 1e6), "v": torch.ones(3, 3)}, "base")
    deltas = [grid((8, 8), seed) * 1e-6 for seed in (1, 2)]
    adapters = [Adapter(base, f"a{number}", delta) for number, delta in enumerate(deltas)]
    found = diagnose(adapters, base).whole
    norms = [float(delta.double().norm()) for delta in deltas]
    assert found.norms == pytest.approx(norms, rel=1e-6)
    assert found.unchanged[0] > 9 / 73


def test_the_effective_rank_of_equal_directions_is_their_number() -> None:
    base = {"w": torch.zeros(12, 30)}
    model = {"w": torch.zeros(12, 30)}
    model["w"][:5, :5] = 3.0 * torch.eye(5)
    found = compared([model, model], base).whole
    assert found.effective_ranks[0] == pytest.approx(5.0)
    assert found.rank_shares[0] == pytest.approx(5 / 12)


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (40, 6), (6, 40)])
def test_a_large_matrix_is_judged_by_some_of_its_rows(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    monkeypatch.setattr(effective_rank, "SIDE", 10)
    base = {"w": torch.zeros(shape)}
    model = {"w": grid(shape, 5)}
    rows = np.array([shape[0] * k // 10 for k in range(10)]) if min(shape) > 10 else slice(None)
    value, share = expected_rank(model["w"].double().numpy()[rows])
    found = compared([model, model], base, Settings(chunk_size=100)).whole
    assert found.effective_ranks[0] == pytest.approx(value, rel=1e-6)
    assert found.rank_shares[0] == pytest.approx(share, rel=1e-6)


def test_as_many_matrices_are_judged_as_the_budget_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes = {f"layers.{number}.w": (16, 16) for number in range(50)}
    cost = 2 * (2 * 16**3 + 10 * 16**3)
    monkeypatch.setattr(effective_rank, "BUDGET", 7.5 * cost)
    chosen = effective_rank.sampled_matrices(shapes, models=2)
    assert len(chosen) == 7
    assert chosen == effective_rank.sampled_matrices(dict(reversed(shapes.items())), models=2)
    assert len(effective_rank.sampled_matrices(shapes, models=4)) == 3
    monkeypatch.setattr(effective_rank, "BUDGET", 0.0)
    assert len(effective_rank.sampled_matrices(shapes, models=2)) == 1
    base = {name: torch.zeros(shape) for name, shape in shapes.items()}
    found = compared([a_model(base, 1), a_model(base, 2)], base)
    assert (found.judged, found.matrices) == (1, 50)
    assert sum(part.effective_ranks[0] is not None for part in found.parts) == 1


def test_a_matrix_too_wide_to_hold_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effective_rank, "MAX_HELD", 100)
    assert effective_rank.sampled_matrices({"wide": (2, 51), "small": (2, 50)}, 2) == {"small"}


def test_what_is_not_alike_is_left_out_and_named() -> None:
    base, (first, second, _) = three()
    base |= {"positions": torch.arange(5), "kept": torch.arange(3)}
    first |= {"positions": torch.arange(5) + 1, "kept": torch.arange(3)}
    second |= {"positions": torch.arange(5), "kept": torch.arange(3, dtype=torch.int32)}
    del second["layers.0.up.bias"]
    first["lm_head.weight"] = torch.zeros(31, 8)
    second["classifier.weight"] = torch.zeros(3, 8)
    found = compared([first, second], base)
    reasons = {(one.tensor, one.model): one.reason for one in found.differences}
    assert reasons == {
        ("classifier.weight", "m1"): "not in the base",
        ("kept", "m1"): "of the type I32, in the base I64",
        ("layers.0.up.bias", "m1"): "missing",
        ("lm_head.weight", "m0"): "of the shape (31, 8), in the base (30, 8)",
        ("positions", "m0"): "other I64 numbers",
    }
    left = sorted(set(SHAPES) - {"lm_head.weight", "layers.0.up.bias"})
    check_part(found.whole, left, base, [first, second])


def test_encoder_and_decoder_layers_are_told_apart() -> None:
    base = {
        f"{side}.block.{n}.w": torch.zeros(4) for side in ("encoder", "decoder") for n in (0, 1)
    }
    found = compared([a_model(base, 1), a_model(base, 2)], base)
    assert [part.name for part in found.parts] == [
        "decoder.block 0", "decoder.block 1", "encoder.block 0", "encoder.block 1",
    ]  # fmt: skip


def test_an_empty_tensor_is_no_obstacle() -> None:
    base = {"w": torch.zeros(4, 4), "empty": torch.zeros(0, 4)}
    found = compared([a_model(base, 1), a_model(base, 2)], base).whole
    assert (found.tensors, found.numbers) == (2, 16)


def test_progress_counts_the_tensors() -> None:
    base, models = three()
    told: list[tuple[int, int]] = []
    sources = [StateSource(model, "m") for model in models]
    diagnose(
        sources,
        StateSource(base, "base"),
        settings=Settings(threads=2),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(number, len(SHAPES)) for number in range(1, len(SHAPES) + 1)]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_models_are_refused(count: int) -> None:
    base, models = three()
    with pytest.raises(CapabilityError, match=f"two models at least, not {count}"):
        compared(models[:count], base)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["base", "m1"])
def test_a_number_that_is_not_finite_is_refused_by_name(bad: float, where: str) -> None:
    base, models = three()
    broken = base if where == "base" else models[1]
    broken["layers.1.up.weight"][3, 2] = bad
    with pytest.raises(MergeError, match=f"'layers.1.up.weight' of {where} has a number"):
        compared(models, base, Settings(threads=2))


def test_another_architecture_is_refused() -> None:
    base, models = three()
    other = {name: torch.zeros(7, 7) for name in base}
    with pytest.raises(MergeError, match=r"^m1 is no descendant of base: 9 of 9 tensors") as error:
        compared([models[0], other], base)
    assert "architecture" in error.value.hint


def test_models_without_a_common_float_are_refused() -> None:
    base = {"a": torch.zeros(2), "b": torch.zeros(2)}
    with pytest.raises(MergeError, match="no tensor of floats that every model has"):
        compared([{"a": torch.zeros(2)}, {"b": torch.zeros(2)}], base)


def test_a_type_that_is_no_float_of_ours_is_left_out() -> None:
    base: State = {"w": torch.zeros(4, 4), "q": torch.zeros(4).to(torch.float8_e4m3fn)}
    models = [{"w": torch.ones(4, 4), "q": base["q"]}, {"w": torch.ones(4, 4), "q": base["q"]}]
    found = compared(models, base)
    assert found.whole.numbers == 16
    assert found.differences == ()
    assert StateSource(base, "b").tensors["q"] == TensorShape("F8_E4M3", (4,))


# What the figures suggest.


def vectors(*deltas: torch.Tensor, base_norm: float = 100.0) -> Diagnosis:
    """Compare models that differ from a base by these vectors."""
    size = len(deltas[0])
    base = torch.full((size,), base_norm / math.sqrt(size))
    return compared([{"w": base.double() + delta} for delta in deltas], {"w": base.double()})


def noise(seed: int, size: int = 4000) -> torch.Tensor:
    return grid((size,), seed, step=2**-10) / 64


def suggested(diagnosis: Diagnosis) -> set[str]:
    return {name for hint in hints(diagnosis) for name in hint.strategies}


def findings(diagnosis: Diagnosis) -> str:
    return "; ".join(hint.finding for hint in hints(diagnosis))


def test_orthogonal_task_vectors_may_be_added() -> None:
    found = vectors(noise(1), noise(2))
    assert suggested(found) == {"task_arithmetic", "linear"}
    assert "nearly orthogonal" in findings(found)


def test_task_vectors_alike_may_be_averaged() -> None:
    found = vectors(noise(1), noise(1) + 0.1 * noise(2))
    assert suggested(found) == {"linear", "slerp"}
    assert "A and B: changed in nearly the same direction" in findings(found)


def test_large_changes_that_meet_with_opposite_signs_need_an_election() -> None:
    strong = torch.zeros(4000)
    strong[:800] = 1.0
    signs = torch.sign(noise(5)) * strong
    found = vectors(noise(1) + strong, noise(2) + signs)
    assert suggested(found) == {"ties", "dare_ties"}
    assert "A and B: many large changes meet with opposite signs" in findings(found)


def test_opposite_task_vectors_are_better_not_merged() -> None:
    found = vectors(noise(1), -noise(1) + noise(2), noise(3))
    assert "A and B: pull in opposite directions" in findings(found)


def test_a_model_that_outweighs_gets_weights_that_make_it_equal() -> None:
    found = vectors(noise(1), 8 * noise(2))
    (hint,) = [hint for hint in hints(found) if "times as much" in hint.finding]
    assert hint.finding == "B changed 7.9 times as much as A"
    assert "A 1, B 0.13" in hint.advice


def test_a_model_that_is_the_base_is_named() -> None:
    assert "B is the base, number for number" in findings(vectors(noise(1), torch.zeros(4000)))


def test_a_wrong_base_is_suspected() -> None:
    assert "A moved very far from base" in findings(vectors(500 * noise(1), noise(2)))
    assert "very far" not in findings(vectors(noise(1), noise(2)))


def test_a_sparse_change_is_said_to_be_one() -> None:
    sparse = noise(1)
    sparse[:2500] = 0.0
    assert "A: most entries are the base's own" in findings(vectors(sparse, noise(2)))


def test_few_directions_suggest_merging_them() -> None:
    base = {"w": torch.zeros(40, 40)}
    models = [{"w": grid((40, 2), n) @ grid((2, 40), n + 1)} for n in (1, 3)]
    assert suggested(compared(models, base)) >= {"tsv", "knots"}
    full = [{"w": grid((40, 40), n)} for n in (1, 3)]
    assert not suggested(compared(full, base)) & {"tsv", "knots"}


def test_what_no_rule_speaks_of_still_has_a_beginning() -> None:
    shared = noise(9)
    found = vectors(1.2 * shared + noise(1), 1.2 * shared + noise(2))
    (hint,) = hints(found)
    assert hint.rule == "no other rule names a strategy"
    assert hint.strategies


@pytest.mark.parametrize(
    "made",
    [
        lambda: vectors(noise(1), noise(2)),
        lambda: vectors(noise(1), noise(1)),
        lambda: vectors(noise(1) + 1, noise(1) - 1),
        lambda: vectors(noise(1), 9 * noise(2)),
        lambda: compared(
            [{"w": torch.eye(40)[:1].T @ grid((1, 40), n)} for n in (1, 2)],
            {"w": torch.zeros(40, 40)},
        ),
    ],
)
def test_every_hint_has_a_rule_and_strategies_that_exist(made: Callable[[], Diagnosis]) -> None:
    known = set(get_catalogue(first_party_only=True).names("strategy"))
    found = hints(made())
    assert found
    for hint in found:
        assert hint.rule
        assert hint.advice
        assert set(hint.strategies) <= known


def test_models_have_letters_and_then_numbers() -> None:
    assert [letter(n) for n in (0, 25, 26)] == ["A", "Z", "27"]
    assert len(RULES) == 9


def test_the_picture_is_a_png_for_any_number_of_models_and_layers() -> None:
    base = {f"layers.{number}.w": torch.ones(3, 3) for number in range(60)}
    many = [a_model(base, seed) for seed in range(5)]
    sources = [StateSource(state, f"a $name$ with {n}") for n, state in enumerate(many)]
    png = diagnosis_png(diagnose(sources, StateSource(base, "x" * 99)))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    assert (width, height) == (1320, 825)
    unchanged = compared([base, many[0]], base)
    assert diagnosis_png(unchanged) != png
