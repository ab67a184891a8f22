"""The ``ahl`` lines of a page, held against the click commands they name."""

import re
import shlex
from collections.abc import Iterator

import click

from adapterhub_lite.cli.root import cli

PROMPT = "$ "
BREAKS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "2>", "2>&1"}
"""What ends a command on a shell's line; what follows a redirection is no argument of ours."""


def shell_commands(block: str, prompted: bool) -> Iterator[list[str]]:
    """Yield the words of each ``ahl`` command in a block; of a session, of lines after a prompt."""
    for line in re.sub(r"\\\n\s*", " ", block).splitlines():
        if prompted:
            if not line.startswith(PROMPT):
                continue
            line = line.removeprefix(PROMPT)
        yield from _ahl_parts(_words(line))


def _words(line: str) -> list[str]:
    reader = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    reader.whitespace_split = True
    return list(reader)


def _ahl_parts(words: list[str]) -> Iterator[list[str]]:
    """Yield the words of each part of a line that begins with ``ahl``, variables in front aside."""
    part: list[str] = []
    for word in [*words, ";"]:
        if word not in BREAKS:
            part.append(word)
            continue
        while part and re.fullmatch(r"[A-Z_]+=.*", part[0]):
            part.pop(0)
        if part and part[0] == "ahl":
            yield part[1:]
        part = []


def fault(words: list[str], *, whole: bool) -> str:
    """Say what is wrong with a command's words, or nothing.

    A ``whole`` command has every argument and option that it needs; one that is only spoken of has
    to exist, with the options that are named.
    """
    command, context, rest = _command(words)
    if isinstance(command, str):
        return command
    if isinstance(command, click.Group):
        if not whole or "--help" in rest or "--version" in rest:
            return ""
        return f"{context.command_path} needs a command"
    if not whole:
        rest = [word for word in rest if not word.endswith("…")]
    try:
        values, extra, _ = command.make_parser(context).parse_args(list(rest))
        _check_choices(command, context, values)
    except click.UsageError as error:
        # A sentence may name an option without its value.
        spoken = not whole and not isinstance(error, click.NoSuchOption)
        return "" if spoken else error.format_message()
    if extra:
        return f"{context.command_path} does not take {extra}"
    missing = [] if not whole or "help" in values else _missing(command, values)
    return f"{context.command_path} lacks {', '.join(missing)}" if missing else ""


def _command(words: list[str]) -> tuple[click.Command | str, click.Context, list[str]]:
    """Return the command that words name, or that there is none, and the words behind it."""
    command: click.Command = cli
    context = click.Context(cli, info_name="ahl", **cli.context_settings)
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        below = command.get_command(context, rest[0])
        if below is None:
            return f"no command {' '.join([context.command_path, rest[0]])!r}", context, rest
        context = click.Context(below, info_name=rest[0], parent=context, **below.context_settings)
        command, rest = below, rest[1:]
    return command, context, rest


def _check_choices(
    command: click.Command, context: click.Context, values: dict[str, object]
) -> None:
    for param in command.params:
        value = values.get(param.name or "")
        if isinstance(param.type, click.Choice) and isinstance(value, str):
            param.type.convert(value, param, context)


def _missing(command: click.Command, values: dict[str, object]) -> list[str]:
    return [
        param.human_readable_name if isinstance(param, click.Argument) else param.opts[0]
        for param in command.params
        if param.required
        and (param.name not in values or param.value_is_missing(values[param.name]))
    ]
