"""A lineage as a graph: each version once, with all edges between those that are shown."""

from typing import Any

import pytest

from adapterhub_lite_registry import LineageGraph, NotFoundError, Registry, lineage_graph

FAR = "sha256:" + "ab" * 32


@pytest.fixture
def family(publish: Any) -> Any:
    """base → left and right → merged → renamed; stranger → merged, and far → stranger."""

    def made(name: str, *parents: Any, **more: Any) -> Any:
        listed = [
            {"digest": getattr(one, "digest", one), "role": "model", "weight": 0.5}
            for one in parents
        ]
        return publish(name, parents=listed, **more)

    base = made("base", kind="model")
    left, right = made("left", base, method={"name": "lora"}), made("right", base, seed=1)
    stranger = made("stranger", FAR)
    metrics = [
        {"name": "cv", "value": 0.5, "split": "validation"},
        {"name": "f1", "value": 0.9, "split": "test"},
    ]
    strategies = [{"name": "ties"}, {"name": "ties"}, {"name": "dare"}]
    merged = made(
        "merged", left, right, stranger, strategies=strategies, metrics=metrics, alias="prod"
    )
    made("renamed", merged)
    return merged


def names(graph: LineageGraph) -> dict[str, str]:
    return {node.digest: node.ref or node.digest for node in graph.nodes}


def edges(graph: LineageGraph) -> set[tuple[str, str]]:
    known = names(graph)
    return {(known[edge.parent], known[edge.child]) for edge in graph.edges}


DIAMOND = {
    ("base@1", "left@1"),
    ("base@1", "right@1"),
    ("left@1", "merged@1"),
    ("right@1", "merged@1"),
    ("stranger@1", "merged@1"),
    ("merged@1", "renamed@1"),
}


def test_a_diamond_from_its_middle(registry: Registry, family: Any) -> None:
    graph = lineage_graph(registry, "merged")
    assert edges(graph) == DIAMOND | {(FAR, "stranger@1")}
    assert len(graph.nodes) == 7
    node = next(node for node in graph.nodes if node.digest == graph.focus)
    assert (node.ref, node.aliases, node.methods) == ("merged@1", ("prod",), ("ties", "dare"))
    assert node.metric is not None
    assert (node.metric.name, node.metric.value) == ("f1", 0.9)
    assert [edge.weight for edge in graph.parents(graph.focus)] == [0.5, 0.5, 0.5]
    far = next(node for node in graph.nodes if node.digest == FAR)
    assert (far.ref, far.kind) == (None, None)


@pytest.mark.parametrize("ref", ["base", "left", "renamed", "stranger"])
def test_children_come_before_their_parents(registry: Registry, family: Any, ref: str) -> None:
    graph = lineage_graph(registry, ref)
    order = [node.digest for node in graph.nodes]
    for edge in graph.edges:
        assert order.index(edge.child) < order.index(edge.parent)


def test_what_else_a_descendant_was_made_from(registry: Registry, family: Any) -> None:
    graph = lineage_graph(registry, "base")
    assert edges(graph) == DIAMOND
    hidden = {node.ref: node.hidden for node in graph.nodes if node.hidden}
    assert hidden == {"stranger@1": 1}, "its own parent is no relative of the base"
    one_side = lineage_graph(registry, "left")
    assert edges(one_side) == DIAMOND, "an edge between two that are shown is shown"


def test_a_damaged_descendant_is_still_known(registry: Registry, family: Any) -> None:
    registry.search()
    hexadecimal = family.digest.removeprefix("sha256:")
    manifest = registry.home / "manifests" / "sha256" / hexadecimal[:2] / hexadecimal
    manifest.chmod(0o644)
    manifest.write_bytes(b"{}")
    graph = lineage_graph(registry, "left")
    found = next(node for node in graph.nodes if node.digest == family.digest)
    assert (found.ref, found.kind) == ("merged@1", None)
    assert ("left@1", "merged@1") in edges(graph)


def test_a_version_alone(registry: Registry, publish: Any) -> None:
    publish("alone")
    graph = lineage_graph(registry, "alone")
    assert ([node.ref for node in graph.nodes], graph.edges) == (["alone@1"], ())
    with pytest.raises(NotFoundError):
        lineage_graph(registry, "nobody")
