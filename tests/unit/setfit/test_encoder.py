"""Texts in, embeddings out, whatever the length and the order."""

from collections.abc import Callable

import numpy as np
import pytest

from adapterhub_lite.pooling import Pooling
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite_setfit.encoder import Encoder, make_encoder

EncoderOf = Callable[..., Encoder]


@pytest.mark.parametrize(("model_type", "positions"), [("bert", 80), ("roberta", 79)])
def test_a_text_is_cut_where_the_positions_end(
    model_type: str, positions: int, encoder_of: EncoderOf
) -> None:
    tiny = encoder_of(model_type)
    base = LoadedBase(tiny.model, tiny.tokenizer, None)  # type: ignore[arg-type]
    encoder = make_encoder(base, Pooling(), 512)
    assert encoder.max_length == positions
    rows = encoder.tokenise(["apple " * 500])
    assert len(rows[0]) == positions
    assert np.isfinite(encoder.embed(rows)).all()


def test_embeddings_keep_the_order_of_the_texts(encoder_of: EncoderOf) -> None:
    encoder = encoder_of()
    texts = ["apple", "the apple is very sweet and ripe", "a pear", "my drill was rusty and heavy"]
    rows = encoder.tokenise(texts)
    together = encoder.embed(rows)
    alone = np.concatenate([encoder.embed([row]) for row in rows])
    assert np.allclose(together, alone, atol=1e-6)


def test_progress_counts_to_the_end(encoder_of: EncoderOf) -> None:
    encoder = encoder_of()
    seen: list[int] = []
    encoder.embed(encoder.tokenise(["apple pear"] * 900), seen.append)
    assert seen[-1] == 900
    assert seen == sorted(seen)
    assert encoder.embed([]).shape == (0, 32)
