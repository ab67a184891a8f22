"""Reads a pickled scikit-learn head as plain numbers, as a process that can do no more than that.

It is a worker of :mod:`adapterhub_lite.isolation.jail`: the body of its answer are coefficients and
intercepts as float64. Only the standard library is imported: each name that the pickle may use is
answered with an inert record defined here, so that neither scikit-learn nor numpy runs, let alone
anything else.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
from array import array
from typing import Any, BinaryIO

from adapterhub_lite.isolation.jail import Record, Refused

ITEMS = {
    "b1": "B", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I",
    "i8": "q", "u8": "Q", "f4": "f", "f8": "d",
}  # fmt: skip
"""numpy's item code → the type code of :class:`array.array`."""


class LogisticRegression(Record):
    """A fitted ``sklearn.linear_model.LogisticRegression``."""


class OneVsRestClassifier(Record):
    """A fitted ``sklearn.multiclass.OneVsRestClassifier``."""


class MultiOutputClassifier(Record):
    """A fitted ``sklearn.multioutput.MultiOutputClassifier``."""


class ConstantPredictor(Record):
    """What one-vs-rest fits to a label that all or none of the rows carry."""


class LabelBinarizer(Record):
    """Says whether a one-vs-rest classifier is multi-label."""


class Opaque(Record):
    """Something that occurs in a head and is never looked at."""


class Dtype(Record):
    """A ``numpy.dtype``."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code = str(code)
        self.state = ()

    @property
    def swapped(self) -> bool:
        """Whether its bytes stand in the other order than this machine's."""
        order = self.state[1] if len(self.state) > 1 else "="
        return order in "<>" and (order == "<") != (sys.byteorder == "little")


class Array(Record):
    """A numpy array that was pickled as numpy does: shape, dtype, order, bytes or list."""

    def parts(self) -> tuple[tuple[int, ...], Dtype, bool, Any]:
        """Return shape, dtype, whether columns come first, and the bytes or the list."""
        _, shape, dtype, by_column, content = self.state
        return shape, dtype, bool(by_column), content


class ArrayInStream(Array):
    """A numpy array as joblib writes it: a description, and behind it in the file the bytes."""

    stream: io.BytesIO

    def __setstate__(self, state: Any) -> None:
        shape, dtype, by_column = state["shape"], state["dtype"], state["order"] == "F"
        if dtype.code.startswith("O"):
            nested = HeadUnpickler(self.stream).load()
            self.state = (1, *nested.parts())
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            self.stream.read(self.stream.read(1)[0])
        self.state = (1, shape, dtype, by_column, self.stream.read(math.prod(shape) * size(dtype)))


RECORDS: dict[tuple[str, str], type[Record]] = {
    ("sklearn.linear_model._logistic", "LogisticRegression"): LogisticRegression,
    ("sklearn.multiclass", "OneVsRestClassifier"): OneVsRestClassifier,
    ("sklearn.multiclass", "_ConstantPredictor"): ConstantPredictor,
    ("sklearn.multioutput", "MultiOutputClassifier"): MultiOutputClassifier,
    ("sklearn.preprocessing._label", "LabelBinarizer"): LabelBinarizer,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): ArrayInStream,
    ("numpy", "dtype"): Dtype,
    ("numpy", "ndarray"): Opaque,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy._core.multiarray", "_reconstruct"): Array,
    ("numpy.core.multiarray", "scalar"): Opaque,
    ("numpy._core.multiarray", "scalar"): Opaque,
}
"""Every name that a pickle may use, and the record that stands in for it."""


class HeadUnpickler(pickle._Unpickler):
    """Reads a pickle whose every global is one of :data:`RECORDS`.

    It is the one in Python, not in C: that one reads ahead, and joblib puts bytes between opcodes.
    """

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self._in_stream = type("ArrayInThisStream", (ArrayInStream,), {"stream": stream})

    def find_class(self, module: str, name: str, /) -> type[Record]:
        """Return the record for a name; Refused for every other name."""
        if module.startswith(("torch", "setfit")):
            raise Refused("its head is a differentiable torch head, not a logistic regression")
        found = RECORDS.get((module, name))
        if found is None:
            raise Refused(
                f"its head names {module}.{name}, and may hold logistic regressions only, alone, "
                "one-vs-rest or multi-output"
            )
        return self._in_stream if found is ArrayInStream else found


def size(dtype: Dtype) -> int:
    """Return how many bytes an item has; Refused for an item that no head has."""
    if dtype.code in ITEMS:
        return int(dtype.code[1:])
    if dtype.code[:1] == "U" and dtype.code[1:].isdigit():
        return 4 * int(dtype.code[1:])
    raise Refused(f"its head holds an array of {dtype.code!r}")


def numbers(value: Any) -> tuple[tuple[int, ...], array[Any]]:
    """Return an array's shape, and its numbers row by row."""
    if not isinstance(value, Array):
        raise Refused("its head lacks an array that a fitted head has")
    shape, dtype, by_column, content = value.parts()
    items = array(ITEMS[dtype.code], content)
    if dtype.swapped:
        items.byteswap()
    if len(items) != math.prod(shape):
        raise Refused("its head holds an array that is cut short")
    if by_column and len(shape) == 2:
        by_row = (items[row :: shape[0]] for row in range(shape[0]))
        items = array(items.typecode, b"".join(row.tobytes() for row in by_row))
    return shape, items


def names(value: Any) -> list[Any]:
    """Return classes as strings or integers."""
    if not isinstance(value, Array):
        raise Refused("its head is not fitted: it has no classes")
    _, dtype, _, content = value.parts()
    if isinstance(content, list):
        return content
    if dtype.code[:1] != "U":
        return [int(item) if item == int(item) else item for item in numbers(value)[1]]
    width, order = size(dtype), "be" if dtype.swapped == (sys.byteorder == "little") else "le"
    cells = (content[start : start + width] for start in range(0, len(content), width))
    return [cell.decode(f"utf-32-{order}").rstrip("\0") for cell in cells]


def single_label(head: LogisticRegression) -> tuple[dict[str, Any], array[Any], array[Any]]:
    """Read a logistic regression over classes that exclude each other."""
    classes = names(head.get("classes_"))
    rule, many = head.get("multi_class"), len(classes) > 2
    if many and (rule == "ovr" or head.get("solver") == "liblinear"):
        raise Refused("its head weighs each class against the rest, not all together (softmax)")
    if rule == "multinomial" and not many:
        raise Refused("its head is multinomial with two classes, which scikit-learn has given up")
    shape, coef = numbers(head.get("coef_"))
    _, intercept = numbers(head.get("intercept_"))
    return {"classes": classes, "shape": shape}, coef, intercept


def multi_label(estimators: Any) -> tuple[dict[str, Any], array[Any], array[Any]]:
    """Read one binary regression a label, or the constant of a label that never varied."""
    rows: list[tuple[array[Any], float]] = [binary(estimator) for estimator in estimators]
    width = max((len(coef) for coef, _ in rows), default=0)
    coef, intercept = array("d"), array("d")
    for row, offset in rows:
        coef.extend(array("d", row) if row else array("d", bytes(8 * width)))
        intercept.append(offset)
        if row and len(row) != width:
            raise Refused("its labels have heads of different widths")
    return {"classes": [], "shape": (len(rows), width)}, coef, intercept


def binary(estimator: Any) -> tuple[array[Any], float]:
    """Return the weights and the intercept of one label; no weights when it is constant."""
    if isinstance(estimator, ConstantPredictor):
        return array("d"), math.inf if numbers(estimator.get("y_"))[1][0] else -math.inf
    if not isinstance(estimator, LogisticRegression):
        raise Refused("its head is made of something else than logistic regressions")
    fields, coef, intercept = single_label(estimator)
    if fields["classes"] != [0, 1] or fields["shape"][0] != 1 or len(intercept) != 1:
        raise Refused("its head has a label that is not a yes or no")
    return coef, intercept[0]


def describe(head: Any) -> tuple[dict[str, Any], array[Any], array[Any]]:
    """Return what the parent needs: fields, coefficients, intercepts."""
    if isinstance(head, LogisticRegression):
        return single_label(head)
    if isinstance(head, OneVsRestClassifier):
        binarizer = head.get("label_binarizer_")
        kind = binarizer.get("y_type_") if isinstance(binarizer, LabelBinarizer) else None
        if kind != "multilabel-indicator":
            raise Refused("its one-vs-rest head is not multi-label")
        return multi_label(head.get("estimators_"))
    if isinstance(head, MultiOutputClassifier):
        return multi_label(head.get("estimators_"))
    raise Refused("its head is no scikit-learn classifier that is understood")


def convert(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Return what the head is and its sizes, and its numbers; raises Refused for any other."""
    head = HeadUnpickler(io.BytesIO(stream.read())).load()
    fields, coef, intercept = describe(head)
    body = array("d", coef).tobytes() + array("d", intercept).tobytes()
    version = str(head.get("_sklearn_version") or "unknown")
    return {**fields, "kind": type(head).__name__, "sklearn": version}, body
