"""``ahl methods``, ``objectives``, ``loaders``, ``strategies``: what can be chosen, and how."""

from collections.abc import Iterator
from textwrap import indent
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.common import emit_json, json_option, print_table, settings, shared_options
from adapterhub_lite.cli.strategy_output import example_text, model_count, strategy_facts

if TYPE_CHECKING:
    from adapterhub_lite.catalogue import Catalogue
    from adapterhub_lite.specs import MethodSpec, Params

INDENT = "      "
PLURALS = {"strategy": "strategies"}
SHOWN = (
    "task",
    "rows",
    "head",
    "needs_base",
    "learning_rate",
    "quantised",
    "needs_gpu",
    "formula",
    "base",
    "models",
)
"""What a summary has of a spec, where the spec has it."""


def _group(kind: str, what: str) -> click.Group:
    """Make the group of one kind of part: ``list`` and ``show``."""

    plural = PLURALS.get(kind, f"{kind}s")

    @click.group(plural, short_help=f"List {what}, and show one's parameters.")
    def group() -> None:
        pass

    @group.command("list", short_help=f"List {what}.")
    @json_option
    @shared_options
    def list_(as_json: bool) -> None:
        specs = _specs(kind)
        if as_json:
            emit_json([_summary(spec) for spec in specs])
            return
        print_table(["name", *_columns(kind), "summary"], [_row(kind, spec) for spec in specs])
        click.echo(f"\nmore of one: ahl {plural} show NAME")

    @group.command("show", short_help="Show parameters, capabilities and paper.")
    @click.argument("name")
    @json_option
    @shared_options
    def show(name: str, as_json: bool) -> None:
        catalogue = _catalogue()
        spec: Any = catalogue.offer(kind, name).spec
        if as_json:
            emit_json({**_summary(spec), **_schemas(kind, spec)})
        else:
            _print(kind, spec, catalogue)

    group.help = f"Look at {what}."
    list_.help = f"List {what}, of every installed plugin."
    show.help = f"Show what the {kind} NAME takes, what it can do and where it comes from."
    return group


def _catalogue() -> "Catalogue":
    from adapterhub_lite.plugins import get_catalogue

    return get_catalogue(first_party_only=settings().no_plugins)


def _specs(kind: str) -> "list[Any]":
    return [offer.spec for offer in _catalogue().usable(kind)]


def _columns(kind: str) -> list[str]:
    return {
        "method": ["learns", "objectives"],
        "objective": ["task", "rows"],
        "loader": ["bytes/parameter"],
        "strategy": ["base", "models"],
    }[kind]


def _row(kind: str, spec: Any) -> list[str]:
    match kind:
        case "method":
            cells = [_artifact(spec), _shortened(_objectives(spec))]
        case "objective":
            cells = [spec.task, spec.rows]
        case "strategy":
            cells = [spec.base, model_count(spec)]
        case _:
            cells = [f"{spec.bytes_per_parameter:g}"]
    return [spec.name, *cells, spec.summary]


def _artifact(spec: "MethodSpec") -> str:
    return "an adapter" if spec.needs_base else "the base"


def _objectives(method: "MethodSpec") -> list[str]:
    """Return the installed objectives whose head the method can be attached under."""
    return [
        spec.name
        for spec in _specs("objective")
        if spec.head in method.heads and method.families & spec.families
    ]


def _shortened(names: list[str]) -> str:
    """Write names for a table: all of them as a word, most by those that are missing."""
    missing = [spec.name for spec in _specs("objective") if spec.name not in names]
    if not missing:
        return "all"
    return f"all but {', '.join(missing)}" if len(missing) < 3 else ", ".join(names) or "none"


def _summary(spec: Any) -> dict[str, Any]:
    """Return a spec as JSON values, its parameters apart."""
    found: dict[str, Any] = {
        "name": spec.name,
        "summary": spec.summary,
        "paper": spec.paper or None,
    }
    for name in ("families", "heads", "capabilities"):
        if hasattr(spec, name):
            found[name] = sorted(getattr(spec, name))
    for name in SHOWN:
        if hasattr(spec, name):
            found[name] = getattr(spec, name)
    if getattr(spec, "refusals", None):
        found["refusals"] = dict(spec.refusals)
    found["requires"] = [requirement.install for requirement in spec.requires]
    return found


def _schemas(kind: str, spec: Any) -> dict[str, Any]:
    """Return the JSON schemas of all parameters."""
    found = {"parameters": spec.params.model_json_schema()}
    if kind == "strategy":
        found["model_parameters"] = spec.model_params.model_json_schema()
    return found


def _print(kind: str, spec: Any, catalogue: "Catalogue") -> None:
    source = catalogue.offer(kind, spec.name).source
    click.echo(f"{spec.name}: {spec.summary}\n")
    for name, value in _facts(kind, spec):
        click.echo(f"{name:<14}{value}")
    click.echo(f"{'from':<14}{source.distribution} {source.version}")
    sections = _sections(kind, spec)
    for title, params in sections.items():
        print_parameters(params, title)
    if not any(params.model_fields for params in sections.values()):
        click.echo("\nit takes no parameters")
    if kind == "strategy":
        click.echo("\nan example recipe:\n")
        click.echo(indent(example_text(spec), "  ").rstrip())


def _sections(kind: str, spec: Any) -> "dict[str, type[Params]]":
    """Return every params model that a spec has, by its heading."""
    if kind != "strategy":
        return {"parameters": spec.params}
    return {
        "parameters of the merge": spec.params,
        "parameters of each model, or once for all": spec.model_params,
    }


def print_parameters(params: "type[Params]", title: str) -> None:
    """Print each parameter with its default and its help; nothing where there is none."""
    rows = list(parameters(params))
    if rows:
        click.echo(f"\n{title}:")
    for name, default, text in rows:
        click.echo(f"  {name} ({default})")
        click.echo(click.wrap_text(text, 100, INDENT, INDENT))


def _facts(kind: str, spec: Any) -> Iterator[tuple[str, str]]:
    if spec.paper:
        yield "paper", spec.paper
    if kind == "objective":
        yield "task", spec.task
        yield "rows", spec.rows
        yield "head", spec.head
    if hasattr(spec, "families"):
        yield "bases", ", ".join(sorted(spec.families))
    if kind == "method":
        yield "objectives", ", ".join(_objectives(spec)) or "none of those installed"
        for reason in dict.fromkeys(spec.refusals.values()):
            heads = [head for head, said in spec.refusals.items() if said == reason]
            yield "not for", f"heads {', '.join(sorted(heads))}: {reason}"
        yield "learns", _artifact(spec)
        yield "can", ", ".join(sorted(spec.capabilities)) or "nothing more than train and reload"
        yield "learning rate", f"{spec.learning_rate:g}, when the recipe gives none"
    if kind == "strategy":
        yield from strategy_facts(spec)
    if kind == "loader":
        yield "weights", f"about {spec.bytes_per_parameter:g} bytes a parameter"
    for requirement in spec.requires:
        yield "needs", requirement.install


def parameters(params: "type[Params]") -> Iterator[tuple[str, str, str]]:
    """Yield each parameter's name, its default or that it has none, and its help."""
    for name, field in params.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "required" if field.is_required() else f"default: {_shown(default)}"
        yield field.alias or name, shown, field.description or ""


def _shown(value: Any) -> str:
    """Write a default as a recipe would."""
    if value is None or value in ([], {}, ""):
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


methods = _group("method", "the ways of choosing which parameters learn")
objectives = _group("objective", "what can be optimised, and on which rows")
loaders = _group("loader", "the precisions in which a base can be loaded")
strategies = _group("strategy", "the ways of making one model of several")
