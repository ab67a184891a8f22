"""``ahl extract-lora``: a fine-tuned model becomes a LoRA adapter on its base."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.common import (
    emit_json,
    input_options,
    json_option,
    settings,
    shared_options,
)
from adapterhub_lite.wording import counted

if TYPE_CHECKING:
    from adapterhub_lite.merging.adapters.output import AdapterType
    from adapterhub_lite.merging.extraction.run import Extracted

WORST = 5


@click.command("extract-lora", short_help="Turn a fine-tuned model into a LoRA adapter.")
@click.argument("finetuned", metavar="FINETUNED")
@click.option("--base", required=True, help="The model that it was trained from.")
@click.option("--rank", type=click.IntRange(min=1), help="Of at most this rank, in every module.")
@click.option("--energy", type=click.FloatRange(0, 1, min_open=True),
              help="Of the rank that keeps this share of a module's change: 0.95.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Write to this new or empty folder.")
@click.option("--name", help="Publish under this name.")
@click.option("--alias", help="Point this alias at the published version.")
@click.option("--save-rest", is_flag=True,
              help="Save what is no linear layer (norms, biases, embeddings) whole.")  # fmt: skip
@click.option("--allow-rest", is_flag=True, help="Leave such changes out.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    help="Store the factors so (default: float32).",
)
@input_options
@json_option
@shared_options
def extract_lora(
    finetuned: str,
    base: str,
    rank: int | None,
    energy: float | None,
    out: Path | None,
    name: str | None,
    alias: str | None,
    save_rest: bool,
    allow_rest: bool,
    dtype: "AdapterType",
    any_base: bool,
    convert_pickle: bool,
    as_json: bool,
) -> None:
    """Extract what FINETUNED adds to its base as a LoRA adapter that PEFT loads.

    The change of each linear layer is approximated by factors; how well is printed. Heads that the
    base does not have are saved whole.

    \b
    ahl extract-lora ./tickets-model --base minilm --rank 16 --out ./tickets-lora
    ahl extract-lora tickets@2 --base minilm --energy 0.95 --save-rest --name tickets-lora
    """
    from adapterhub_lite import api
    from adapterhub_lite.cli.progress import counting
    from adapterhub_lite.errors import UserError
    from adapterhub_lite.merging.extraction.run import extract_adapter, require_choice
    from adapterhub_lite.merging.opening import Allowed
    from adapterhub_lite.plugins import get_catalogue

    if save_rest and allow_rest:
        raise UserError("--save-rest and --allow-rest exclude each other", hint="give one of them")
    choice = require_choice(rank, energy)
    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    registry = api.open_registry(settings().home)
    with counting("decomposing", 100) as advance:
        done = extract_adapter(
            finetuned,
            base,
            registry,
            catalogue,
            choice,
            out=out,
            name=name,
            alias=alias,
            rest="save" if save_rest else "omit" if allow_rest else "refuse",
            dtype=dtype,
            allowed=Allowed(any_base=any_base, convert_pickle=convert_pickle),
            progress=lambda count, total: advance(100 * count // total),
        )
    for notice in done.notices:
        click.echo(f"note: {notice}", err=True)
    if as_json:
        emit_json(_as_json(done))
    else:
        _show(done)


def _as_json(done: "Extracted") -> dict[str, Any]:
    extraction = done.extraction
    return {
        "folder": str(done.folder) if done.folder else None,
        "version": str(done.version) if done.version else None,
        "relative_difference": done.difference,
        "modules": {
            module: {"rank": part.factors.rank, "energy": part.energy, "error": part.error}
            for module, part in extraction.modules.items()
        },
        "saved_whole": list(done.content.saved_modules),
        "biases": sorted(done.content.biases),
        "left_out": _left_out(done),
        "unchanged": extraction.unchanged,
        "only_in_base": list(extraction.paired.missing),
        "notices": list(done.notices),
    }


def _left_out(done: "Extracted") -> list[str]:
    from adapterhub_lite.merging.extraction.output import left_out

    return left_out(done.extraction, done.content)


def _show(done: "Extracted") -> None:
    modules = done.extraction.modules
    ranks = [part.factors.rank for part in modules.values()]
    energies = [part.energy for part in modules.values()]
    click.echo(f"extracted   {done.version or done.folder}")
    click.echo(f"modules     {len(modules)}, of ranks {min(ranks)} to {max(ranks)}")
    click.echo(
        f"energy      {sum(energies) / len(energies):.1%} kept, at least {min(energies):.1%}"
    )
    for name in sorted(modules, key=lambda module: modules[module].energy)[:WORST]:
        part = modules[name]
        click.echo(f"            {part.energy:.1%} at rank {part.factors.rank}: {name}")
    if done.content.saved_modules:
        click.echo(f"saved whole {', '.join(done.content.saved_modules)}")
    if done.content.biases:
        click.echo(f"biases      {len(done.content.biases)}, beside the factors")
    if left := _left_out(done):
        differing = counted(len(left), "differing tensor")
        click.echo(f"left out    {differing}: {', '.join(left[:WORST])}")
    if done.difference is not None:
        click.echo(f"difference  {done.difference:.1e} of the outputs' size, from the model's")
    if done.version:
        click.echo(f'\nnext:  ahl predict {done.version} "a text"')
