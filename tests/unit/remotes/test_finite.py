"""Weights that come from elsewhere are numbers, or refused with the tensor's name."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.remotes import pull_version, push_version, sync_remote
from adapterhub_lite.streaming.finite import with_finite_numbers
from adapterhub_lite_registry import ManifestDraft, Registry

EIGHT_BITS = (torch.float8_e5m2, torch.float8_e4m3fn)
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, *EIGHT_BITS)
ENDS = (b"\x80\x7f", b"\x00\x7c", b"\xf0\xff", b"\xff\xff")
OTHERS = (torch.int64, torch.int8, torch.uint8, torch.bool)


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Cut bytes as a connection may, the whole header in the first piece."""
    (length,) = struct.unpack("<Q", data[:8])
    place = 8 + length
    yield data[:place]
    for size in sizes:
        yield data[place : place + size]
        place += size
    yield data[place:]


@st.composite
def files(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    """Draw tensors of any dtype and bits, so of some numbers that are not finite."""
    found = {}
    for name in draw(st.sets(st.sampled_from("abcde"), min_size=1)):
        dtype = draw(st.sampled_from(FLOATS + OTHERS))
        count = draw(st.integers(1, 9))
        width = torch.empty(0, dtype=dtype).element_size()
        bits = draw(st.binary(min_size=count * width, max_size=count * width))
        if draw(st.booleans()):  # exponents of ones are rare among random bits
            bits = bits[:-2] + draw(
                st.sampled_from([b"\x80\x7f", b"\x00\x7c", b"\xf0\xff", b"\xff\xff"])
            )
        if dtype == torch.bool:
            bits = bytes(byte & 1 for byte in bits)
        found[name] = torch.frombuffer(bytearray(bits[: count * width]), dtype=dtype)
    return found


@given(files(), st.lists(st.integers(0, 9), max_size=40))
def test_it_is_found_as_torch_finds_it_however_the_bytes_come(
    tensors: dict[str, torch.Tensor], sizes: list[int]
) -> None:
    data = save(tensors)
    bad = {name for name, t in tensors.items() if not t.double().isfinite().all()}
    handed_on = with_finite_numbers(pieces(data, sizes), "w", "here")
    if not bad:
        assert b"".join(handed_on) == data
        return
    with pytest.raises(BaseModelError, match=r"^w of here has a number .*, in '(\w)'$") as caught:
        b"".join(handed_on)
    assert caught.value.message[-2] in bad


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_largest_numbers_pass_and_infinities_do_not(dtype: torch.dtype) -> None:
    limits = torch.finfo(dtype)
    finite = torch.tensor([limits.max, limits.min, limits.tiny, 0.0], dtype=dtype)
    assert list(with_finite_numbers([save({"a": finite})], "w", "here"))
    has_infinity = dtype != torch.float8_e4m3fn
    for value in (*((float("inf"), -float("inf")) if has_infinity else ()), float("nan")):
        broken = save({"a": finite, "b": torch.tensor([1.0, value], dtype=dtype)})
        with pytest.raises(BaseModelError, match="in 'b'"):
            list(with_finite_numbers([broken], "w", "here"))


def weights(value: float, dtype: type = np.float32) -> bytes:
    """Return a file of two tensors, the last number of the last of which is ``value``."""
    numbers = np.ones(1 << 19, dtype)
    numbers[-1] = value
    header: dict[str, object] = {}
    for number, name in enumerate(("first", "last")):
        begin = number * numbers.nbytes
        header[name] = {
            "dtype": "F32", "shape": [1 << 19], "data_offsets": [begin, begin + numbers.nbytes]
        }  # fmt: skip
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + np.ones_like(numbers).tobytes() + numbers.tobytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_not_taken_in(
    here: Registry, there: Registry, catalogue: Catalogue, tmp_path: Path, value: float
) -> None:
    files = {"model.safetensors": weights(value), "notes.txt": b"of no interest"}
    here.publish("broken", files, ManifestDraft(kind="adapter"))
    place = f"file:{tmp_path}/place"
    push_version("broken", place, here, catalogue)
    with pytest.raises(BaseModelError, match=r"model\.safetensors of broken@1 .* in 'last'"):
        pull_version(place, there, catalogue)
    with pytest.raises(BaseModelError, match="not finite"):
        sync_remote(place, there, catalogue)
    assert there.names() == []


def test_what_came_as_another_kind_of_file_is_looked_at_too(
    here: Registry, there: Registry, catalogue: Catalogue, tmp_path: Path
) -> None:
    place, data = f"file:{tmp_path}/place", weights(float("nan"))
    for name in ("notes.txt", "model.safetensors"):
        here.publish("broken", {name: data}, ManifestDraft(kind="adapter"))
        push_version("broken", place, here, catalogue)
    assert pull_version(place, there, catalogue, ref="broken@1").new
    with pytest.raises(BaseModelError, match="not finite"):
        pull_version(place, there, catalogue, ref="broken@2")
    assert there.versions("broken") == [1]
