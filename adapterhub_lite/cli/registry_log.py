"""``ahl log``: where a version comes from, as lists or as a graph."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.common import emit_json, json_option, shared_options
from adapterhub_lite.cli.registry_common import human_time, open_registry, write_new

if TYPE_CHECKING:
    from adapterhub_lite_registry import LineageGraph, LineageNode


@click.command("log")
@click.argument("ref")
@click.option("--graph", "as_graph", is_flag=True, help="Draw how versions were made of others.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Draw it to a file.")
@json_option
@shared_options
def log(ref: str, as_graph: bool, svg: Path | None, as_json: bool) -> None:
    """Show a version's ancestors, descendants and alias moves.

    With --graph each version is shown once, the newest first: a line runs down to all that it was
    made from. A full dot marks REF.

    \b
    ahl log tickets@prod
    ahl log tickets@prod --graph
    ahl log tickets@prod --svg lineage.svg
    """
    registry = open_registry()
    if as_graph or svg is not None:
        from adapterhub_lite_registry import lineage_graph

        return _show_graph(lineage_graph(registry, ref), svg, as_json)
    lineage = registry.lineage(ref)
    moves = registry.alias_history(lineage.version.name)
    if as_json:
        return emit_json(
            {
                "ref": str(lineage.version),
                "parents": [_node_json(node) for node in lineage.parents],
                "children": [_node_json(node) for node in lineage.children],
                "alias_moves": [vars(move) for move in moves],
            }
        )
    click.echo(f"{lineage.version}  {lineage.version.manifest.kind}")
    for title, nodes in (("made from", lineage.parents), ("made into", lineage.children)):
        click.echo(f"{title}:" if nodes else f"{title}: nothing")
        for line in _tree(nodes):
            click.echo(line)
    click.echo("alias moves:" if moves else "alias moves: none")
    for move in reversed(moves):
        steps = f"{move.before or 'new'} → {move.after or 'removed'}"
        click.echo(f"  {human_time(move.time):<16}  {move.alias}  {steps}")
    return None


def _show_graph(graph: "LineageGraph", svg: Path | None, as_json: bool) -> None:
    from adapterhub_lite.reports.graph_svg import graph_svg
    from adapterhub_lite.reports.graph_text import graph_lines

    if svg is not None:
        write_new(svg, graph_svg(graph))
    if as_json:
        emit_json(
            {
                "focus": graph.focus,
                "nodes": [_graph_node_json(node) for node in graph.nodes],
                "edges": [vars(edge) for edge in graph.edges],
            }
        )
    elif svg is not None:
        count = len(graph.nodes)
        click.echo(f"{count} version{'' if count == 1 else 's'} → {svg}")
    else:
        for line in graph_lines(graph):
            click.echo(line)


def _graph_node_json(node: Any) -> dict[str, Any]:
    metric = node.metric.model_dump(mode="json", exclude_none=True) if node.metric else None
    return {**vars(node), "metric": metric}


def _tree(nodes: "tuple[LineageNode, ...]", indent: str = "  ") -> Iterator[str]:
    for node in nodes:
        weight = f"weight {node.weight:g}" if node.weight is not None else None
        place = node.ref or f"{node.digest[:19]}… (not here)"
        yield indent + ", ".join(filter(None, (place, node.kind, node.role, weight)))
        yield from _tree(node.nodes, indent + "  ")


def _node_json(node: "LineageNode") -> dict[str, Any]:
    return {**vars(node), "nodes": [_node_json(below) for below in node.nodes]}
