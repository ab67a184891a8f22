"""A comparison of models as a picture: cosines of task vectors, and what happens in each layer."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from adapterhub_lite.merging.diagnosis.diagnose import Diagnosis, Part, Square
from adapterhub_lite.merging.diagnosis.hints import letter
from adapterhub_lite.reports.plots import png, shortened

MAX_LINES: Final = 6
"""More pairs than these are drawn as a band from the lowest to the highest."""
MAX_TICKS: Final = 40
MAX_WRITTEN: Final = 12
"""Up to so many models the cells of the heat map carry their cosines."""

Pick = Callable[[Part], Square]


def diagnosis_png(diagnosis: Diagnosis) -> bytes:
    """Draw the cosine heat map, and per layer the norms, cosines and sign conflicts, as PNG."""
    figure = Figure(figsize=(12.0, 7.5), layout="constrained", dpi=110)
    grid: Any = figure.add_gridspec(3, 2, width_ratios=(1.0, 1.7))
    _heat_map(figure.add_subplot(grid[:, 0]), diagnosis)
    norms = figure.add_subplot(grid[0, 1])
    _norms(norms, diagnosis)
    cosines = figure.add_subplot(grid[1, 1], sharex=norms)
    _pairs(cosines, diagnosis, lambda part: part.cosines)
    cosines.set_title("cosine of the task vectors", fontsize=9, loc="left")
    cosines.axhline(0.0, color="black", linewidth=0.6)
    conflicts = figure.add_subplot(grid[2, 1], sharex=norms)
    _pairs(conflicts, diagnosis, lambda part: part.top_conflicts)
    conflicts.set_title("sign conflicts among the largest changes", fontsize=9, loc="left")
    conflicts.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    conflicts.axhline(0.5, color="black", linewidth=0.6, linestyle="--")  # what chance gives
    conflicts.set_ylim(bottom=0.0)
    for axes in (norms, cosines):
        axes.tick_params(axis="x", labelbottom=False)
    _name_parts(conflicts, diagnosis)
    return png(figure)


def _heat_map(axes: Axes, diagnosis: Diagnosis) -> None:
    cosines = [[_number(value) for value in row] for row in diagnosis.whole.cosines]
    image = axes.imshow(cosines, cmap="RdBu", vmin=-1.0, vmax=1.0)
    names = [letter(number) for number in range(len(cosines))]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_title("cosine similarity of the task vectors", fontsize=10)
    if len(names) <= MAX_WRITTEN:
        for row, values in enumerate(cosines):
            for column, value in enumerate(values):
                shade = "white" if abs(value) > 0.6 else "black"
                text = "-" if math.isnan(value) else f"{value:.2f}"
                axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=9)
    axes.figure.colorbar(image, ax=axes, shrink=0.5)
    # Names are a stranger's text: a dollar sign in one starts no formula.
    told = [f"{letter(n)}  {shortened(name)}" for n, name in enumerate(diagnosis.models)]
    told.append(f"base  {shortened(diagnosis.base)}")
    axes.set_xlabel("\n".join(told), fontsize=9, parse_math=False, loc="left", labelpad=12)


def _norms(axes: Axes, diagnosis: Diagnosis) -> None:
    for number in range(len(diagnosis.models)):
        values = [_number(part.relative_norms[number]) for part in diagnosis.parts]
        _line(axes, values, letter(number))
    axes.set_title("norm of the change, of the base's norm", fontsize=9, loc="left")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(bottom=0.0)
    _finish(axes)


def _pairs(axes: Axes, diagnosis: Diagnosis, pick: Pick) -> None:
    pairs = list(combinations(range(len(diagnosis.models)), 2))
    lines = {
        f"{letter(i)} and {letter(j)}": [_number(pick(part)[i][j]) for part in diagnosis.parts]
        for i, j in pairs
    }
    if len(pairs) <= MAX_LINES:
        for name, values in lines.items():
            _line(axes, values, name)
    else:
        _band(axes, list(lines.values()))
    _finish(axes)


def _line(axes: Axes, values: Sequence[float], name: str) -> None:
    mark = "o" if len(values) <= MAX_TICKS else None
    axes.plot(range(len(values)), values, label=name, linewidth=1.4, marker=mark, markersize=3)


def _band(axes: Axes, lines: Sequence[Sequence[float]]) -> None:
    known = [
        [v for v in column if not math.isnan(v)] or [math.nan]
        for column in zip(*lines, strict=True)
    ]
    places = range(len(known))
    axes.fill_between(places, [min(c) for c in known], [max(c) for c in known], alpha=0.3)
    mean = [sum(column) / len(column) for column in known]
    axes.plot(places, mean, linewidth=1.4, label=f"mean of {len(lines)} pairs, and their range")


def _finish(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8, ncols=3)


def _name_parts(axes: Axes, diagnosis: Diagnosis) -> None:
    step = -(-len(diagnosis.parts) // MAX_TICKS)
    places = range(0, len(diagnosis.parts), step)
    names = [shortened(diagnosis.parts[place].name) for place in places]
    axes.set_xticks(places, names, rotation=90, fontsize=8, parse_math=False)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
