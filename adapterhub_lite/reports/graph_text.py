"""A lineage as lines of text: a version a row, and beside the rows who was made from whom.

Newest first, as ``git log --graph`` has it: a lane runs from a version down to each parent.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from adapterhub_lite.reports.markdown import printable

if TYPE_CHECKING:
    from adapterhub_lite_registry import GraphEdge, GraphNode, LineageGraph

SHORT: Final = 19
"""So many characters of a digest stand for it: ``sha256:`` and twelve more."""


def graph_lines(graph: "LineageGraph") -> Iterator[str]:
    """Yield a graph as lines; the version that was asked for has a full dot."""
    return map(printable, _lines(graph))


def _lines(graph: "LineageGraph") -> Iterator[str]:
    names = {node.digest: node_name(node) for node in graph.nodes}
    lanes: list[str | None] = []
    for node in graph.nodes:
        columns = [place for place, digest in enumerate(lanes) if digest == node.digest]
        if len(columns) > 1:
            yield _link(lanes, columns, "┴", "╯")
        for place in columns[1:]:
            lanes[place] = None
        column = columns[0] if columns else _free(lanes, 0)
        lanes[column] = node.digest
        dot = "●" if node.digest == graph.focus else "○"
        yield f"{_row(lanes, column, dot)}  {_label(node)}"
        edges = graph.parents(node.digest)
        parents = list(dict.fromkeys(edge.parent for edge in edges))
        lanes[column] = parents[0] if parents else None
        if told := _made_from(edges, names):
            yield f"{_row(lanes, None, '')}  {told}"
        yield from _branch(lanes, column, parents[1:])
        while lanes and lanes[-1] is None:
            lanes.pop()


def node_name(node: "GraphNode") -> str:
    """Return what a version is called, or what is left of its name."""
    return node.ref or f"{node.digest[:SHORT]}… (not here)"


def edge_label(edge: "GraphEdge") -> str:
    """Return as what, and with which weight, a parent was used; nothing where it is not known."""
    weight = f"{edge.weight:g}" if edge.weight is not None else ""
    return " ".join(filter(None, (edge.role, weight)))


def metric_label(node: "GraphNode") -> str:
    """Return a version's score in words; nothing where there is none."""
    return f"{node.metric.name} {node.metric.value:.4g}" if node.metric is not None else ""


def hidden_label(node: "GraphNode") -> str:
    """Return how many parents are not drawn; nothing where all are."""
    return f"+ {node.hidden} parent{'' if node.hidden == 1 else 's'}" if node.hidden else ""


def _label(node: "GraphNode") -> str:
    made = " · ".join(filter(None, (node.kind, " + ".join(node.methods))))
    aliases = f"({', '.join(node.aliases)})" if node.aliases else ""
    digest = node.digest[:SHORT] if node.ref else ""
    words = (node_name(node), aliases, made, metric_label(node), digest, hidden_label(node))
    return "  ".join(filter(None, words))


def _made_from(edges: "Sequence[GraphEdge]", names: dict[str, str]) -> str:
    """Return as what each parent was used, unless nothing is told of any."""
    if not any(map(edge_label, edges)):
        return ""
    told = (f"{names[edge.parent]} {edge_label(edge)}".strip() for edge in edges)
    return f"  from {', '.join(told)}"


def _free(lanes: list[str | None], start: int) -> int:
    """Return a lane at or after ``start`` that nothing runs in, a new one if there is none."""
    for place in range(start, len(lanes)):
        if lanes[place] is None:
            return place
    lanes.append(None)
    return len(lanes) - 1


def _branch(lanes: list[str | None], column: int, parents: Sequence[str]) -> Iterator[str]:
    """Give each further parent a lane to the right; yield the line that leads there."""
    if not parents:
        return
    columns = [column]
    for parent in parents:
        columns.append(_free(lanes, columns[-1] + 1))
        lanes[columns[-1]] = parent
    yield _link(lanes, columns, "┬", "╮")


def _row(lanes: Sequence[str | None], column: int | None, dot: str) -> str:
    signs = ["│" if digest else " " for digest in lanes]
    if column is not None:
        signs[column] = dot
    return " ".join(signs)


def _link(lanes: Sequence[str | None], columns: Sequence[int], middle: str, last: str) -> str:
    """Return the line that joins lanes, crossing those between them."""
    first, end = columns[0], columns[-1]
    line = ""
    for place, digest in enumerate(lanes):
        inside = first < place < end
        if place == first:
            sign = "├"
        elif place == end:
            sign = last
        elif place in columns:
            sign = middle
        elif digest:
            sign = "┼" if inside else "│"
        else:
            sign = "─" if inside else " "
        line += sign + ("─" if first <= place < end else " ")
    return line.rstrip()
