"""Plots as PNG bytes, drawn without a display."""

import io
import warnings
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

MAX_NUMBERED = 30
"""Up to so many classes the cells of a confusion matrix carry their counts."""
LONGEST_LABEL = 32


def confusion_png(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """Draw a confusion matrix, true label by predicted label, shaded by the row's share."""
    import numpy as np

    counts = np.array(confusion)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    count = len(classes)
    side = min(max(4.0, 0.42 * count + 2.5), 22.0)
    figure = Figure(figsize=(side, side), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    size = 9 if count <= MAX_NUMBERED else 6
    names = [shortened(name) for name in classes]
    # Labels are a stranger's text: a dollar sign in one starts no formula.
    axes.set_xticks(range(count), names, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(count), names, fontsize=size, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if count <= MAX_NUMBERED:
        for row, column in zip(*counts.nonzero(), strict=True):
            shade = "white" if shares[row, column] > 0.55 else "black"
            axes.text(
                column, row, counts[row, column], ha="center", va="center", color=shade, fontsize=8
            )
    return _png(figure)


def shortened(label: str) -> str:
    """Return a label that fits beside a picture."""
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def loss_png(curves: Sequence[tuple[str, Sequence[float]]]) -> bytes:
    """Draw loss curves, one a named run, over steps."""
    figure = Figure(figsize=(6.5, 3.0), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    for name, values in curves:
        axes.plot(range(1, len(values) + 1), values, label=name, linewidth=1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step")
    axes.set_ylabel("contrastive loss")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph"
        )  # drawn as boxes; the table has the names
        figure.set_canvas(FigureCanvasAgg(figure))
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
