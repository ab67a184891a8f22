"""``ahl convert``: pickled weights become safetensors, and nothing in the pickle is run."""

from pathlib import Path

import click

from adapterhub_lite.cli.common import emit_json, json_option, shared_options


@click.command(short_help="Turn pickled weights into safetensors, in isolation.")
@click.argument("source", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
@click.option("--out", "folder", metavar="DIR", required=True, type=click.Path(path_type=Path),
              help="Where to write them: a new or empty folder.")  # fmt: skip
@click.option("--unsafe", is_flag=True, help="Say that a pickle of unknown origin may be opened.")
@json_option
@shared_options
def convert(source: Path, folder: Path, unsafe: bool, as_json: bool) -> None:
    """Write the tensors of a FILE that torch.save wrote, or of a model FOLDER, as safetensors.

    A process without network, files and packages, with limits of memory and time, tells where the
    numbers lie; nothing in the pickle is run. One that holds anything but tensors is refused.

    \b
    ahl convert --unsafe ./pytorch_model.bin --out ./converted
    ahl convert --unsafe ./old-model --out ./model
    """
    from adapterhub_lite.deployment.pickled import convert_to
    from adapterhub_lite.errors import CapabilityError

    if not unsafe:
        raise CapabilityError(
            f"{source} may be a pickle, a program that writes numbers",
            hint="add --unsafe: it is read by an isolated process, and nothing in it is run",
        )
    written = convert_to(source.expanduser(), folder)
    if as_json:
        emit_json({"folder": str(folder), "files": written})
        return
    click.echo(f"converted  {source}")
    click.echo(f"to         {folder}: {', '.join(written)}")
