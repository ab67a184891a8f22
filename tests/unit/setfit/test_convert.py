"""A pickled head becomes numbers, and a hostile pickle becomes an error."""

import builtins
import importlib
import io
import json
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.isolation import jail
from adapterhub_lite.isolation.run import DEFAULT_LIMITS, Limits
from adapterhub_lite_setfit import convert as conversion
from adapterhub_lite_setfit.convert import RawHead, convert_pickle

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 6))
INDICATOR = (RANDOM.random((40, 3)) < 0.5).astype(int)

Convert = Callable[..., RawHead]


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """Write a head, or bytes as they are, and convert the file."""

    def write_and_convert(head: object, limits: Limits = DEFAULT_LIMITS) -> RawHead:
        file = tmp_path / "model_head.pkl"
        if isinstance(head, bytes):
            file.write_bytes(head)
        else:
            joblib.dump(head, file)
        return convert_pickle(file, limits)

    return write_and_convert


def fitted(classes: int, **options: Any) -> LogisticRegression:
    return LogisticRegression(**options).fit(X, np.arange(len(X)) % classes)


@pytest.mark.parametrize("classes", [2, 5])
def test_a_logistic_regression_keeps_every_bit(convert: Convert, classes: int) -> None:
    head = fitted(classes)
    raw = convert(head)
    assert raw.classes == tuple(range(classes))
    assert not raw.multi_label
    assert_array_equal(raw.coef, head.coef_, strict=True)
    assert_array_equal(raw.intercept, head.intercept_, strict=True)


@pytest.mark.parametrize("dtype", [None, object])
def test_classes_may_be_strings(convert: Convert, dtype: type | None) -> None:
    names = np.array(["später", "b", "🙂 c"], dtype=dtype)
    head = LogisticRegression().fit(X, names[np.arange(len(X)) % 3])
    assert convert(head).classes == tuple(sorted(names))


def test_other_layouts_of_memory_give_the_same_numbers(convert: Convert) -> None:
    head = fitted(4)
    expected = head.coef_.astype(np.float32).astype(np.float64)
    for coef in (
        np.asfortranarray(head.coef_, dtype=np.float32),
        head.coef_.astype(">f4"),
        head.coef_.astype(np.float32)[:, ::-1][:, ::-1],
    ):
        head.coef_ = coef
        assert_array_equal(convert(head).coef, expected)


def test_a_plain_pickle_is_read_as_well(convert: Convert) -> None:
    head = fitted(3)
    assert_array_equal(convert(pickle.dumps(head)).coef, head.coef_)


@pytest.mark.parametrize("strategy", [OneVsRestClassifier, MultiOutputClassifier])
def test_multi_label_heads(convert: Convert, strategy: type) -> None:
    head = strategy(LogisticRegression()).fit(X, INDICATOR)
    raw = convert(head)
    assert raw.multi_label
    assert raw.classes == ()
    assert_array_equal(raw.coef, np.concatenate([e.coef_ for e in head.estimators_]))
    assert_array_equal(raw.intercept, np.concatenate([e.intercept_ for e in head.estimators_]))


def test_labels_that_never_vary_are_certain(convert: Convert) -> None:
    always_and_never = INDICATOR * [1, 0, 0] + [0, 1, 0]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        warnings.filterwarnings("ignore", message="Label not .* is present in all training")
        head = OneVsRestClassifier(LogisticRegression()).fit(X, always_and_never)
    raw = convert(head)
    assert raw.intercept[1:].tolist() == [np.inf, -np.inf]
    assert not raw.coef[1:].any()


def test_the_version_that_wrote_it_is_told(convert: Convert) -> None:
    assert convert(fitted(2)).sklearn.count(".") == 2
    nameless = pickle.dumps(fitted(2)).replace(b"_sklearn_version", b"_sklearn_missing")
    assert convert(nameless).sklearn == "unknown"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (SVC().fit(X, INDICATOR[:, 0]), "sklearn.svm"),
        (make_pipeline(LogisticRegression()).fit(X, INDICATOR[:, 0]), "sklearn.pipeline"),
        (ClassifierChain(LogisticRegression()).fit(X, INDICATOR), "ClassifierChain"),
        (OneVsRestClassifier(LogisticRegression()).fit(X, np.arange(40) % 3), "not multi-label"),
        (MultiOutputClassifier(SVC()).fit(X, INDICATOR), "sklearn.svm"),
        (MultiOutputClassifier(LogisticRegression()).fit(X, INDICATOR + 1), "yes or no"),
        (LogisticRegression(), "not fitted"),
        ({"coef_": [1.0]}, "no scikit-learn classifier"),
        ([fitted(2)], "no scikit-learn classifier"),
    ],
)
def test_other_heads_are_refused_with_the_reason(
    convert: Convert, head: object, reason: str
) -> None:
    with pytest.raises(BaseModelError, match=reason) as caught:
        convert(head)
    assert "nothing in it was run" in caught.value.hint


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"multi_class": "ovr"}, "each class against the rest"),
        ({"solver": "liblinear"}, "each class against the rest"),
        ({"coef_": np.full((3, 6), np.nan)}, "not finite"),
        ({"intercept_": np.array([0.0, np.inf, 0.0])}, "not finite"),
        ({"coef_": np.zeros((3, 5, 1))}, "classes or sizes"),
        ({"coef_": np.zeros((2, 6))}, "do not fit together"),
        ({"coef_": np.zeros((3, 6), dtype=complex)}, "'c16'"),
        ({"coef_": np.zeros((3, 70_000))}, "classes or sizes"),
        ({"intercept_": np.zeros(2)}, "do not fit together"),
        ({"intercept_": 0.0}, "lacks an array"),
        ({"classes_": np.array([0.5, 1.5, 2.5])}, "classes or sizes"),
        ({"classes_": np.arange(20_000)}, "classes or sizes"),
        ({"classes_": np.array(["a", "", "b"])}, "classes or sizes"),
        ({"classes_": np.array([["a"], [None]], dtype=object)}, "classes or sizes"),
    ],
)
def test_weights_that_make_no_sense_are_refused(
    convert: Convert, attributes: dict[str, Any], reason: str
) -> None:
    head = fitted(3)
    vars(head).update(attributes)
    with pytest.raises(BaseModelError, match=reason):
        convert(head)


def test_a_binary_multinomial_head_is_refused(convert: Convert) -> None:
    head = fitted(2)
    head.multi_class = "multinomial"
    with pytest.raises(BaseModelError, match="multinomial with two classes"):
        convert(head)


def test_what_is_no_pickle_is_refused(convert: Convert) -> None:
    whole = pickle.dumps(fitted(2))
    compressed = io.BytesIO()
    joblib.dump(fitted(2), compressed, compress=3)
    for data in (b"", b"\x00" * 100, b"PK\x03\x04", whole[:-40], compressed.getvalue()):
        with pytest.raises(BaseModelError, match="does not parse"):
            convert(data)


def test_a_file_that_is_too_large_is_not_even_started_on(
    convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "MAX_FILE_BYTES", 2**20)
    with pytest.raises(BaseModelError, match="more than 1 MiB"):
        convert(b"x" * 2**21)


class Calls:
    """Pickled as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def attacks(marker: Path) -> dict[str, object]:
    touch = f"touch {marker}"
    python = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    hidden = fitted(2)
    hidden.classes_ = np.array([0, Calls(os.system, touch)], dtype=object)
    unread = fitted(2)
    unread.random_state = Calls(os.system, touch)
    nested = np.array([np.array([Calls(os.system, touch), 1], dtype=object), 1], dtype=object)
    return {
        "os.system": Calls(os.system, touch),
        "import_module": Calls(importlib.import_module, "antigravity"),
        "eval": Calls(builtins.eval, python),
        "exec": Calls(builtins.exec, python),
        "subprocess": Calls(subprocess.run, ["touch", str(marker)]),
        "getattr": Calls(getattr, "x", "upper"),
        "open": Calls(open, str(marker), "w"),
        "joblib.load": Calls(joblib.load, str(marker)),
        "numpy.load": Calls(np.load, str(marker), None, True),
        "in an object array": hidden,
        "in an attribute that is not read": unread,
        "in an array in an array": nested,
    }


@pytest.mark.parametrize("name", attacks(Path("marker")))
@pytest.mark.parametrize("dump", [joblib.dump, pickle.dump])
def test_no_call_is_made(
    tmp_path: Path, convert: Convert, name: str, dump: Callable[..., None]
) -> None:
    marker = tmp_path / "marker"
    stream = io.BytesIO()
    dump(attacks(marker)[name], stream)
    with pytest.raises(BaseModelError, match="its head names"):
        convert(stream.getvalue())
    assert not marker.exists()


@pytest.mark.parametrize("name", ["os.system", "eval", "in an attribute that is not read"])
def test_the_attacks_are_real(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(attacks(marker)[name]))
    assert marker.exists()


OS_SYSTEM = b"cos\nsystem\n"
LOGISTIC = b"csklearn.linear_model._logistic\nLogisticRegression\n"


@pytest.mark.parametrize(
    "opcodes",
    [
        b"(S'touch MARKER'\nios\nsystem\n.",  # INST
        b"(" + OS_SYSTEM + b"S'touch MARKER'\no.",  # OBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93S'touch MARKER'\n\x85R.",  # STACK_GLOBAL
        b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93)R.",  # a dotted name
        b"\x80\x04\x8c\x05numpy\x8c\x15f2py.os.system.dtypes\x93)R.",
        b"\x80\x02\x82\x01.",  # EXT1
        b"Pmarker\n.",  # PERSID
        LOGISTIC + b"}S'__setstate__'\n" + OS_SYSTEM + b"sb.",  # BUILD with a foreign name
        LOGISTIC + b"}S'get'\nS'x'\nsb.",  # BUILD on the class itself
        LOGISTIC + b"N}S'get'\nS'x'\ns\x86b.",  # the same by slots
        LOGISTIC + b")\x81N}S'__class__'\nS'x'\ns\x86b.",
        LOGISTIC + b")\x81)R.",  # a call of an instance
        b"(lp0\nS'x'\nh\x00b.",
    ],
)
def test_no_opcode_reaches_further(tmp_path: Path, convert: Convert, opcodes: bytes) -> None:
    with pytest.raises(BaseModelError, match="refused"):
        convert(opcodes.replace(b"MARKER", bytes(tmp_path / "marker")))
    assert os.listdir(tmp_path) == ["model_head.pkl"]


def test_a_huge_allocation_is_refused(convert: Convert) -> None:
    bytearray8 = b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"."
    with pytest.raises(BaseModelError, match="more memory"):
        convert(bytearray8)


def test_a_growing_bomb_is_stopped(convert: Convert) -> None:
    limits = replace(DEFAULT_LIMITS, memory_bytes=96 * 2**20)
    with pytest.raises(BaseModelError, match=r"more memory|at a limit"):
        convert(b"\x80\x04](" + b"]" * 20_000_000 + b"e.", limits)


HASHES_FOR_EVER = b"\x80\x04})" + b"2\x86" * 60 + b"K\x01s."
"""A key that is a pair of twice the same pair, sixty times: 2**60 steps to hash it."""


def test_a_loop_is_stopped_by_processor_time(convert: Convert) -> None:
    with pytest.raises(BaseModelError, match="1 s of CPU"):
        convert(HASHES_FOR_EVER, replace(DEFAULT_LIMITS, cpu_seconds=1))


def test_a_loop_is_stopped_by_the_clock(convert: Convert) -> None:
    with pytest.raises(BaseModelError, match="took more than"):
        convert(HASHES_FOR_EVER, replace(DEFAULT_LIMITS, wall_seconds=0.5))


LOCKED = """
import sys
sys.path.insert(0, {folder!r})
import ctypes, os, socket, subprocess
import jail
{before}
print(jail.lock(2**29, 10, 2**20))
for attempt in (
    lambda: socket.socket(),
    lambda: open({marker!r}, "w"),
    lambda: os.system("touch " + {marker!r}),
    lambda: subprocess.run(["touch", {marker!r}]),
    lambda: os.fork(),
    lambda: ctypes.CDLL(None),
    lambda: eval("1"),
    lambda: __import__("antigravity"),
):
    try:
        attempt()
    except jail.Refused as refused:
        print(refused)
"""


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("", {"network namespace", "sockets refused"}),
        (
            "class NoNamespaces:\n"
            "    def __init__(self, _): self.unshare = lambda flags: -1\n"
            "jail.CDLL = NoNamespaces",
            {"sockets refused"},
        ),
    ],
)
def test_a_locked_process_can_do_nothing(tmp_path: Path, before: str, expected: set[str]) -> None:
    marker = tmp_path / "marker"
    folder = str(Path(jail.__file__).parent)
    code = LOCKED.format(folder=folder, marker=str(marker), before=before)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    isolation, *refusals = done.stdout.splitlines()
    assert isolation in expected
    assert len(refusals) == 8, refusals
    assert not marker.exists()


def test_a_network_namespace_has_no_way_out(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(jail.__file__).parent)!r})\n"
        "import socket, jail\n"
        "sys.addaudithook = lambda hook: None\n"
        "isolation = jail.lock(2**29, 10, 2**20)\n"
        "print(isolation, *[name for _, name in socket.if_nameindex()])\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    if done.stdout.startswith("sockets refused"):
        pytest.skip("the kernel allows no user namespaces here")
    others = set(done.stdout.split()) - {"network", "namespace", "lo"}
    assert not {name for name in others if name.startswith(("e", "w"))}


GOOD: dict[str, Any] = {
    "kind": "LogisticRegression",
    "classes": [0, 1],
    "shape": [1, 2],
    "sklearn": "1.9.1",
    "isolation": "network namespace",
}


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"", b""),
        (b"no json", b""),
        (b"[]", b""),
        (json.dumps(GOOD | {"path": "/etc"}).encode(), bytes(24)),
        (json.dumps(GOOD | {"kind": "Other"}).encode(), bytes(24)),
        (json.dumps(GOOD | {"shape": [1, 2**40]}).encode(), bytes(24)),
        (json.dumps(GOOD | {"shape": [1, True]}).encode(), bytes(16)),
        (json.dumps(GOOD | {"classes": [0, 1, 2]}).encode(), bytes(24)),
        (json.dumps(GOOD | {"classes": []}).encode(), bytes(24)),
        (json.dumps(GOOD | {"sklearn": "\x1b[2J"}).encode(), bytes(24)),
        (json.dumps(GOOD).encode(), bytes(16)),
        (json.dumps(GOOD).encode(), bytes(23)),
        (json.dumps(GOOD).encode(), np.full(3, np.inf).tobytes()),
        (json.dumps({"refused": "x" * 301, "isolation": "network namespace"}).encode(), b""),
        (json.dumps({"refused": "\x1b[2J", "isolation": "sockets refused"}).encode(), b""),
    ],
)
def test_the_answer_of_a_process_that_was_taken_over_is_not_believed(
    tmp_path: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch, answer: bytes, body: bytes
) -> None:
    worker = tmp_path / "taken_over.py"
    written = answer + b"\n" + body
    worker.write_text(f"import sys; sys.stdout.buffer.write({written!r})")
    monkeypatch.setattr(jail, "__file__", str(worker))
    with pytest.raises(BaseModelError, match="refused") as caught:
        convert(b"")
    assert caught.value.message.isprintable()


def test_the_process_sees_neither_the_folder_nor_the_environment(
    tmp_path: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tmp_path / "spy.py"
    seen = tmp_path / "seen"
    worker.write_text(
        "import json, os, pathlib, sys\n"
        f"pathlib.Path({str(seen)!r}).write_text(json.dumps("
        "[os.listdir(), sorted(os.environ), [p for p in sys.path if 'site-packages' in p]]))\n"
    )
    monkeypatch.setattr(jail, "__file__", str(worker))
    monkeypatch.setenv("SECRET", "x")
    with pytest.raises(BaseModelError):
        convert(b"")
    assert json.loads(seen.read_text()) == [[], ["LC_ALL"], []]
