"""A lineage as one SVG that needs nothing beside it: versions are boxes, the oldest to the left."""

from collections import defaultdict
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Final, TypeAlias

from adapterhub_lite.reports.graph_layers import Layers, Point, arrange
from adapterhub_lite.reports.graph_text import (
    SHORT,
    edge_label,
    hidden_label,
    metric_label,
    node_name,
)
from adapterhub_lite.reports.markdown import printable

if TYPE_CHECKING:
    from adapterhub_lite_registry import GraphNode, LineageGraph

WIDTH: Final = 230
HEIGHT: Final = 88
ACROSS: Final = 150
"""Between two layers: room for an edge and what stands on it."""
DOWN: Final = 26
MARGIN: Final = 20
LINE: Final = 18
LONGEST: Final = {"name": 26, "": 30, "quiet": 36}
"""So many letters of each kind fit into a box; the whole text is the box's title."""
LONGEST_LABEL: Final = 14
Places: TypeAlias = dict[Point, tuple[float, float]]
"""A point's left end and its middle."""
Heights: TypeAlias = dict[tuple[str, str], float]
"""Where an edge arrives, by parent and child."""
STYLE: Final = (
    "text{font:12px system-ui,'DejaVu Sans',sans-serif;fill:#1f2933}"
    ".name{font-size:13px;font-weight:600}.quiet{fill:#616e7c;font-size:11px}"
    ".edge{fill:none;stroke:#9aa5b1;stroke-width:1.5}"
    ".node{fill:#fff;stroke:#9aa5b1}.focus{stroke:#2563eb;stroke-width:2.5}"
    ".gone{stroke-dasharray:5 4}.label{fill:#3e4c59;font-size:11px;"
    "paint-order:stroke;stroke:#f5f7fa;stroke-width:4px}"
)


def graph_svg(graph: "LineageGraph") -> str:
    """Return a graph as SVG."""
    layers = arrange(graph)
    places = _places(layers)
    heights = _arrivals(layers, places)
    width = 2 * MARGIN + len(layers.layers) * (WIDTH + ACROSS) - ACROSS
    height = max(y for _, y in places.values()) + HEIGHT / 2 + MARGIN
    names = {node.digest: node_name(node) for node in graph.nodes}
    drawing = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
            f"<title>Lineage of {escape(names[graph.focus])}</title>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#9aa5b1"/></marker>'
            "</defs>",
            '<rect width="100%" height="100%" fill="#f5f7fa"/>',
            *_edges(layers, places, heights),
            *(line for node in graph.nodes for line in _box(node, graph.focus, places)),
            *_labels(graph, places, heights),
            "</svg>\n",
        ]
    )
    return printable(drawing)


def _places(layers: Layers) -> Places:
    """Return the left end and the middle of each point; layers are centred on one line."""
    tallest = max(len(layer) for layer in layers.layers)
    found: Places = {}
    for number, layer in enumerate(layers.layers):
        x = MARGIN + number * (WIDTH + ACROSS)
        first = MARGIN + HEIGHT / 2 + (tallest - len(layer)) * (HEIGHT + DOWN) / 2
        for place, point in enumerate(layer):
            found[point] = (x, first + place * (HEIGHT + DOWN))
    return found


def _arrivals(layers: Layers, places: Places) -> Heights:
    """Return at which height of its box each edge ends: spread, in the order they come from."""
    incoming: dict[Point, list[tuple[str, str]]] = defaultdict(list)
    for pair, route in layers.routes.items():
        incoming[route[-1]].append(pair)
    heights = {}
    for point, pairs in incoming.items():
        pairs.sort(key=lambda pair: places[layers.routes[pair][-2]][1])
        top = places[point][1] - HEIGHT / 2
        for number, pair in enumerate(pairs, start=1):
            heights[pair] = top + HEIGHT * number / (len(pairs) + 1)
    return heights


def _edges(layers: Layers, places: Places, heights: Heights) -> Iterator[str]:
    """Yield an arrow for each pair, straight through the layers it passes."""
    for pair, route in layers.routes.items():
        x, y = places[route[0]]
        at = x + WIDTH
        path = f"M{at:.0f} {y:.0f}"
        for point in route[1:]:
            x, below = places[point]
            if point == route[-1]:
                below = heights[pair]
            half = (at + x) / 2
            path += f"C{half:.0f} {y:.0f} {half:.0f} {below:.0f} {x:.0f} {below:.0f}"
            at, y = x, below
            if point != route[-1]:
                at = x + WIDTH
                path += f"H{at:.0f}"
        yield f'<path class="edge" marker-end="url(#tip)" d="{path}"/>'


def _labels(graph: "LineageGraph", places: Places, heights: Heights) -> Iterator[str]:
    """Yield what stands on the edges, before the arrows' tips: there they lie apart."""
    for (parent, child), y in heights.items():
        edges = [edge for edge in graph.parents(child) if edge.parent == parent]
        if text := ", ".join(filter(None, map(edge_label, edges))):
            x, _ = places[child, "", 0]
            yield (
                f'<text class="label" x="{x - 12:.0f}" y="{y + 4:.0f}" text-anchor="end">'
                f"{escape(_cut(text, LONGEST_LABEL))}</text>"
            )


def _box(node: "GraphNode", focus: str, places: Places) -> Iterator[str]:
    x, y = places[node.digest, "", 0]
    top = y - HEIGHT / 2
    made = " · ".join(filter(None, (node.kind, " + ".join(node.methods))))
    lines = [node_name(node), made, metric_label(node), ", ".join(node.aliases)]
    style = "node focus" if node.digest == focus else "node"
    if node.ref is None:
        style += " gone"
    yield f"<g><title>{escape(' · '.join(filter(None, (*lines, node.digest))))}</title>"
    yield (
        f'<rect class="{style}" x="{x:.0f}" y="{top:.0f}" width="{WIDTH}" height="{HEIGHT}" '
        'rx="8"/>'
    )
    aliases = f"→ {lines[3]}" if lines[3] else ""
    shown = (
        ("name", node.ref or "not here"),
        ("", made),
        ("", "   ".join(filter(None, (lines[2], aliases)))),
    )
    for number, (name, text) in enumerate(
        (*shown, ("quiet", f"{node.digest[:SHORT]}  {hidden_label(node)}"))
    ):
        if text:
            kind = f' class="{name}"' if name else ""
            yield (
                f'<text{kind} x="{x + 12:.0f}" y="{top + 22 + number * LINE:.0f}">'
                f"{escape(_cut(text, LONGEST[name]))}</text>"
            )
    yield "</g>"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
