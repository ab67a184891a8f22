"""``ahl recipe``: what recipes may say."""

import click

from adapterhub_lite.cli.common import emit_json, settings, shared_options


@click.group(short_help="Print the schema of recipes.")
def recipe() -> None:
    """Help with writing recipes."""


@recipe.command(short_help="Print the JSON Schema of a recipe.")
@click.argument("kind", type=click.Choice(["train", "merge", "compose"]), default="train")
@shared_options
def schema(kind: str) -> None:
    """Print the JSON Schema of a kind of recipe, with the parameters of installed plugins.

    \b
    ahl recipe schema > train.schema.json
    ahl recipe schema merge > merge.schema.json
    ahl recipe schema compose > compose.schema.json
    # and as the first line of a recipe, for editors:
    # yaml-language-server: $schema=train.schema.json
    """
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.recipes.compose_schema import compose_schema
    from adapterhub_lite.recipes.merge_schema import merge_schema
    from adapterhub_lite.recipes.schema import train_schema

    schema_of = {"train": train_schema, "merge": merge_schema, "compose": compose_schema}[kind]
    emit_json(schema_of(get_catalogue(first_party_only=settings().no_plugins)))
