"""``ahl deploy``: a version goes where it is used, and is compared with what was trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.common import emit_json, json_option, settings, shared_options

if TYPE_CHECKING:
    from adapterhub_lite.catalogue import Catalogue
    from adapterhub_lite.deployment import Deployment
    from adapterhub_lite_registry import Registry


@click.command(short_help="Write a version for where it is used, and compare it.")
@click.argument("ref", required=False)
@click.option(
    "--to", "target", help="hf, peft, setfit, onnx, vllm, gguf, ollama, docker or a plugin's."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The new folder (default: ./NAME-TARGET)."
)
@click.option("--set", "params", multiple=True, metavar="KEY=VALUE",
              help="Set a parameter of the target, as in --set dtype=q8_0.")  # fmt: skip
@click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    help="Compare by these: a .txt of one a line, or a table. Else by fixed texts.",
)
@click.option("--base", help="Where an adapter's base lies, if not where it was.")
@click.option("--verify", type=click.Path(path_type=Path), help="Check a deployed folder again.")
@json_option
@shared_options
def deploy(
    ref: str | None,
    target: str | None,
    out: Path | None,
    params: tuple[str, ...],
    inputs: Path | None,
    base: str | None,
    verify: Path | None,
    as_json: bool,
) -> None:
    """Write the version REF for a target into a new folder, and ask both the same.

    Answers that differ by more than the target's tolerance are an error, and nothing is written.
    deployment.json in the folder has the figures; --verify checks files and answers again.

    \b
    ahl deploy tickets@prod --to onnx --out ./tickets-onnx --set quantise=int8
    ahl deploy writer --to vllm --inputs questions.txt
    ahl deploy --verify ./tickets-onnx
    """
    from adapterhub_lite import api
    from adapterhub_lite.cli.progress import stderr_console
    from adapterhub_lite.plugins import get_catalogue

    _refuse_contradictions(ref, target, out, params, verify)
    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    if target is not None:
        catalogue.exporter(target)  # a misspelt target is named first, whatever else is wrong
    registry = api.open_registry(settings().home)
    with stderr_console().status("writing and comparing" if ref else "comparing"):
        if verify is not None:
            given = _inputs(inputs, _version_of(verify), registry, catalogue)
            done = api.verify_deployment(
                verify, inputs=given, base=base, registry=registry, catalogue=catalogue
            )
        else:
            assert ref is not None, "checked above"
            assert target is not None, "checked above"
            done = api.deploy(
                ref,
                target,
                out=out,
                params=params,
                inputs=_inputs(inputs, ref, registry, catalogue),
                base=base,
                registry=registry,
                catalogue=catalogue,
            )
    _show(done, "verified" if verify else "deployed", as_json)


def _refuse_contradictions(
    ref: str | None,
    target: str | None,
    out: Path | None,
    params: tuple[str, ...],
    verify: Path | None,
) -> None:
    """Raise UsageError for options that would be ignored, or that are missing."""
    if verify is not None:
        if ref or target or out or params:
            raise click.UsageError("--verify takes a folder alone: it says the rest itself")
    elif ref is None:
        raise click.UsageError("give a version to deploy, or --verify DIR")
    elif target is None:
        raise click.UsageError("say for what: --to hf, peft, setfit, onnx, vllm, gguf, …")


def _version_of(folder: Path) -> str:
    from adapterhub_lite.deployment.manifest import read_manifest

    return read_manifest(folder).version


def _inputs(
    file: Path | None, ref: str, registry: "Registry", catalogue: "Catalogue"
) -> tuple[Any, ...] | None:
    """Return what a file asks, as the version's rows ask it; None without a file."""
    if file is None:
        return None
    from adapterhub_lite.cli.predict_input import Given, read_given
    from adapterhub_lite.inference.artifact import read_artifact_info
    from adapterhub_lite.inference.interface import interface_of
    from adapterhub_lite.inference.loading import resolve_artifact

    given = Given((), None, None, file, None, {}, None, None, "utf-8")
    info = read_artifact_info(resolve_artifact(ref, registry)[0])
    return read_given(given, lambda: interface_of(info, catalogue), catalogue).items


def _show(done: "Deployment", verb: str, as_json: bool) -> None:
    if as_json:
        record = {
            "version": done.version,
            "target": done.target,
            "folder": str(done.folder),
            "parity": done.parity.record(),
            "files": done.files,
            "usage": done.usage,
        }
        emit_json(record)
        return
    click.echo(f"{verb}  {done.version}")
    click.echo(f"to        {done.folder}: {done.target}, {done.files} files")
    click.echo(f"parity    {done.parity.summary()}")
    click.echo(f"\nuse:  {done.usage}")
