"""Lineages made up at random, as graphs."""

from hypothesis import strategies as st

from adapterhub_lite_registry import GraphEdge, GraphNode, LineageGraph, Metric


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def node(number: int, **more: object) -> GraphNode:
    return GraphNode(digest=digest(number), ref=f"n{number}@1", kind="adapter", **more)  # type: ignore[arg-type]


@st.composite
def graphs(draw: st.DrawFn) -> LineageGraph:
    """Draw versions of which each is made from some of those after it."""
    count = draw(st.integers(1, 9))
    edges = []
    for child in range(count):
        later = list(range(child + 1, count))
        parents = draw(st.lists(st.sampled_from(later), unique=True, max_size=4)) if later else []
        weight = draw(st.sampled_from([None, 0.5]))
        edges += [GraphEdge(digest(p), digest(child), None, weight) for p in parents]
    metric = Metric(name="accuracy", value=0.9)
    nodes = tuple(node(number, metric=metric) for number in range(count))
    return LineageGraph(digest(draw(st.integers(0, count - 1))), nodes, tuple(edges))
