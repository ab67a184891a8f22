"""Disabling a plugin and enabling it again, unless something stands on it."""

from collections.abc import Mapping
from typing import Final

from adapterhub_lite.errors import UserError
from adapterhub_lite.plugins import load_catalogue
from adapterhub_lite.plugins.disabled import change_disabled, read_disabled
from adapterhub_lite.plugins.discovery import FIRST_PARTY
from adapterhub_lite.plugins.naming import installed_points, resolve_plugin

NEEDED: Final[Mapping[str, str]] = {
    "bases": "base models are found by it",
    "full": "whole models are saved and loaded by it",
    "loaders": "recipes that name no loader use fp32, which is its",
    "readers": "rows are read by it",
}
"""First-party plugins that the core itself uses by name, and for what."""


def disable(name: str) -> str:
    """Keep a distribution or one plugin from loading from now on; return what was disabled.

    No third-party code is loaded, so that a plugin that ends the process can be disabled as well.
    Raises UnknownNameError, or UserError when something of ours stands on it.
    """
    plugin = resolve_plugin(name, installed_points())
    distribution, _, point = plugin.partition(":")
    if distribution == FIRST_PARTY:
        if not point:
            raise UserError(
                f"{FIRST_PARTY} itself cannot be disabled",
                hint="name one of its plugins (see: ahl plugins list --all)",
            )
        if point in NEEDED:
            raise UserError(f"the plugin {point!r} cannot be disabled: {NEEDED[point]}")
        _refuse_under_presets(plugin)
    change_disabled(add=[plugin])
    return plugin


def enable(name: str) -> tuple[str, bool]:
    """Let a plugin load again; return what ``name`` means, and whether it had been disabled.

    A name that was disabled may be enabled when it is installed no more. Raises UnknownNameError,
    or UserError for a plugin whose whole distribution is disabled.
    """
    disabled = read_disabled()
    points = installed_points() | {tuple_of(entry) for entry in disabled}
    plugin = resolve_plugin(name, points)
    distribution = plugin.partition(":")[0]
    if plugin not in disabled and distribution in disabled:
        raise UserError(
            f"all of {distribution} is disabled", hint=f"run: ahl plugins enable {distribution}"
        )
    if ":" not in plugin:  # all of a distribution: each plugin of it that was disabled alone, too
        gone = [entry for entry in disabled if entry.partition(":")[0] == plugin]
    else:
        gone = [plugin] if plugin in disabled else []
    change_disabled(remove=gone)
    return plugin, bool(gone)


def tuple_of(entry: str) -> tuple[str, str]:
    """Return a disabled name as distribution and entry point; all of a distribution has none."""
    distribution, _, point = entry.partition(":")
    return distribution, point


def _refuse_under_presets(plugin: str) -> None:
    """Refuse one of our plugins whose parts a preset of another of ours is made of."""
    ours = load_catalogue(first_party_only=True)
    for offer in ours.usable("preset"):
        if not offer.source.first_party or offer.source.id == plugin:
            continue
        for kind, part in ours.preset(offer.spec.name).recipe.items():
            if ours.offer(kind, part["name"]).source.id == plugin:
                raise UserError(
                    f"the preset {offer.spec.name!r} of {offer.source.id} is made of its "
                    f"{kind} {part['name']!r}",
                    hint=f"disable that first: ahl plugins disable {offer.source.id}",
                )
