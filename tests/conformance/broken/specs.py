"""Specs that say the wrong thing of themselves."""

from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, PositiveFloat, WithJsonSchema, field_serializer

from adapterhub_lite.specs import LoaderSpec, Params, Requirement
from tests.conformance.broken.entries import Broken

SOUND: Final = LoaderSpec(
    name="sound",
    summary="A loader with nothing wrong.",
    implementation="tests.conformance.broken.loaders:Sound",
    bytes_per_parameter=4,
)


class WithoutHelp(Params):
    """A parameter that nobody explains."""

    scale: float = 1.0


class BadDefault(Params):
    """A default that the field's own limit forbids."""

    scale: PositiveFloat = Field(default=-1, description="A factor.")


class AnyValue(Params):
    """A parameter of no type."""

    scale: Any = Field(default=1.0, description="A factor.")


class Rounded(Params):
    """A parameter that JSON keeps half of."""

    scale: float = Field(default=1.5, description="A factor.")

    @field_serializer("scale")
    def short(self, value: float) -> int:
        """Round it."""
        return int(value)


class Lenient(Params):
    """Parameters that take every key."""

    model_config = ConfigDict(extra="ignore")

    scale: float = Field(default=1.0, description="A factor.")


class WithoutSchema(Params):
    """A schema that is no JSON."""

    scale: Annotated[float, WithJsonSchema({"type": object})] = Field(
        default=1.0, description="A factor."
    )


def _broken(
    fault: str,
    check: str,
    says: str,
    *,
    also: tuple[str, ...] = (),
    module: str = "",
    **changes: Any,
) -> Broken:
    spec = replace(SOUND, **changes)
    return Broken(
        fault=fault, kind="loader", spec=spec, check=check, says=says, also=also, module=module
    )


BROKEN: Final = (
    _broken("its name is two words", "check_name_and_summary", "two words", name="two words"),
    _broken(
        "its summary has two lines",
        "check_name_and_summary",
        "the summary is",
        name="long-winded",
        summary="A loader.\nIt loads.",
    ),
    _broken(
        "its module imports numpy",
        "check_plugin_is_light",
        "imports numpy",
        name="heavy",
        module="tests.conformance.broken.heavy",
    ),
    _broken(
        "a default is outside of its field's limits",
        "check_defaults_are_valid",
        "'params.scale'",
        name="bad-default",
        params=BadDefault,
    ),
    _broken(
        "a parameter is rounded when it is written as JSON",
        "check_params_survive_json",
        "come back changed",
        name="rounded",
        params=Rounded,
    ),
    _broken(
        "a parameter has no description",
        "check_every_param_has_help",
        "scale",
        name="without-help",
        params=WithoutHelp,
    ),
    _broken(
        "a parameter is of type Any",
        "check_bad_values_are_refused",
        "'scale' takes any value",
        name="any-value",
        params=AnyValue,
    ),
    _broken(
        'its params model has extra="ignore"',
        "check_unknown_keys_are_refused",
        "a key that they do not have",
        name="lenient",
        params=Lenient,
    ),
    _broken(
        "a parameter's JSON Schema is no JSON",
        "check_schema_can_be_made",
        "not JSON serializable",
        name="without-schema",
        params=WithoutSchema,
    ),
    _broken(
        "it does not say how its library is installed",
        "check_missing_libraries_are_named",
        "look at our site",
        name="without-pip-line",
        requires=(Requirement(module="json", install="look at our site"),),
    ),
    _broken(
        "dequantise() takes an argument that the core does not give",
        "check_implementation_fits_the_protocol",
        "'params'",
        also=("check_dequantises_what_it_computes_with", "check_weights_are_the_files"),
        name="old-signature",
        implementation="tests.conformance.broken.loaders:OldSignature",
    ),
)
