"""docs/reference/cli.md is what the commands say of themselves.

After changing a command, write the page anew: ``python tests/unit/docs/test_cli_reference.py``.
"""

import inspect
import textwrap
from collections.abc import Iterator

import click

from adapterhub_lite.cli.common import shared_options
from adapterhub_lite.cli.root import COMMANDS, cli
from tests.unit.docs.pages import REFERENCE, cell

PAGE = REFERENCE / "cli.md"
VERBATIM = "\b\n"  # how a help text marks a paragraph that click is not to wrap
INTRODUCTION = """\
# Command line

`ahl` is short for `adapterhub-lite`. A command exits with 0 when it did what was asked, with 2 when
something is to be mended by whoever gave it (a name, a recipe, a file), with 1 for a failure, and
with 130 when it was interrupted. Results go to standard output; progress and errors do not.

This page is written from the commands by `python tests/unit/docs/test_cli_reference.py`.

## Options of every command
"""


@click.command()
@shared_options
def _shared() -> None:
    pass


SHARED = {option.name for option in _shared.params}


def page() -> str:
    """Return docs/reference/cli.md as it should be."""
    lines = [INTRODUCTION, *items(_shared.params, click.Context(_shared))]
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        lines += section(command, f"ahl {name}", level=2)
    return "\n".join(lines).rstrip() + "\n"


def section(command: click.Command, path: str, level: int) -> list[str]:
    """Return a command's section, and those of the commands below it."""
    # click keeps a command's option for help as the first context names it
    context = click.Context(command, info_name=path, **cli.context_settings)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    lines = [f"{'#' * level} {path}\n", f"```text\n{usage}\n```\n", *paragraphs(command.help or "")]
    lines += items([param for param in command.params if param.name not in SHARED], context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            lines += section(below, f"{path} {name}", level + 1)
    return lines


def paragraphs(text: str) -> Iterator[str]:
    """Yield a help text's paragraphs; those that click leaves as they are become blocks."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith(VERBATIM):
            lines = textwrap.dedent(paragraph.removeprefix(VERBATIM))
            yield f"```sh\n{lines}\n```\n"
        else:
            yield f"{cell(paragraph)}\n"


def items(params: list[click.Parameter], context: click.Context) -> list[str]:
    """Return a list of options with their help."""
    records = [param.get_help_record(context) for param in params]
    lines = [f"- `{record[0]}`: {cell(record[1])}" for record in records if record and record[1]]
    return [*lines, ""] if lines else []


def test_the_page_is_what_the_commands_say() -> None:
    update = "write it anew: python tests/unit/docs/test_cli_reference.py"
    assert PAGE.read_text(encoding="utf-8") == page(), update


def test_a_command_a_group_and_a_verbatim_paragraph_are_shown() -> None:
    @click.group()
    def tools() -> None:
        """Look after tools.

        \b
        ahl tools mend saw
        ahl tools mend axe
        """

    @tools.command()
    @click.argument("tool")
    @click.option(
        "--kind", type=click.Choice(["a", "b"]), default="a", show_default=True, help="K."
    )
    @shared_options
    def mend(tool: str, kind: str) -> None:
        """Mend a TOOL
        of <any> sort."""

    assert "\n".join(section(tools, "ahl tools", 2)) == (
        "## ahl tools\n\n```text\nahl tools [OPTIONS] COMMAND [ARGS]...\n```\n\n"
        "Look after tools.\n\n```sh\nahl tools mend saw\nahl tools mend axe\n```\n\n"
        "### ahl tools mend\n\n```text\nahl tools mend [OPTIONS] TOOL\n```\n\n"
        "Mend a TOOL of &lt;any> sort.\n\n- `--kind [a|b]`: K. [default: a]\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
