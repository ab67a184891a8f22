"""The top of the command line: which commands there are, and how any error is printed.

Nothing but click is imported until a command is chosen, so that ``--help`` answers at once.
"""

import atexit
import gc
import os
import sys
from typing import NoReturn

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "fewshot": (
        "adapterhub_lite.cli.train:fewshot",
        "Train a classifier from a few examples per class.",
    ),
    "train": ("adapterhub_lite.cli.train:train", "Train a recipe and publish the result."),
    "plan": (
        "adapterhub_lite.cli.train:plan",
        "Show what a recipe would do, and load nothing.",
    ),
    "methods": (
        "adapterhub_lite.cli.parts:methods",
        "List the ways of choosing which parameters learn, and show one's parameters.",
    ),
    "objectives": (
        "adapterhub_lite.cli.parts:objectives",
        "List what can be optimised, and on which rows, and show one's parameters.",
    ),
    "loaders": (
        "adapterhub_lite.cli.parts:loaders",
        "List the precisions in which a base can be loaded, and show one's parameters.",
    ),
    "merge": (
        "adapterhub_lite.cli.merge:merge",
        "Merge models or adapters by a recipe, or by naming them.",
    ),
    "compose": (
        "adapterhub_lite.cli.compose:compose",
        "Let adapters act together by a recipe, or by naming them.",
    ),
    "diff": (
        "adapterhub_lite.cli.diff:diff",
        "Compare models before merging: norms, cosines, sign conflicts, a hint.",
    ),
    "strategies": (
        "adapterhub_lite.cli.parts:strategies",
        "List the ways of making one model of several, and show one's parameters.",
    ),
    "predict": (
        "adapterhub_lite.cli.predict:predict",
        "Ask a trained version: label, tag, answer, write, embed.",
    ),
    "serve": (
        "adapterhub_lite.cli.serve:serve",
        "Answer requests over HTTP, OpenAI's among them.",
    ),
    "list": ("adapterhub_lite.cli.registry_read:list_versions", "List what is published."),
    "show": (
        "adapterhub_lite.cli.registry_read:show",
        "Show what one version is and how it was made.",
    ),
    "search": (
        "adapterhub_lite.cli.registry_read:search",
        "Find versions by words, base, method, task or metric.",
    ),
    "log": (
        "adapterhub_lite.cli.registry_log:log",
        "Show a version's ancestors, descendants and alias moves.",
    ),
    "card": (
        "adapterhub_lite.cli.card:card",
        "Print a version's model card, with the metadata of the hub.",
    ),
    "alias": (
        "adapterhub_lite.cli.registry_write:alias",
        "Set, remove or list movable names such as prod.",
    ),
    "rollback": (
        "adapterhub_lite.cli.registry_write:rollback",
        "Point an alias to where it pointed before its last move.",
    ),
    "path": (
        "adapterhub_lite.cli.registry_files:path",
        "Print a verified folder with a version's files, to load from.",
    ),
    "checkout": (
        "adapterhub_lite.cli.registry_files:checkout",
        "Copy a version's files into a new folder.",
    ),
    "rm": (
        "adapterhub_lite.cli.registry_write:remove",
        "Remove a version that no alias and no child needs.",
    ),
    "fsck": (
        "adapterhub_lite.cli.registry_care:fsck",
        "Check the registry, or one version, and list what is damaged.",
    ),
    "repair": (
        "adapterhub_lite.cli.registry_care:repair",
        "Mend what is damaged in the registry, or in one version.",
    ),
    "gc": (
        "adapterhub_lite.cli.registry_care:gc",
        "Collect the files that no version needs.",
    ),
    "sign": (
        "adapterhub_lite.cli.signing:sign",
        "Sign a version: its manifest, and through it all its files.",
    ),
    "verify": (
        "adapterhub_lite.cli.signing:verify",
        "Check by whom a version is signed, and all its files.",
    ),
    "config": (
        "adapterhub_lite.cli.registry_config:config",
        "Show or change the registry's settings, which hold for all who use it.",
    ),
    "reindex": (
        "adapterhub_lite.cli.registry_files:reindex",
        "Rebuild the search index from the files.",
    ),
    "data": ("adapterhub_lite.cli.data:data", "Check rows before training on them."),
    "recipe": ("adapterhub_lite.cli.recipe:recipe", "Print the schema of recipes."),
    "bake": (
        "adapterhub_lite.cli.bake:bake",
        "Merge an adapter into its base, and publish the whole model.",
    ),
    "extract-lora": (
        "adapterhub_lite.cli.extract_lora:extract_lora",
        "Turn a fine-tuned model into a LoRA adapter.",
    ),
    "eval": (
        "adapterhub_lite.cli.eval:evaluate",
        "Score versions on rows, and compare two of them.",
    ),
    "deploy": (
        "adapterhub_lite.cli.deploy:deploy",
        "Write a version for where it is used, and compare it.",
    ),
    "export": ("adapterhub_lite.cli.exchange:export", "Write a version in another tool's format."),
    "import": ("adapterhub_lite.cli.exchange:import_", "Publish another tool's folder or archive."),
    "convert": (
        "adapterhub_lite.cli.convert:convert",
        "Turn pickled weights into safetensors, in isolation.",
    ),
    "push": ("adapterhub_lite.cli.remotes:push", "Copy a version to a place elsewhere."),
    "pull": ("adapterhub_lite.cli.remotes:pull", "Publish here a version from a place elsewhere."),
    "sync": (
        "adapterhub_lite.cli.remotes:sync",
        "Make this registry and a place elsewhere hold the same versions.",
    ),
    "plugins": (
        "adapterhub_lite.cli.plugins:plugins",
        "Install, list, check and switch off plugins.",
    ),
    "doctor": (
        "adapterhub_lite.cli.doctor:doctor",
        "Examine the environment: versions, plugins, device, registry.",
    ),
}
"""Command → where its click object lives, and the summary that ``--help`` prints.

The summaries stand here a second time so that help needs no import; a test keeps them equal.
"""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands that come with the project, in their order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command: ours from the table, a stranger's from its entry point."""
        if cmd_name in COMMANDS:
            return _import_command(COMMANDS[cmd_name][0])
        return _third_party_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' summaries from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, and name the nearest command when there is none."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from adapterhub_lite.errors import nearest_name

            near = nearest_name(args[0], COMMANDS)
            ctx.fail(f"no command {args[0]!r}" + (f"; did you mean {near!r}?" if near else ""))
        return super().resolve_command(ctx, args)


def _import_command(target: str) -> click.Command:
    from importlib import import_module

    module, _, attribute = target.partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command), f"{target} is not a click command"
    return command


def _third_party_command(name: str) -> click.Command | None:
    """Load a command that a plugin distribution declares under ``adapterhub_lite.commands``."""
    from adapterhub_lite.plugins import load_command

    # The command has to be found before its own options are parsed, this one among them.
    first_party_only = "--no-plugins" in sys.argv
    return load_command(name, first_party_only=first_party_only)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="adapterhub-lite", prog_name="adapterhub-lite")
def cli() -> None:
    """Train, keep, merge and deploy adapters of language models.

    The short way: ahl fewshot TRAIN.csv --name my-classifier
    """


def main() -> NoReturn:
    """Run the command line; every failure becomes one line, a hint and an exit code."""
    # Read when torch is imported. Threads that wait by spinning slow a busy machine down threefold.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A process that ends gives its memory back as a whole. Without this the collector goes over all
    # that torch imported, several times, which takes a third of a second.
    atexit.register(gc.freeze)
    try:
        sys.exit(cli.main(standalone_mode=False, prog_name="ahl") or 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"  hint: see '{error.ctx.command_path} --help'", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\ninterrupted: nothing was published or changed", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader went away (``ahl list | head``): silence the flush at interpreter exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    from adapterhub_lite.cli.common import describe_error

    if "--debug" in sys.argv or os.environ.get("ADAPTERHUB_LITE_DEBUG"):
        raise error
    line, hint, exit_code = describe_error(error)
    click.echo(f"error: {line}", err=True)
    if hint:
        click.echo(f"  hint: {hint}", err=True)
    sys.exit(exit_code)
