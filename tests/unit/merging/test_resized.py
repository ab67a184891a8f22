"""Models in the output's vocabulary, against rows that are looked up one by one."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.streaming.resized import MEAN, ZEROS, RowMap, resized_sources
from adapterhub_lite.streaming.sources import Source, StateSource
from adapterhub_lite.streaming.token_tensors import vocabulary_rows, vocabulary_tensors

WIDTH = 6


class Adapter:
    """A model that is a base and what is added to some of its tensors."""

    def __init__(self, base: Source, added: Mapping[str, torch.Tensor]) -> None:
        self.base, self._added = base, added
        self.label = "adapter"
        self.tensors = base.tensors

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        values = self.base.read(name, start, stop)
        update = self.update(name, start, stop)
        return values if update is None else values + update

    def raw(self, name: str) -> torch.Tensor:
        shape = self.tensors[name].shape
        return self.read(name, 0, self.tensors[name].size).view(shape)

    def update(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        if name not in self._added:
            return None
        return self._added[name].reshape(-1)[start:stop].clone()

    def rests_on(self, name: str, base: Source, base_name: str) -> bool:
        return base is self.base and name == base_name


def source(rows: int, seed: int, dtype: torch.dtype = torch.float32) -> StateSource:
    generator = torch.Generator().manual_seed(seed)
    state = {
        "model.embed_tokens.weight": torch.randn(rows, WIDTH, generator=generator),
        "model.layers.0.mlp.weight": torch.randn(4, WIDTH, generator=generator),
        "lm_head.weight": torch.randn(rows, WIDTH, generator=generator),
        "lm_head.bias": torch.randn(rows, generator=generator),
    }
    return StateSource({name: value.to(dtype) for name, value in state.items()}, f"model {seed}")


def rows_as_looked_up(
    sources: Sequence[Source], row_map: RowMap, number: int, name: str
) -> np.ndarray:
    """Return what a model should have, row by row, in float64."""

    def row(model: int, place: int) -> np.ndarray:
        raw = sources[model].raw(name).to(torch.float64).numpy()
        return np.asarray(raw[place]).reshape(-1)

    width = row(0, 0).size
    out = []
    for place in range(row_map.rows):
        own, donor = int(row_map.tables[number][place]), int(row_map.donors[place])
        if own >= 0:
            out.append(row(number, own))
        elif donor == ZEROS:
            out.append(np.zeros(width))
        elif donor == MEAN:
            having = [(m, t[place]) for m, t in enumerate(row_map.tables) if t[place] >= 0]
            out.append(np.mean([row(m, int(r)) for m, r in having], axis=0))
        else:
            out.append(row(donor, int(row_map.donor_rows[place])))
    return np.stack(out)


def random_map(counts: Sequence[int], rows: int, kept: float, seed: int) -> RowMap:
    """Draw tables: ``kept`` is the share of rows at their place, others are moved or gone."""
    draw = np.random.default_rng(seed)
    tables = []
    for count in counts:
        table = np.full(rows, -1)
        size = min(rows, count)
        table[:size] = np.arange(size)
        others = np.flatnonzero(draw.random(size) >= kept)
        table[others] = draw.permutation(count)[: len(others)]
        table[draw.random(rows) < (1 - kept) / 2] = -1
        tables.append(table)
    nobody = np.stack(tables).max(0) < 0
    donors = draw.integers(MEAN, len(counts), rows)
    donors[(donors == MEAN) & nobody] = ZEROS
    donor_rows = np.array([draw.integers(counts[d]) if d >= 0 else -1 for d in donors])
    return RowMap(tables=tables, donors=donors, donor_rows=donor_rows)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 60),
    kept=st.sampled_from([0.0, 0.5, 0.95]),
    seed=st.integers(0, 2**16),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_any_slice_holds_the_rows_that_the_table_says(
    rows: int, kept: float, seed: int, ends: tuple[float, float]
) -> None:
    counts = (40, 25, 33)
    row_map = random_map(counts, rows, kept, seed)
    sources = [source(count, n, torch.bfloat16) for n, count in enumerate(counts)]
    for number, model in enumerate(resized_sources(sources, row_map)):
        for name in ("model.embed_tokens.weight", "lm_head.bias"):
            expected = rows_as_looked_up(sources, row_map, number, name).reshape(-1)
            start, stop = sorted(round(end * expected.size) for end in ends)
            found = model.read(name, start, stop)
            assert found.dtype == torch.float32
            np.testing.assert_allclose(found.numpy(), expected[start:stop], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kept", [0.0, 0.95])
def test_a_whole_tensor_is_in_the_stored_dtype(kept: float) -> None:
    counts = (40, 25)
    row_map = random_map(counts, 45, kept, 3)
    sources = [source(count, n, torch.float16) for n, count in enumerate(counts)]
    for number, model in enumerate(resized_sources(sources, row_map)):
        found = model.raw("lm_head.weight")
        expected = rows_as_looked_up(sources, row_map, number, "lm_head.weight")
        assert found.dtype == torch.float16
        assert found.shape == model.tensors["lm_head.weight"].shape == (45, WIDTH)
        np.testing.assert_allclose(found.double().numpy(), expected, rtol=1e-3, atol=1e-3)


def moved(rows: int, seed: int = 0) -> RowMap:
    """Two models: the first as it is, the second with all rows in another order."""
    order = np.random.default_rng(seed).permutation(rows)
    nobody = np.full(rows, ZEROS)
    return RowMap(tables=[np.arange(rows), order], donors=nobody, donor_rows=nobody)


def test_many_scattered_rows_of_an_adapter_are_read_too() -> None:
    base = source(50, 0)
    added = {"model.embed_tokens.weight": torch.randn(50, WIDTH)}
    adapter = Adapter(source(50, 1), added)
    row_map = moved(50)
    found = resized_sources([base, adapter], row_map)[1]
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        expected = adapter.raw(name)[torch.from_numpy(row_map.tables[1])]
        torch.testing.assert_close(found.raw(name), expected)


def test_other_tensors_are_as_they_were() -> None:
    sources = [source(50, 0), source(50, 1)]
    found = resized_sources(sources, moved(50))[1]
    name = "model.layers.0.mlp.weight"
    assert torch.equal(found.read(name, 3, 20), sources[1].read(name, 3, 20))
    assert torch.equal(found.raw(name), sources[1].raw(name))
    assert found.tensors[name] == sources[1].tensors[name]


def test_a_model_with_every_row_at_its_place_is_itself() -> None:
    sources = [source(50, 0), source(50, 1)]
    found = resized_sources(sources, moved(50))
    assert found[0] is sources[0]
    assert found[1] is not sources[1]


def test_an_adapter_whose_rows_stay_tells_its_updates_itself() -> None:
    base = source(50, 0)
    adapter = Adapter(base, {"model.layers.0.mlp.weight": torch.ones(4, WIDTH)})
    still = np.arange(50)
    nobody = np.full(50, ZEROS)
    tables = [still, still, np.roll(still, 1)]
    found = resized_sources(
        [base, adapter, source(50, 2)], RowMap(tables=tables, donors=nobody, donor_rows=nobody)
    )
    assert found[0] is base
    assert found[1] is adapter


def test_an_adapter_in_a_larger_vocabulary_is_still_one() -> None:
    base = source(50, 0)
    added = {
        "model.layers.0.mlp.weight": torch.full((4, WIDTH), 2.0),
        "model.embed_tokens.weight": torch.randn(50, WIDTH),
    }
    adapter = Adapter(base, added)
    table = np.concatenate([np.arange(50), [-1, -1]])
    row_map = RowMap(
        tables=[table, table],
        donors=np.array([ZEROS] * 51 + [0]),
        donor_rows=np.array([-1] * 51 + [7]),
    )
    under, found = resized_sources([base, adapter], row_map)
    assert found.base is under
    assert torch.equal(found.update("model.layers.0.mlp.weight", 0, 4), torch.full((4,), 2.0))
    assert found.rests_on("model.layers.0.mlp.weight", under, "model.layers.0.mlp.weight")
    assert not found.rests_on("model.embed_tokens.weight", under, "model.embed_tokens.weight")
    moved_rows = found.read("model.embed_tokens.weight", 0, 52 * WIDTH).view(52, WIDTH)
    added_rows = moved_rows - under.read("model.embed_tokens.weight", 0, 52 * WIDTH).view(52, WIDTH)
    torch.testing.assert_close(added_rows[:50], added["model.embed_tokens.weight"])
    assert not added_rows[50].any()
    assert torch.equal(
        found.read("lm_head.bias", 50, 52), torch.tensor([0.0, base.raw("lm_head.bias")[7]])
    )


def test_what_is_read_may_be_changed() -> None:
    sources = [source(50, 0), source(50, 1)]
    found = resized_sources(sources, moved(50))[1]
    before = found.read("lm_head.weight", 0, 60).clone()
    found.read("lm_head.weight", 0, 60).zero_()
    assert torch.equal(found.read("lm_head.weight", 0, 60), before)


def state_of(**shapes: tuple[int, ...]) -> StateSource:
    return StateSource({name.replace("__", "."): torch.zeros(s) for name, s in shapes.items()}, "m")


def test_tensors_of_the_vocabulary_are_told_by_name_and_size() -> None:
    bert = state_of(
        bert__embeddings__word_embeddings__weight=(30, 8),
        bert__embeddings__position_embeddings__weight=(30, 8),
        bert__encoder__layer__0__output__weight=(30, 8),
        cls__predictions__bias=(30,),
        cls__predictions__decoder__weight=(30, 8),
        cls__predictions__transform__dense__weight=(8, 8),
        classifier__weight=(30, 8),
    )
    assert vocabulary_tensors(bert) == {
        "bert.embeddings.word_embeddings.weight",
        "cls.predictions.bias",
        "cls.predictions.decoder.weight",
    }
    bart = state_of(model__shared__weight=(30, 8), final_logits_bias=(1, 30))
    assert vocabulary_tensors(bart) == {"model.shared.weight", "final_logits_bias"}
    assert vocabulary_rows(state_of(conv__weight=(3, 3))) is None


def test_a_bias_in_one_row_is_resized_along_it() -> None:
    bart = StateSource(
        {"model.shared.weight": torch.randn(5, 3), "final_logits_bias": torch.arange(5.0)[None]},
        "b",
    )
    table = np.array([4, 3, 2, -1, 0, 1, -1])
    row_map = RowMap(tables=[table], donors=np.full(7, ZEROS), donor_rows=np.full(7, -1))
    (found,) = resized_sources([bart], row_map)
    assert found.raw("final_logits_bias").tolist() == [[4, 3, 2, 0, 0, 1, 0]]


def test_two_vocabularies_are_refused() -> None:
    marian = state_of(
        model__encoder__embed_tokens__weight=(30, 8), model__decoder__embed_tokens__weight=(40, 8)
    )
    with pytest.raises(CapabilityError, match="two vocabularies"):
        vocabulary_rows(marian)


def test_an_output_layer_of_another_size_is_refused() -> None:
    odd = state_of(model__embed_tokens__weight=(30, 8), lm_head__weight=(32, 8))
    with pytest.raises(CapabilityError, match="has 32 rows, and its embeddings 30"):
        vocabulary_tensors(odd)
