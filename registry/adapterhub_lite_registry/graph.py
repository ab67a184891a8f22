"""The lineage of a version as a graph: what it was made from and into, each version once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from adapterhub_lite_registry.errors import IntegrityError, InvalidManifestError, NotFoundError
from adapterhub_lite_registry.exchange import parse_manifest
from adapterhub_lite_registry.lineage import LineageNode
from adapterhub_lite_registry.manifest import Manifest, Metric, Parent
from adapterhub_lite_registry.registry import Registry


@dataclass(frozen=True)
class GraphNode:
    """A version of the graph; ``ref`` is None for what is not, or no longer, a version here.

    ``methods`` are those that made it, or the strategies of a merge. ``metric`` is the first of
    those on test rows, else the first. ``hidden`` counts the parents that are not in the graph.
    """

    digest: str
    ref: str | None = None
    kind: str | None = None
    aliases: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    metric: Metric | None = None
    created_at: str | None = None
    hidden: int = 0


@dataclass(frozen=True)
class GraphEdge:
    """That ``child`` was made from ``parent``; both are digests."""

    parent: str
    child: str
    role: str | None = None
    weight: float | None = None


@dataclass(frozen=True)
class LineageGraph:
    """Versions and how they were made from each other; ``focus`` is the one that was asked for.

    Nodes come after all that were made from them, so the newest are first.
    """

    focus: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]

    def parents(self, digest: str) -> list[GraphEdge]:
        """Return the edges to what a version was made from."""
        return [edge for edge in self.edges if edge.child == digest]


def lineage_graph(registry: Registry, ref: str) -> LineageGraph:
    """Return the ancestors and descendants of a version, and what else descendants were made from.

    Raises as ``Registry.resolve``.
    """
    lineage = registry.lineage(ref)
    found = _Found(registry)
    focus = lineage.version.digest
    found.look_up(focus, str(lineage.version))
    found.above(lineage.parents)
    found.below(focus, lineage.children)
    edges = found.edges()
    return LineageGraph(focus, tuple(_ordered(found.nodes, edges)), edges)


@dataclass
class _Found:
    """Nodes by digest, and what each was made from, as they are come across."""

    registry: Registry
    nodes: dict[str, GraphNode] = field(default_factory=dict)
    parents: dict[str, tuple[Parent, ...]] = field(default_factory=dict)

    def above(self, parents: Iterable[LineageNode]) -> None:
        for node in parents:
            self.look_up(node.digest, node.ref)
            self.above(node.nodes)

    def below(self, parent: str, children: Iterable[LineageNode]) -> None:
        for node in children:
            self.look_up(node.digest, node.ref)
            # of a version that is damaged the index still knows this one
            known = Parent(digest=parent, role=node.role, weight=node.weight)
            for other in self.parents.setdefault(node.digest, (known,)):
                self.look_up(other.digest)
            self.below(node.digest, node.nodes)

    def look_up(self, digest: str, ref: str | None = None) -> None:
        """Note a version; ``ref`` is what it is known as, in case that it is damaged."""
        if digest in self.nodes:
            return
        try:
            data = self.registry.exchange.read_manifest(digest)
            manifest = parse_manifest(data, digest, ref or digest)
            version = self.registry.exchange.find(manifest.name, digest)
        except (IntegrityError, InvalidManifestError, NotFoundError):
            self.nodes[digest] = GraphNode(digest, ref)
            return
        self.parents[digest] = manifest.parents
        self.nodes[digest] = GraphNode(
            digest=digest,
            ref=str(version) if version is not None else None,
            kind=manifest.kind,
            aliases=version.aliases if version is not None else (),
            methods=_methods(manifest),
            metric=_headline(manifest.metrics),
            created_at=manifest.created_at,
        )

    def edges(self) -> tuple[GraphEdge, ...]:
        """Return the edges between the nodes, and count on each node those that lead elsewhere."""
        edges = []
        for child, parents in self.parents.items():
            shown = [parent for parent in parents if parent.digest in self.nodes]
            hidden = len({parent.digest for parent in parents} - self.nodes.keys())
            self.nodes[child] = replace(self.nodes[child], hidden=hidden)
            edges += [GraphEdge(one.digest, child, one.role, one.weight) for one in shown]
        return tuple(dict.fromkeys(edges))


def _methods(manifest: Manifest) -> tuple[str, ...]:
    if manifest.strategies:
        return tuple(dict.fromkeys(part.name for part in manifest.strategies))
    return (manifest.method.name,) if manifest.method else ()


def _headline(metrics: tuple[Metric, ...]) -> Metric | None:
    on_test = (metric for metric in metrics if metric.split == "test")
    return next(on_test, metrics[0] if metrics else None)


def _ordered(nodes: dict[str, GraphNode], edges: tuple[GraphEdge, ...]) -> Iterator[GraphNode]:
    """Yield children before their parents, and of those that may come next the newest."""
    waiting = dict.fromkeys(nodes, 0)
    for parent, _ in {(edge.parent, edge.child) for edge in edges}:
        waiting[parent] += 1
    while waiting:
        ready = [digest for digest, children in waiting.items() if children == 0]
        digest = max(ready, key=lambda one: (nodes[one].created_at or "", one))
        del waiting[digest]
        yield nodes[digest]
        for parent in {edge.parent for edge in edges if edge.child == digest}:
            waiting[parent] -= 1
