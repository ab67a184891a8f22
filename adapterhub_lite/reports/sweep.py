"""The picture of a search: how trials scored, in their order and over each parameter."""

from collections.abc import Mapping, Sequence


def sweep_png(
    scores: Sequence[float | None],
    values: Sequence[Mapping[str, float]],
    metric: str,
    *,
    greater_is_better: bool = True,
) -> bytes:
    """Draw each trial's score: by its number with the best so far, and by each parameter.

    ``scores`` and ``values`` have an entry for each trial; a trial without a score is left out.
    """
    from matplotlib.figure import Figure

    from adapterhub_lite.reports.plots import png

    numbers = [number for number, score in enumerate(scores) if score is not None]
    points = [score for score in scores if score is not None]
    names = list(dict.fromkeys(name for entry in values for name in entry))
    figure = Figure(figsize=(7, 2.6 * (1 + len(names))), layout="constrained", dpi=110)
    first, *others = figure.subplots(1 + len(names), squeeze=False)[:, 0]
    first.plot(numbers, points, "o", markersize=4, alpha=0.6, label="trial")
    first.step(numbers, _best_so_far(points, greater_is_better), where="post", label="best so far")
    first.set_xlabel("trial")
    first.set_ylabel(metric)
    first.legend(frameon=False)
    for axes, name in zip(others, names, strict=True):
        axes.plot([values[number][name] for number in numbers], points, "o", markersize=4)
        axes.set_xlabel(name, parse_math=False)
        axes.set_ylabel(metric)
    return png(figure)


def _best_so_far(points: Sequence[float], greater_is_better: bool) -> list[float]:
    best: list[float] = []
    for point in points:
        better = max if greater_is_better else min
        best.append(better(best[-1], point) if best else point)
    return best
