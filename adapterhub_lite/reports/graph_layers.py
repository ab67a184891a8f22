"""A layered drawing of a lineage: each version in a layer after all that it was made from.

After Sugiyama: an edge over several layers gets a point in each, and the order within layers
follows the neighbours' mean place, to and fro, so that few edges cross.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from adapterhub_lite_registry import LineageGraph

SWEEPS: Final = 8
Point: TypeAlias = tuple[str, str, int]
"""A version, as (digest, "", 0), or where the edge (parent, child) passes a layer."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Layers from the oldest on, each in its order, and the points that each edge goes through.

    ``routes`` has (parent, child) → points, from the parent's to the child's.
    """

    layers: tuple[tuple[Point, ...], ...]
    routes: dict[tuple[str, str], tuple[Point, ...]]


def arrange(graph: "LineageGraph") -> Layers:
    """Return in which layer and at which place each version and each edge is drawn."""
    pairs = list(dict.fromkeys((edge.parent, edge.child) for edge in graph.edges))
    rank = _ranks(graph)
    layers: list[list[Point]] = [[] for _ in range(max(rank.values()) + 1)]
    for node in reversed(graph.nodes):
        layers[rank[node.digest]].append(_own(node.digest))
    routes = {}
    for parent, child in pairs:
        between = range(rank[parent] + 1, rank[child])
        passing: list[Point] = [(parent, child, layer) for layer in between]
        for layer, point in zip(between, passing, strict=True):
            layers[layer].append(point)
        routes[parent, child] = (_own(parent), *passing, _own(child))
    _sort(layers, routes)
    return Layers(tuple(map(tuple, layers)), routes)


def _own(digest: str) -> Point:
    return (digest, "", 0)


def _ranks(graph: "LineageGraph") -> dict[str, int]:
    """Return a version's layer: one after the last of what it was made from."""
    rank: dict[str, int] = {}
    for node in reversed(graph.nodes):  # parents come first then
        above = [rank[edge.parent] for edge in graph.parents(node.digest)]
        rank[node.digest] = max(above, default=-1) + 1
    return rank


def _sort(layers: list[list[Point]], routes: dict[tuple[str, str], tuple[Point, ...]]) -> None:
    """Put the points of each layer in the order of their neighbours' mean place."""
    before, after = defaultdict(list), defaultdict(list)
    for route in routes.values():
        for left, right in pairwise(route):
            before[right].append(left)
            after[left].append(right)
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        neighbours = before if forth else after
        place: dict[Point, float] = {}
        for layer in layers if forth else layers[::-1]:
            own = {point: number / len(layer) for number, point in enumerate(layer)}
            wanted = {
                point: _mean([place[one] for one in neighbours[point]], own[point])
                for point in layer
            }
            layer.sort(key=wanted.__getitem__)
            place |= {point: number / len(layer) for number, point in enumerate(layer)}


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
