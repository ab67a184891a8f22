"""Plots as PNG bytes, drawn without a display."""

import io
import warnings
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from adapterhub_lite.reports.curves import Panel

MAX_NUMBERED = 30
"""Up to so many classes the cells of a confusion matrix carry their counts."""
LONGEST_LABEL = 32
MAX_MARKED = 25


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
    return png(figure)


def shortened(label: str) -> str:
    """Return a label that fits beside a picture."""
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def curves_png(panels: Sequence[Panel]) -> bytes:
    """Draw curves over steps, one below the other, a line a seed."""
    figure = Figure(figsize=(6.5, 0.6 + 2.0 * len(panels)), layout="constrained", dpi=110)
    for axes, panel in zip(
        figure.subplots(len(panels), squeeze=False, sharex=True)[:, 0], panels, strict=True
    ):
        for name, points in panel.lines.items():
            steps = sorted(points)
            mark = "o" if len(steps) < MAX_MARKED else None
            axes.plot(steps, [points[s] for s in steps], label=name, linewidth=1.5, marker=mark,
                      markersize=3)  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(panel.title, fontsize=9, loc="left", parse_math=False)
        axes.tick_params(labelsize=8)
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.grid(alpha=0.3)
        if len(panel.lines) > 1:
            axes.legend(frameon=False, fontsize=8)
    axes.set_xlabel("step", fontsize=8)
    return png(figure)


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph"
        )  # drawn as boxes; the table has the names
        figure.set_canvas(FigureCanvasAgg(figure))
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
