"""``ahl recipe``: what recipes may say."""

import click

from adapterhub_lite.cli.common import emit_json, settings, shared_options


@click.group(short_help="Print the schema of recipes.")
def recipe() -> None:
    """Help with writing recipes."""


@recipe.command(short_help="Print the JSON Schema of a recipe.")
@click.argument("kind", type=click.Choice(["train"]), default="train")
@shared_options
def schema(kind: str) -> None:
    """Print the JSON Schema of a training recipe, with the parameters of installed plugins.

    \b
    ahl recipe schema > train.schema.json
    # and as the first line of a recipe, for editors:
    # yaml-language-server: $schema=train.schema.json
    """
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.recipes.schema import train_schema

    assert kind == "train"
    emit_json(train_schema(get_catalogue(first_party_only=settings().no_plugins)))
