"""What a composition will do: every member, parameter and base checked, no weight loaded."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.composition.fit import require_one_base, require_one_model
from adapterhub_lite.errors import CapabilityError, RecipeError, nearest_name
from adapterhub_lite.inference.artifact import (
    ArtifactInfo,
    Composed,
    ComposedMember,
    read_info,
)
from adapterhub_lite.inference.composed import OpenMembers, open_member
from adapterhub_lite.inference.loading import find_base, is_path, resolve_artifact
from adapterhub_lite.protocols import Member
from adapterhub_lite.recipes import ComposeRecipe, apply_overrides, read_recipe, validate
from adapterhub_lite.recipes.compose import MEMBER_NAME
from adapterhub_lite.specs import CAPABILITIES, CompositionSpec, MethodSpec, ResolvedBase

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry

APART: Final = "give each a name of its own: {ref: …, name: …}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A member's place: the name it gets, what was asked for, its folder, its version's digest."""

    name: str
    asked: str
    ref: str
    folder: Path
    digest: str
    info: ArtifactInfo
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposePlan:
    """A composition that can be made.

    ``values`` is the recipe as it was given, ``answering`` the member whose task, head and
    tokenizer the result has.
    """

    recipe: ComposeRecipe
    values: Mapping[str, Any]
    spec: CompositionSpec
    implementation: Any
    params: Any
    found: Sequence[Found]
    members: OpenMembers
    answering: Found
    base: ResolvedBase

    @property
    def composed(self) -> Composed:
        """What the composition's folder says of it."""
        return Composed(
            name=self.spec.name,
            params=self.params.model_dump(mode="json"),
            members=tuple(
                ComposedMember(
                    name=member.name,
                    ref=place.ref,
                    digest=place.digest,
                    params=member.params.model_dump(mode="json"),
                )
                for place, member in zip(self.found, self.members.all, strict=True)
            ),
            head=self.members.head,
        )


def make_plan(
    recipe: Mapping[str, Any] | Path | str,
    overrides: Iterable[str],
    catalogue: Catalogue,
    registry: "Registry",
) -> ComposePlan:
    """Check a recipe, a mapping or a YAML file, against plugins, members and their base.

    In ``overrides`` a parameter of the composition may stand alone ("normalise=false"). Raises
    RecipeError, UnknownNameError, CapabilityError for what does not fit together, BaseModelError
    for members of different bases, and NotFoundError.
    """
    values = recipe if isinstance(recipe, Mapping) else read_recipe(Path(recipe))
    values = apply_overrides(values, map(_of_the_composition, overrides))
    checked = validate(ComposeRecipe, values)
    _check_names(checked)
    spec = catalogue.composition(checked.composition.name)
    params = validate(spec.params, checked.composition.params, where="composition")
    _check_number(spec, len(checked.members))
    found = _find(checked, registry)
    members = [open_member(one.name, one.folder, spec, one.params, catalogue) for one in found]
    named = _named_head(checked.head, found)
    require_one_base(found)
    _require_capabilities(spec, members, catalogue)
    if spec.result != "answers":
        require_one_model(found, members, head=named, averaged=spec.result == "adapter")
    answering = _answering(named, found, spec)
    base = find_base(answering.folder, answering.info, registry, catalogue)
    head = named if spec.result == "adapter" else answering.name
    opened = OpenMembers(members, head, base, catalogue)
    implementation = catalogue.implementation(spec)
    if reasons := implementation.check(opened, params):
        raise CapabilityError(
            f"{spec.name} does not take these members: {reasons[0]}",
            hint="a switch takes adapters of any method: --as switch",
        )
    return ComposePlan(
        recipe=checked,
        values=values,
        spec=spec,
        implementation=implementation,
        params=params,
        found=found,
        members=opened,
        answering=answering,
        base=base,
    )


def _of_the_composition(override: str) -> str:
    """Let a parameter stand alone: what is no field of the recipe is the composition's."""
    first = override.partition("=")[0].partition(".")[0].strip()
    return override if first in ComposeRecipe.model_fields else f"composition.{override}"


def _check_names(recipe: ComposeRecipe) -> None:
    """Raise InvalidNameError for a name or alias that could not be published."""
    from adapterhub_lite_registry import check_name

    if recipe.publish is not None:
        check_name(recipe.publish)


def _check_number(spec: CompositionSpec, number: int) -> None:
    least, most = spec.members
    if number < least or (most and number > most):
        wanted = f"{least} to {most}" if most else f"at least {least}"
        raise RecipeError(
            f"{spec.name} takes {wanted} members, and {number} {'is' if number == 1 else 'are'} "
            "named",
            field="members",
        )


def _find(recipe: ComposeRecipe, registry: "Registry") -> list[Found]:
    """Resolve every member, and name it: by the recipe, or as its version is called."""
    places = [(*resolve_artifact(one.ref, registry), one) for one in recipe.members]
    plain = [one.name or _own_name(ref) for _, ref, one in places]
    twice = {name for name, times in Counter(plain).items() if times > 1}
    found = []
    for (folder, ref, one), name in zip(places, plain, strict=True):
        info = read_info(folder)
        if info.composition is not None:
            raise CapabilityError(
                f"{ref} is a composition itself ({info.composition.name}): they are not nested",
                hint="name its members, or an average, which is an adapter like any other",
            )
        own = name if one.name or name not in twice else ref.replace("@", "-")
        if not re.match(MEMBER_NAME, own):
            raise RecipeError(
                f"{one.ref} needs a name in the composition", field="members", hint=APART
            )
        version = None if is_path(one.ref) else registry.resolve(ref)
        found.append(
            Found(
                name=own,
                asked=one.ref,
                ref=ref,
                folder=folder,
                digest=version.digest if version else "",
                info=info,
                params=one.params,
            )
        )
    names = Counter(one.name for one in found)
    if again := [name for name, times in names.items() if times > 1]:
        raise RecipeError(
            f"two members are called {again[0]!r}",
            field="members",
            hint=APART,
        )
    return found


def _own_name(ref: str) -> str:
    return Path(ref).name if is_path(ref) else ref.partition("@")[0]


def _named_head(head: str | None, found: Sequence[Found]) -> str | None:
    """Return the name of the member that the recipe's ``head`` means."""
    if head is None:
        return None
    for one in found:
        if head in (one.name, one.asked, one.ref):
            return one.name
    known = [one.name for one in found]
    near = nearest_name(head, [*known, *(one.ref for one in found)])
    raise RecipeError(
        f"head: {head!r} is none of the members",
        field="head",
        hint=(f"did you mean {near!r}? " if near else "") + f"they are: {', '.join(known)}",
    )


def _answering(named: str | None, found: Sequence[Found], spec: CompositionSpec) -> Found:
    """Return the member whose task the result does: named, or the last that a model is stacked of.

    Of members that answer for themselves the first is the default.
    """
    for one in found:
        if one.name == named:
            return one
    return found[-1] if spec.result == "model" else found[0]


def _require_capabilities(
    spec: CompositionSpec, members: Sequence[Member], catalogue: Catalogue
) -> None:
    for member in members:
        for capability in sorted(spec.needs - member.method.capabilities):
            specs = [offer.spec for offer in catalogue.usable("method")]
            able = [
                s.name for s in specs if isinstance(s, MethodSpec) and capability in s.capabilities
            ]
            raise CapabilityError(
                f"{member.name} cannot be in a composition by {spec.name}: its method "
                f"{member.method.name!r} does not declare {capability!r} "
                f"({CAPABILITIES[capability]})",
                hint=f"a switch takes adapters of any method; {capability}: {', '.join(able)}",
            )
