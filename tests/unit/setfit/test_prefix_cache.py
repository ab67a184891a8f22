"""Training through the cache is training through the model, for every architecture."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.testing import TINY_ROWS
from adapterhub_lite.transformer import layer_stack
from adapterhub_lite_full import FullParams
from adapterhub_lite_full.method import Full
from adapterhub_lite_setfit.encoder import Encoder
from adapterhub_lite_setfit.prefix_cache import PrefixCache, build_cache, frozen_depth

EncoderOf = Callable[..., Encoder]
TEXTS = [text for text, _ in TINY_ROWS]
TYPES = ["bert", "roberta", "electra", "mpnet", "xlm-roberta", "deberta-v2", "modernbert", "ernie"]


def with_top_layer(encoder: Encoder, layers: int = 1) -> frozenset[str]:
    base = LoadedBase(encoder.model, encoder.tokenizer, None)  # type: ignore[arg-type]
    return Full().attach(base, FullParams(layers=layers)).trainable


@pytest.mark.parametrize("model_type", TYPES)
def test_a_step_through_the_cache_is_a_step_through_the_model(
    model_type: str, encoder_of: EncoderOf
) -> None:
    encoder = encoder_of(model_type)
    trainable = with_top_layer(encoder)
    rows = encoder.tokenise(TEXTS)
    cache = build_cache(encoder, rows, trainable)
    embeddings = cache.embeddings
    assert np.allclose(embeddings, encoder.embed(rows), atol=1e-6)
    assert cache.depth == 2, "two of three layers are frozen"

    def gradients(source: PrefixCache) -> dict[str, torch.Tensor]:
        encoder.model.zero_grad()
        with source.active():
            source.forward(range(6)).square().sum(1).mul(torch.arange(6)).sum().backward()
            source.forward([3, 0, 17])[:, 0].sum().backward()
        return {
            name: weight.grad.clone()
            for name, weight in encoder.model.named_parameters()
            if weight.grad is not None
        }

    expected = gradients(PrefixCache(encoder, rows, embeddings))
    found = gradients(cache)
    assert found.keys() == expected.keys() <= trainable
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, atol=1e-5), name


def test_the_layers_come_back_after_a_failure(encoder_of: EncoderOf) -> None:
    encoder = encoder_of()
    rows = encoder.tokenise(TEXTS)
    cache = build_cache(encoder, rows, with_top_layer(encoder))
    embeddings = cache.embeddings
    before = list(layer_stack(encoder.model)[1])
    with pytest.raises(RuntimeError, match="stop"), cache.active():
        raise RuntimeError("stop")
    assert list(layer_stack(encoder.model)[1]) == before
    assert np.allclose(encoder.embed(rows), embeddings)


def test_depth_counts_the_layers_below_all_that_learns(encoder_of: EncoderOf) -> None:
    model = encoder_of().model
    names = {name for name, _ in model.named_parameters()}
    assert frozen_depth(model, frozenset()) == 3
    assert frozen_depth(model, frozenset(n for n in names if ".1." in n)) == 1
    assert frozen_depth(model, frozenset(n for n in names if "embeddings" in n)) == 0
    assert frozen_depth(model, frozenset(names)) == 0


def test_a_stack_that_passes_on_more_than_hidden_states_is_run_whole(
    encoder_of: EncoderOf,
) -> None:
    encoder = encoder_of()
    _, layers = layer_stack(encoder.model)
    plain = layers[1].forward
    layers[1].forward = lambda *a, **k: (plain(*a, **k), torch.ones(1))  # type: ignore[method-assign]
    last = layers[2].forward
    layers[2].forward = lambda hidden, *a, **k: last(hidden[0], *a, **k)  # type: ignore[method-assign]
    rows = encoder.tokenise(TEXTS)
    cache = build_cache(encoder, rows, with_top_layer(encoder))
    embeddings = cache.embeddings
    assert cache.depth == 0
    assert np.allclose(cache.embed(), embeddings)
