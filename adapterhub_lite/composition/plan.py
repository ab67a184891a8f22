"""What a composition will do: every member, parameter and base checked, no weight loaded."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.composition.examples import MemberExamples, read_examples, refuse_examples
from adapterhub_lite.composition.fit import require_one_base, require_one_model
from adapterhub_lite.errors import CapabilityError, DataError, RecipeError, nearest_name
from adapterhub_lite.inference.artifact import (
    ArtifactInfo,
    Composed,
    ComposedMember,
    read_info,
)
from adapterhub_lite.inference.composed import OpenMembers
from adapterhub_lite.inference.interface import interface_of
from adapterhub_lite.inference.loaded import Bases
from adapterhub_lite.inference.loading import find_base, is_path, resolve_artifact
from adapterhub_lite.inference.members import open_member
from adapterhub_lite.protocols import AdapterMember, Interface, PresentedComposition
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

    ``values`` is the recipe as it was given, ``answering`` the member whose head and tokenizer the
    result has. ``interface`` is what is asked of it and what it answers, ``plain`` that of the
    adapter that answers by default. ``examples`` are the members' own, where it learns from them.
    """

    recipe: ComposeRecipe
    values: Mapping[str, Any]
    spec: CompositionSpec
    implementation: Any
    params: Any
    found: Sequence[Found]
    members: OpenMembers
    answering: Found
    interface: Interface
    plain: Interface
    base: ResolvedBase
    examples: Mapping[str, MemberExamples]

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
            interface=None if self.interface == self.plain else self.interface,
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
    _require_default(spec, named)
    require_one_base(found)
    adapters = [member for member in members if isinstance(member, AdapterMember)]
    _require_capabilities(spec, adapters, catalogue)
    if spec.result != "answers":
        require_one_model(found, adapters, head=named, averaged=spec.result == "adapter")
    answering = _answering(named, found, spec)
    base = find_base(answering.folder, answering.info, registry, catalogue)
    head = named if spec.result == "adapter" or spec.asks_all else answering.name
    opened = OpenMembers(
        checked.publish or spec.name, members, head, Bases(base, catalogue), catalogue
    )
    implementation = catalogue.implementation(spec)
    if reasons := implementation.check(opened, params):
        raise CapabilityError(
            f"{spec.name} does not take these members: {reasons[0]}",
            hint="a switch takes adapters of any method: --as switch",
        )
    interface = _interface(implementation, opened, params)
    examples: dict[str, MemberExamples] = {}
    if spec.learns and implementation.needs_examples(params):
        examples = read_examples(checked, found, catalogue, registry)
        inputs = {name: one.inputs for name, one in examples.items()}
        if reasons := implementation.check_examples(inputs, params):
            raise DataError(f"{spec.name} cannot learn from these examples: {reasons[0]}")
    else:
        refuse_examples(checked, spec.name)
    return ComposePlan(
        recipe=checked,
        values=values,
        spec=spec,
        implementation=implementation,
        params=params,
        found=found,
        members=opened,
        answering=answering,
        interface=interface,
        plain=interface_of(replace(answering.info, composition=None), catalogue),
        base=base,
        examples=examples,
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


def _require_default(spec: CompositionSpec, named: str | None) -> None:
    if spec.asks_all and named is not None:
        raise RecipeError(
            f"{spec.name} asks every member, and none of them is the default",
            field="head",
            hint="leave head out",
        )


def _interface(implementation: Any, members: OpenMembers, params: Any) -> Interface:
    """Return what the composition is asked and answers: if it does not say, as its default."""
    if isinstance(implementation, PresentedComposition):
        return implementation.interface(members, params)
    default = members.default
    return Interface(task=default.task, rows=default.rows, pairs=default.pairs, head=default.head)


def _answering(named: str | None, found: Sequence[Found], spec: CompositionSpec) -> Found:
    """Return the member whose task the result does: named, or the last that a model is stacked of.

    Of members that answer for themselves the first is the default.
    """
    for one in found:
        if one.name == named:
            return one
    return found[-1] if spec.result == "model" else found[0]


def _require_capabilities(
    spec: CompositionSpec, members: Sequence[AdapterMember], catalogue: Catalogue
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
