"""``ahl config``: what a registry is told to keep to."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.common import emit_json, json_option, shared_options
from adapterhub_lite.cli.registry_common import human_size, open_registry

if TYPE_CHECKING:
    from adapterhub_lite_registry import Config

FIELDS = {
    "quota.soft": "quota_soft",
    "quota.hard": "quota_hard",
    "remotes": "remotes",
    "require_signature": "require_signature",
    "trusted_keys": "trusted_keys",
}
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@click.command("config")
@click.argument("key", required=False)
@click.argument("values", nargs=-1, metavar="[VALUE]...")
@click.option("--unset", is_flag=True, help="Forget the setting.")
@json_option
@shared_options
def config(key: str | None, values: tuple[str, ...], unset: bool, as_json: bool) -> None:
    """Show or change the registry's settings, which hold for all who use it.

    quota.soft: above this size a publish warns. quota.hard: above this it is refused, before
    anything is written. remotes: where 'ahl repair' asks for lost bytes. trusted_keys: files of
    public keys in PEM, which are copied. require_signature: with true, no version is used, pulled
    or imported that none of those keys signed.

    \b
    ahl config
    ahl config quota.hard 20GB
    ahl config remotes file:/srv/adapters s3://our-models/adapters
    ahl config trusted_keys alice.pub bob.pub
    ahl config require_signature true
    ahl config quota.hard --unset
    """
    if unset and (key is None or values):
        raise click.UsageError("--unset takes the name of a setting, and no value")
    registry = open_registry()
    settings = registry.config
    if key is not None:
        field = _field(key)
        if values or unset:
            settings = _changed(settings, field, key, values)
            registry.configure(settings)
    used = registry.used()
    if as_json:
        return emit_json({**settings.model_dump(mode="json"), "used": used})
    for name, field in FIELDS.items():
        if key in (None, name):
            click.echo(f"{name:<19}{_spell(field, getattr(settings, field))}")
    return click.echo(f"{'used':<19}{human_size(used)}") if key is None else None


def _field(key: str) -> str:
    from adapterhub_lite.errors import nearest_name

    if key in FIELDS:
        return FIELDS[key]
    near = nearest_name(key, FIELDS)
    known = f"did you mean {near!r}?" if near else f"there are: {', '.join(FIELDS)}"
    raise click.UsageError(f"no setting {key!r}; {known}")


def _changed(settings: "Config", field: str, key: str, values: tuple[str, ...]) -> "Config":
    """Return the settings with one of them changed; none of ``values`` means unset."""
    from adapterhub_lite_registry import Config

    value = None
    if values:
        if field not in LISTS and len(values) > 1:
            raise click.UsageError(f"{key} takes one value")
        value = READERS[field](values)
    given = {**settings.model_dump(), field: value}
    changed = Config.model_validate({k: v for k, v in given.items() if v is not None})
    soft, hard = changed.quota_soft, changed.quota_hard
    if soft is not None and hard is not None and soft > hard:
        raise click.UsageError("quota.soft is to warn before quota.hard refuses: make it smaller")
    if changed.require_signature and not changed.trusted_keys:
        raise click.UsageError(
            "require_signature needs trusted_keys: set them first, unset it last"
        )
    return changed


def _size(values: Sequence[str]) -> int:
    (text,) = values
    found = re.fullmatch(r"([0-9]*\.?[0-9]+) ?([kKMGT]?B?)", text)
    if found is None or (unit := found[2].upper()) not in UNITS:
        raise click.UsageError(f"{text!r} is no size: write it like 20GB")
    return int(float(found[1]) * UNITS[unit])


def _switch(values: Sequence[str]) -> bool:
    (text,) = values
    if text not in ("true", "false"):
        raise click.UsageError(f"{text!r} is neither true nor false")
    return text == "true"


def _keys(values: Sequence[str]) -> tuple[str, ...]:
    from adapterhub_lite_registry import TrustedKey

    return tuple(TrustedKey.read(Path(file).expanduser()).pem for file in values)


READERS: Mapping[str, Callable[[Sequence[str]], Any]] = {
    "quota_soft": _size,
    "quota_hard": _size,
    "remotes": tuple,
    "require_signature": _switch,
    "trusted_keys": _keys,
}
LISTS = ("remotes", "trusted_keys")


def _spell(field: str, value: Any) -> str:
    from adapterhub_lite_registry import TrustedKey

    if field == "trusted_keys":
        value = [TrustedKey(pem).fingerprint[:16] for pem in value]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return human_size(value)
    return " ".join(value) if value else "not set"
