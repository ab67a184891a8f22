"""What is drawn of a lineage is the lineage: lines are followed from version to version."""

import re
from itertools import combinations
from xml.etree import ElementTree

from hypothesis import given, settings

from adapterhub_lite.reports.graph_layers import arrange
from adapterhub_lite.reports.graph_svg import HEIGHT, WIDTH, graph_svg
from adapterhub_lite.reports.graph_text import graph_lines
from adapterhub_lite_registry import GraphEdge, GraphNode, LineageGraph, Metric
from tests.unit.reports.graphs import digest, graphs, node

SVG = "{http://www.w3.org/2000/svg}"


def ends(lines: list[str], row: int, column: int) -> set[int]:
    """Follow all lines down from a cell; return the rows of the versions that they lead to."""
    while True:
        row += 1
        sign = lines[row][column]
        is_join = "╯" in lines[row]
        if sign in "○●":
            return {row}
        if sign == "├" and not is_join:
            found = ends(lines, row, column)
            while lines[row][column] != "╮":
                column += 1
                if lines[row][column] in "┬╮":
                    found |= ends(lines, row, column)
            return found
        if sign in "┴╯":
            while lines[row][column] != "├":
                column -= 1
        assert lines[row][column] in "│┼├"


@settings(max_examples=60)
@given(graphs())
def test_the_lines_lead_to_what_a_version_was_made_from(graph: LineageGraph) -> None:
    lines = list(graph_lines(graph))
    rows = {}
    for row, line in enumerate(lines):
        if found := re.search(r"[○●] .*?(n\d+)@1", line):
            rows[row] = f"{found[1]}@1"
    assert list(rows.values()) == [one.ref for one in graph.nodes]
    names = {one.digest: one.ref for one in graph.nodes}
    for row, name in rows.items():
        column = re.search("[○●]", lines[row]).start()  # type: ignore[union-attr]
        own = next(one.digest for one in graph.nodes if one.ref == name)
        expected = {names[edge.parent] for edge in graph.parents(own)}
        reached = {rows[end] for end in ends(lines, row, column)} if expected else set()
        assert reached == expected
    assert sum("●" in line for line in lines) == 1


@settings(max_examples=40)
@given(graphs())
def test_every_version_has_a_place_of_its_own_and_every_edge_its_ends(graph: LineageGraph) -> None:
    root = ElementTree.fromstring(graph_svg(graph))
    boxes = [box for box in root.iter(f"{SVG}rect") if "node" in box.get("class", "")]
    corners = [(float(box.get("x", 0)), float(box.get("y", 0))) for box in boxes]
    assert len(corners) == len(graph.nodes)
    for (x, y), (other_x, other_y) in combinations(corners, 2):
        assert abs(x - other_x) >= WIDTH or abs(y - other_y) >= HEIGHT
    place = dict(zip([one.digest for one in graph.nodes], corners, strict=True))
    paths = [path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("class") == "edge"]
    drawn = set()
    for path in paths:
        numbers = [float(number) for number in re.findall(r"[\d.]+", path)]
        drawn.add((numbers[0] - WIDTH, numbers[1] - HEIGHT / 2, numbers[-2]))
        assert any(x == numbers[-2] and y < numbers[-1] < y + HEIGHT for x, y in corners)
    assert drawn == {
        (*place[edge.parent], place[edge.child][0]) for edge in graph.edges
    }  # where it starts, and at which layer it ends


@settings(max_examples=40)
@given(graphs())
def test_a_version_is_to_the_right_of_what_it_was_made_from(graph: LineageGraph) -> None:
    layers = arrange(graph)
    layer_of = {point: layer for layer, points in enumerate(layers.layers) for point in points}
    for route in layers.routes.values():
        assert [layer_of[point] for point in route] == list(
            range(layer_of[route[0]], layer_of[route[-1]] + 1)
        )


def test_a_merge_is_told_with_its_weights_methods_and_scores() -> None:
    nodes = (
        GraphNode(
            digest(0), "both@3", "model", ("prod", "live"), ("ties",),
            Metric(name="accuracy", value=0.91234), hidden=2,
        ),
        node(1),
        GraphNode(digest(2)),
    )  # fmt: skip
    edges = (
        GraphEdge(digest(1), digest(0), "model", 0.3),
        GraphEdge(digest(2), digest(0), "base"),
    )
    first, second, *_ = graph_lines(LineageGraph(digest(1), nodes, edges))
    short = digest(0)[:19]
    assert first == f"○  both@3  (prod, live)  model · ties  accuracy 0.9123  {short}  + 2 parents"
    assert second.endswith(f"from n1@1 model 0.3, {digest(2)[:19]}… (not here) base")


def test_strange_words_are_only_shown() -> None:
    strange = GraphNode(digest(0), "a@1", "model", (), ("\x1b[2Jx<script>&\x00",))
    graph = LineageGraph(digest(0), (strange,), ())
    (line,) = graph_lines(graph)
    assert "\x1b" not in line
    texts = [text.text for text in ElementTree.fromstring(graph_svg(graph)).iter(f"{SVG}text")]
    assert "model · [2Jx<script>&" in texts
