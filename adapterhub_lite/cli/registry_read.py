"""``ahl list``, ``show`` and ``search``: what the registry holds."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import emit_json, json_option, print_table, shared_options
from adapterhub_lite.cli.registry_common import (
    emit_entries,
    human_size,
    human_time,
    open_if_there,
    open_registry,
    say_empty,
    show_entries,
    warn_unreadable,
)

if TYPE_CHECKING:
    from adapterhub_lite_registry import Component, Manifest, Metric, Version


@click.command("list")
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="Every version, not only the newest of a name.")
@json_option
@shared_options
def list_versions(name: str | None, every: bool, as_json: bool) -> None:
    """List what is published.

    Without NAME the newest version of every name; with NAME all versions of that one.
    """
    registry = open_if_there()
    if registry is None:
        return emit_json([]) if as_json else say_empty()
    if name is not None:
        registry.versions(name)
    latest_only = name is None and not every
    sort = "name" if name is None else "-number"
    entries = registry.search(name=name, latest_only=latest_only, sort=sort)
    warn_unreadable(registry.unreadable())
    if as_json:
        return emit_entries(registry, entries)
    return show_entries(registry, entries) if entries else say_empty()


@click.command("search")
@click.argument("text", required=False)
@click.option("--base", help="The base model: its reference, or the SHA-256 of its weights.")
@click.option("--method", help="The method that trained it, for example lora.")
@click.option("--task", help="The task, for example text-classification.")
@click.option("--kind", help="The kind of artifact, for example adapter.")
@click.option("--metric", "metrics", multiple=True, help="A condition, like 'accuracy>=0.8'.")
@click.option(
    "--sort",
    default="-created",
    show_default=True,
    help="created, name, number, size or a metric; '-' before it reverses.",
)
@click.option("--latest", is_flag=True, help="Only the newest version of each name.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show so many."
)
@json_option
@shared_options
def search(
    text: str | None,
    base: str | None,
    method: str | None,
    task: str | None,
    kind: str | None,
    metrics: tuple[str, ...],
    sort: str,
    latest: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Find versions by words, base, method, task or metric.

    TEXT matches the starts of words in names, descriptions, labels, methods and bases.
    """
    registry = open_if_there()
    if registry is None:
        return emit_json([]) if as_json else say_empty()
    entries = registry.search(
        text,
        base=base,
        method=method,
        task=task,
        kind=kind,
        metric=list(metrics),
        sort=sort,
        latest_only=latest,
        limit=limit,
    )
    if as_json:
        return emit_entries(registry, entries)
    if not entries:
        return click.echo("nothing matches")
    show_entries(registry, entries, wanted=[sort.removeprefix("-")])
    if len(entries) == limit:
        click.echo(f"the first {limit}; --limit shows more", err=True)
    return None


@click.command("show")
@click.argument("ref")
@json_option
@shared_options
def show(ref: str, as_json: bool) -> None:
    """Show what one version is and how it was made.

    REF is NAME (its newest version), NAME@7, NAME@prod or NAME@sha256:... By whom it is signed is
    what its signatures say; ahl verify checks them.
    """
    registry = open_registry()
    version = registry.resolve(ref)
    damage = registry.damaged().get(str(version))
    records, problems = registry.evaluations.of(version)
    signers, useless = registry.signatures.claimed(version)
    for problem in (*problems, *useless):
        click.echo(f"warning: {problem}", err=True)
    if as_json:
        return emit_json(
            {
                "ref": str(version),
                "digest": version.digest,
                "aliases": version.aliases,
                "damaged": damage,
                "signed_by": [{"signer": signer, "verified": False} for signer in signers],
                "manifest": version.manifest.model_dump(
                    mode="json", by_alias=True, exclude_none=True
                ),
                "evaluations": [
                    record.model_dump(mode="json", by_alias=True, exclude_none=True)
                    for record in records
                ],
            }
        )
    if damage:
        click.echo(f"{'damaged':<16}{damage}; run: ahl repair {version}")
    for label, value in _facts(version):
        if value not in (None, ""):
            click.echo(f"{label:<16}{value}")
    for signer in signers:
        click.echo(f"{'signed by':<16}{signer} (not verified; ahl verify {version})")
    files = [
        (entry.path, entry.role, human_size(entry.size), entry.sha256[:12])
        for entry in version.manifest.files
    ]
    click.echo()
    print_table(("file", "role", "size", "sha256"), files)
    if version.manifest.metrics:
        metrics = _metric_rows(version.manifest.metrics)
        print_table(("metric", "value", "interval", "split", "n"), metrics)
    for record in records:
        rows = f", {record.dataset.rows} rows" if record.dataset.rows is not None else ""
        click.echo(f"evaluated {human_time(record.time)} on {record.dataset.id}{rows}")
        print_table(("metric", "value", "interval", "split", "n"), _metric_rows(record.metrics))
    return None


def _facts(version: "Version") -> Iterator[tuple[str, object]]:
    """Yield what there is to say, label by label; None stands for nothing."""
    manifest = version.manifest
    yield "version", version
    yield "aliases", ", ".join(version.aliases) or "none"
    yield "kind", manifest.kind
    yield "description", manifest.description
    yield "task", manifest.task
    yield from _making(manifest)
    yield "labels", manifest.signature and _join(*manifest.signature.labels)
    yield "license", manifest.license
    yield "base license", manifest.base_license
    yield "created", f"{human_time(manifest.created_at)} ({manifest.created_at})"
    yield "size", human_size(manifest.size)
    yield "digest", version.digest


def _making(manifest: "Manifest") -> Iterator[tuple[str, object]]:
    base, dataset = manifest.base, manifest.dataset
    yield "base", base and _join(base.ref, base.revision, base.arch)
    for label in ("method", "objective", "loader"):
        part = getattr(manifest, label)
        yield label, part and _component(part)
    for part in manifest.strategies:
        yield "strategy", _component(part)
    yield "hyperparameters", _join(*(f"{k}={v}" for k, v in manifest.hyperparameters.items()))
    yield "seed", manifest.seed
    yield "dataset", dataset and _join(dataset.id, dataset.split, _spell("{:,} rows", dataset.rows))
    for parent in manifest.parents:
        yield "parent", _join(parent.digest, parent.role, _spell("weight {:g}", parent.weight))


def _component(part: "Component") -> str:
    """Spell a part and its plugin, and say so when that is not what is installed here."""
    from importlib.metadata import PackageNotFoundError, version

    told = _join(part.name, part.plugin, part.plugin_version)
    if part.plugin is None or part.plugin == "adapterhub-lite":
        return told
    try:
        here = version(part.plugin)
    except (PackageNotFoundError, ValueError):
        wanted = f"{part.plugin}=={part.plugin_version}" if part.plugin_version else part.plugin
        return f"{told} (not installed; to use it: ahl plugins install '{wanted}')"
    return told if here == part.plugin_version else f"{told} ({here} is installed)"


def _spell(pattern: str, number: float | None) -> str | None:
    return None if number is None else pattern.format(number)


def _join(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)


def _metric_rows(metrics: "Iterable[Metric]") -> Iterator[tuple[object, ...]]:
    for metric in metrics:
        interval = f"{metric.ci[0]:.4g} to {metric.ci[1]:.4g}" if metric.ci else None
        yield metric.name, f"{metric.value:.4g}", interval, metric.split, metric.n
