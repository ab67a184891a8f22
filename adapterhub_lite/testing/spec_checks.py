"""The checks of every spec, whatever its kind: what it says of itself, and where its code is."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final
from unittest.mock import patch

from adapterhub_lite.errors import MissingDependencyError, RecipeError
from adapterhub_lite.plugins import one_line
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import CompositionSpec, ExporterSpec, NoParams, Params
from adapterhub_lite.testing.composition_members import composition_params, member_params
from adapterhub_lite.testing.contract import differences, protocol_of
from adapterhub_lite.testing.importing import imported_alone
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject

NAME: Final = re.compile(r"[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*")
LONGEST: Final = 120
"""Characters of a summary; tables show it on one line."""
HEAVY: Final = frozenset(
    {
        *("datasets", "huggingface_hub", "matplotlib", "numpy", "pandas", "peft", "pyarrow"),
        *("safetensors", "scipy", "sentence_transformers", "setfit", "sklearn", "torch"),
        "transformers",
    }
)
"""What only implementations import: every command would pay for it."""


def check_name_and_summary(subject: Subject) -> None:
    """The name can be written in a recipe, the summary is one sentence on one line.

    Recipes, tables and help texts show both: letters and digits with - or _ between words, and a
    sentence of at most 120 characters with its full stop.
    """
    spec = subject.offer.spec
    if not NAME.fullmatch(spec.name):
        raise CheckFailedError(f"the name is {spec.name!r}")
    if not spec.summary.strip() or "\n" in spec.summary or len(spec.summary) > LONGEST:
        raise CheckFailedError(f"the summary is {spec.summary!r}")
    if not spec.summary.endswith("."):
        raise CheckFailedError(f"the summary has no full stop: {spec.summary!r}")
    if spec.paper and not spec.paper.startswith("https://"):
        raise CheckFailedError(
            f"the paper is {spec.paper!r}", hint="give an address that begins with https://"
        )


def check_plugin_is_light(subject: Subject) -> None:
    """The plugin's module imports neither torch nor another heavy library.

    Every command loads every plugin. Import in the module that ``implementation`` names, and keep
    the module of the entry point to hooks, specs and params.
    """
    found = sorted(_imported(subject).packages & HEAVY)
    if found:
        raise CheckFailedError(f"loading the plugin imports {', '.join(found)}")


def check_defaults_are_valid(subject: Subject) -> None:
    """The defaults, with the parameters of the conformance case, are themselves valid.

    pydantic does not validate defaults. Where a parameter has none, give one that suits a tiny
    model in the hook adapterhub_conformance.
    """
    for where, model in params_models(subject):
        made = validate(model, _given(subject, where), where=where)
        try:
            validate(model, made.model_dump(), where=where)
        except RecipeError as error:
            raise CheckFailedError(f"a default is not valid: {error.message}") from error


def check_params_survive_json(subject: Subject) -> None:
    """The parameters are the same after a round trip through JSON.

    A version keeps the resolved recipe as JSON, and a resumed run reads it. Use types that JSON
    has, or that pydantic turns into them and back.
    """
    for where, model in params_models(subject):
        made = validate(model, _given(subject, where), where=where)
        needed(validate, "check_defaults_are_valid", model, made.model_dump())
        text = made.model_dump_json()
        try:
            again = model.model_validate_json(text)
        except ValueError as error:
            raise CheckFailedError(f"{where} are not read again: {one_line(error)}") from error
        if again != made:
            raise CheckFailedError(f"{where} come back changed: {made!r} became {again!r}")


def check_every_param_has_help(subject: Subject) -> None:
    """Every parameter has a description.

    ``ahl methods show``, the schema for editors and the documentation show it:
    ``Field(description=…)``.
    """
    for where, model in params_models(subject):
        silent = [name for name, field in model.model_fields.items() if not field.description]
        if silent:
            raise CheckFailedError(f"{where} without a description: {', '.join(silent)}")


def check_bad_values_are_refused(subject: Subject) -> None:
    """A value of the wrong type is refused with an error that names its field.

    A field of type Any takes everything, and a misspelt value trains something else. Give each
    field its type, and let validators be of the field that they judge.
    """
    for where, model in params_models(subject):
        given = _given(subject, where)
        for name, field in model.model_fields.items():
            key = field.alias or name
            try:
                validate(model, {**given, key: object()}, where=where)
            except RecipeError as error:
                if key not in error.field.split("."):
                    raise CheckFailedError(
                        f"a bad value of {key!r} is reported of {error.field!r}"
                    ) from error
            else:
                raise CheckFailedError(f"{where}: {key!r} takes any value")


def check_unknown_keys_are_refused(subject: Subject) -> None:
    """A parameter that does not exist is an error.

    Derive params models from ``adapterhub_lite.specs.Params``, and leave ``extra="forbid"`` be.
    """
    for where, model in params_models(subject):
        try:
            validate(model, {**_given(subject, where), "no_such_parameter": 1}, where=where)
        except RecipeError:
            continue
        raise CheckFailedError(f"{where} take a key that they do not have")


def check_schema_can_be_made(subject: Subject) -> None:
    """The parameters have a JSON Schema, which is JSON.

    Editors complete recipes by it. Types that pydantic has no schema for need one of their own
    (``__get_pydantic_json_schema__``); better are types that a recipe can write.
    """
    for _, model in params_models(subject):
        json.dumps(model.model_json_schema())


def check_implementation_fits_the_protocol(subject: Subject) -> None:
    """What ``implementation`` names can be imported, and has the methods that the core calls.

    ``adapterhub_lite.protocols`` has them with their arguments, which the core gives by position.
    """
    spec = subject.offer.spec
    protocol, names = protocol_of(subject.offer.kind, spec)
    if not names:
        raise NotApplicableError(f"a {subject.offer.kind} has no implementation")
    if not re.fullmatch(r"[\w.]+:\w+", spec.implementation):
        raise CheckFailedError(
            f"implementation is {spec.implementation!r}", hint='write "package.module:Class"'
        )
    try:
        found = subject.implementation
    except MissingDependencyError as error:
        raise NotApplicableError(f"{error.message}; {error.hint}") from error
    if faults := differences(found, protocol, names):
        raise CheckFailedError(f"it is no {protocol.__name__}: {'; '.join(faults)}")


def check_missing_libraries_are_named(subject: Subject) -> None:
    """Without a library that it requires the plugin loads, and using it gives the pip line.

    List each library in the spec's ``requires``, its ``install`` being what a user types, and
    import it in the implementation only.
    """
    spec = subject.offer.spec
    if not spec.requires:
        raise NotApplicableError("it requires no library beyond the project's own")
    for requirement in spec.requires:
        if not requirement.install.startswith("pip install "):
            raise CheckFailedError(f"{requirement.module}: install is {requirement.install!r}")
        with patch.dict("sys.modules", {requirement.module: None}):
            try:
                subject.catalogue.implementation(spec)
            except MissingDependencyError:
                continue
            raise CheckFailedError(f"without {requirement.module} nothing is said")
    alone = _imported(subject, tuple(requirement.module for requirement in spec.requires))
    if alone.error:
        raise CheckFailedError(f"the plugin cannot be loaded without them: {alone.error}")


def params_models(subject: Subject) -> Iterator[tuple[str, type[Params]]]:
    """Yield the spec's params models, by the names of its fields.

    Raises NotApplicableError where the kind has none.
    """
    spec = subject.offer.spec
    found = [
        (name, getattr(spec, name))
        for name in ("params", "model_params", "member_params")
        if hasattr(spec, name)
    ]
    if not found:
        raise NotApplicableError(f"a {subject.offer.kind} takes no parameters")
    yield from found


def _given(subject: Subject, where: str) -> dict[str, Any]:
    """Return those of the case's parameters that are for one of the spec's params models.

    A merge's case has them as a recipe writes them: what each model has stands beside its own. A
    composition's has those of its members by themselves, of which the first's are looked at.
    """
    if isinstance(subject.offer.spec, CompositionSpec):
        if where == "member_params":
            return member_params(subject)[0]
        return composition_params(subject)
    # beside an exporter's own parameters stands what it is tried on
    tried_on = {"recipe"} if isinstance(subject.offer.spec, ExporterSpec) else set()
    each: type[Params] = getattr(subject.offer.spec, "model_params", NoParams)
    of_each = {field.alias or name for name, field in each.model_fields.items()}
    return {
        key: value
        for key, value in subject.params.items()
        if (key in of_each) == (where == "model_params") and key not in tried_on
    }


def _imported(subject: Subject, without: tuple[str, ...] = ()) -> Any:
    plugin = subject.offer.source.load()
    module = getattr(plugin, "__name__", None) or type(plugin).__module__
    found = imported_alone(module, without)
    if found is None:
        raise NotApplicableError(f"{module!r} is no module that can be imported by its name")
    return found


CHECKS: Final = (
    check_name_and_summary,
    check_plugin_is_light,
    check_defaults_are_valid,
    check_params_survive_json,
    check_every_param_has_help,
    check_bad_values_are_refused,
    check_unknown_keys_are_refused,
    check_schema_can_be_made,
    check_implementation_fits_the_protocol,
    check_missing_libraries_are_named,
)
