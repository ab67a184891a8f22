"""The adapters upon which a method is trained: found, and held against the recipe's base.

What is resolved becomes part of the parameters: the plan shows which version a reference meant, and
the recorded recipe names that one.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from adapterhub_lite.bases import Fingerprint, fingerprint
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import is_path, resolve_artifact
from adapterhub_lite.inference.origins import require_parts
from adapterhub_lite.specs import Adapter, MethodSpec, ResolvedBase
from adapterhub_lite.training.parts import ResolvedPart

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


def with_found_adapters(
    method: ResolvedPart[MethodSpec],
    base: ResolvedBase,
    catalogue: Catalogue,
    registry: "Registry",
) -> ResolvedPart[MethodSpec]:
    """Return the method with the adapters that its parameters name found; most name none.

    Raises as :func:`resolve_artifact` for a reference that leads nowhere, CapabilityError for what
    is no adapter or one of a method that will not do, BaseModelError for one on another base.
    """
    if not method.params.named_adapters():
        return method
    marks = fingerprint(base)

    def find(named: Adapter) -> Adapter:
        folder, ref = resolve_artifact(named.ref, registry)
        info = read_artifact_info(folder)
        if info.base is None:
            raise CapabilityError(
                f"{ref} is a whole model, and {method.spec.name} is trained upon adapters",
                hint="train it as an adapter (method: lora), or take one out of it: "
                "ahl extract-lora",
            )
        require_parts(info, ref, catalogue, ["method"])
        catalogue.upon(method.spec, info.method)
        _require_base(ref, info.base.ref, info.base.fingerprint, base.ref, marks)
        digest = "" if is_path(named.ref) else registry.resolve(ref).digest
        return Adapter(ref, folder, digest, info.method)

    return replace(method, params=method.params.with_adapters(find))


def _require_base(
    ref: str, trained_on: str, needed: Fingerprint, given: str, found: Fingerprint
) -> None:
    parts = ("config", "weights", "tokenizer")
    if other := [part for part in parts if getattr(needed, part) != getattr(found, part)]:
        raise BaseModelError(
            f"{ref} was trained on {trained_on!r}, and the recipe's base is {given!r}: another, "
            f"whose {' and '.join(other)} differ",
            ref=given,
            hint=f"adapters are of use on their own base alone: base: {trained_on}",
        )
