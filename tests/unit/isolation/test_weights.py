"""Pickled weights become safetensors with the same bits, and a hostile pickle becomes an error."""

import builtins
import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from adapterhub_lite.errors import BaseModelError, StorageError
from adapterhub_lite.isolation import jail, weights
from adapterhub_lite.isolation.weights import convert_weights

Convert = Callable[..., dict[str, torch.Tensor]]
SHARED = torch.randn(7, 4)
STATE: dict[str, torch.Tensor] = OrderedDict(
    embeddings=SHARED,
    output=SHARED,
    transposed=torch.randn(5, 3).t(),
    row=torch.randn(6, 4)[2],
    columns=torch.randn(4, 4)[:, 1:3],
    parameter=torch.nn.Parameter(torch.randn(2)),
    half=torch.randn(3).half(),
    bfloat=torch.randn(3).bfloat16(),
    double=torch.randn(2).double(),
    integers=torch.arange(4),
    bytes=torch.arange(3, dtype=torch.uint8),
    flags=torch.tensor([True, False]),
    scalar=torch.tensor(2.5),
    empty=torch.zeros(0, 3),
)


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """Save a state dict, or write bytes as they are, convert the file and read the result."""

    def run(content: object, **options: Any) -> dict[str, torch.Tensor]:
        file, target = tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors"
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            torch.save(content, file, **options)
        convert_weights(file, target, "./model")
        return load_file(target)

    return run


@pytest.mark.parametrize("as_archive", [True, False])
def test_every_bit_is_kept(convert: Convert, as_archive: bool) -> None:
    found = convert(STATE, _use_new_zipfile_serialization=as_archive)
    assert found.keys() == STATE.keys()
    for name, value in STATE.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name


def test_a_modules_state_dict_is_read(convert: Convert) -> None:
    module = torch.nn.Linear(3, 2)
    assert torch.equal(convert(module.state_dict())["weight"], module.weight)


class Calls:
    """Pickled as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def attacks(canary: Path) -> dict[str, object]:
    python = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    return {
        "os.system": {"weight": Calls(os.system, f"touch {canary}")},
        "eval": Calls(builtins.eval, python),
        "beside a tensor": {"a": torch.ones(1), "b": Calls(builtins.exec, python)},
        "in a name": {Calls(os.system, f"touch {canary}"): torch.ones(1)},
        "torch.load": {"weight": Calls(torch.load, str(canary))},
    }


@pytest.mark.parametrize("name", attacks(Path("canary")))
@pytest.mark.parametrize("as_archive", [True, False])
def test_no_call_is_made(tmp_path: Path, convert: Convert, name: str, as_archive: bool) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(BaseModelError, match="is refused: it names") as caught:
        convert(attacks(canary)[name], _use_new_zipfile_serialization=as_archive)
    assert "nothing in it was run" in caught.value.hint
    assert not canary.exists()
    assert not (tmp_path / "model.safetensors").exists()


def test_the_attack_is_real(tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.save(attacks(tmp_path / "canary")["os.system"], stream)
    stream.seek(0)
    torch.load(stream, weights_only=False)
    assert (tmp_path / "canary").exists()


def edited(change: Callable[[dict[str, bytes]], object], compression: int = 0) -> bytes:
    """Return an archive of torch's with its members changed."""
    stream = io.BytesIO()
    torch.save({"weight": torch.ones(4)}, stream)
    with zipfile.ZipFile(stream) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    change(members)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def saved(value: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


OLD = {"_use_new_zipfile_serialization": False}
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "does not parse"),
    "no pickle": (lambda: b"\x00" * 64, "does not parse"),
    "another pickle": (lambda: pickle.dumps({"a": 1}), "torch did not write it"),
    "truncated archive": (lambda: saved(STATE)[:-100], "does not parse"),
    "truncated stream": (lambda: saved({"a": torch.ones(100)}, **OLD)[:-20], "cut short"),
    "compressed": (lambda: edited(lambda _: None, zipfile.ZIP_DEFLATED), "no archive that torch"),
    "no index": (lambda: edited(lambda m: m.pop("archive/data.pkl")), "no archive that torch"),
    "no numbers": (lambda: edited(lambda m: m.pop("archive/data/0")), "lacks numbers"),
    "few numbers": (
        lambda: edited(lambda m: m.update({"archive/data/0": b"abc"})),
        "fewer numbers",
    ),
    "other order": (lambda: edited(lambda m: m.update({"archive/byteorder": b"big"})), "order of"),
    "a list": (lambda: saved([torch.ones(1)]), "no state dict"),
    "nested": (lambda: saved({"state_dict": {"a": torch.ones(1)}}), "'state_dict' is no tensor"),
    "a number": (lambda: saved({"step": 5}), "'step' is no tensor"),
    "repeated": (lambda: saved({"a": torch.ones(1).expand(1000)}), "other numbers than its shape"),
    "complex": (lambda: saved({"a": torch.ones(1, dtype=torch.complex64)}), "ComplexFloatStorage"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_files_are_refused_with_the_reason(convert: Convert, case: str) -> None:
    content, reason = REFUSED[case]
    with pytest.raises(BaseModelError, match=reason):
        convert(content())


GOOD = ["weight", "F32", 0, 4, 0, [2, 2], [2, 1]]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, ""),
        (1, "F8"),
        (2, 2**61),
        (2, -1),
        (3, 2**40),
        (4, 1),
        (5, [2, 3]),
        (6, [3, 1]),
        (6, [1]),
    ],
)
def test_the_answer_of_a_process_that_was_taken_over_is_not_believed(
    tmp_path: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch, place: int, value: object
) -> None:
    entry = [*GOOD]
    entry[place] = value
    answer = json.dumps({"tensors": [entry], "isolation": "network namespace"}) + "\n"
    taken_over = tmp_path / "taken_over.py"
    taken_over.write_text(f"import sys; sys.stdout.write({answer!r})")
    monkeypatch.setattr(jail, "__file__", str(taken_over))
    with pytest.raises(BaseModelError, match="is refused"):
        convert(b"\x00" * 16)


def test_a_disk_that_is_too_small_is_told_before_it_is_written(
    tmp_path: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="when they are converted"):
        convert(STATE)
    assert not (tmp_path / "model.safetensors").exists()
