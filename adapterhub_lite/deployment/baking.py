"""Merge an adapter into its base: a whole model comes out that answers as the two did."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Literal

from adapterhub_lite.bases import fingerprint
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.folders import component, manifest_base
from adapterhub_lite.errors import CapabilityError, SelfTestError
from adapterhub_lite.inference.artifact import (
    ArtifactInfo,
    NeededBase,
    read_artifact_info,
    write_artifact_info,
)
from adapterhub_lite.inference.loading import find_base, is_path, load_model, resolve_artifact
from adapterhub_lite.inference.origins import require_parts, warn_of_versions
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import CAPABILITIES, MethodSpec, ResolvedBase
from adapterhub_lite.training.publish import INPUTS, environment, publish_folder, tensor_count
from adapterhub_lite.transformer import load_tokenizer

if TYPE_CHECKING:
    from adapterhub_lite_registry import ManifestDraft, Registry, Version

WeightType = Literal["float32", "bfloat16"]

WHOLE_MODEL: Final = "full"
"""The method whose artifacts are whole models."""

EXACT: Final = 1e-4
"""Largest relative difference of the outputs on a base in 32-bit floating point."""

ROUNDED: Final = 5e-2
"""Largest one where the adapter's base computed in fewer bits: its own rounding."""


@dataclass(frozen=True, slots=True)
class Baked:
    """What was published, and how far its outputs are from the adapter's, relatively."""

    version: "Version"
    difference: float


def bake(
    ref: str,
    name: str,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    alias: str | None = None,
    base: str | None = None,
    any_base: bool = False,
    dtype: WeightType = "float32",
) -> Baked:
    """Merge the adapter ``ref`` into its base, and publish the model as a version of ``name``.

    ``dtype`` is in which the merged weights are stored. A quantised base is turned back into
    floating point first, with the very weights that it computed with; merging into the original
    weights, which the adapter never saw, would be far off. Raises CapabilityError for what cannot
    be merged, and SelfTestError, publishing nothing,
    when the model's outputs differ from the adapter's.
    """
    from adapterhub_lite_registry import check_name

    check_name(name)
    folder, full_name = resolve_artifact(ref, registry)
    info = read_artifact_info(folder)
    require_parts(info, full_name, catalogue)
    warn_of_versions(info, full_name, catalogue)
    needed = require_bakeable(info, full_name, catalogue)
    found = find_base(folder, info, registry, catalogue, base=base, any_base=any_base)
    with TemporaryDirectory(prefix="adapterhub-") as work:
        made = Path(work) / "model"
        made.mkdir()
        write_merged(folder, made, info, found, catalogue, dtype)
        off = _compare(folder, made, info, found, catalogue, dtype)
        parent = registry.resolve(ref) if not is_path(ref) else None
        facts: dict[str, Any] = {"from": full_name, "relative_difference": off, "dtype": dtype}
        if fingerprint(found) != needed.fingerprint:
            facts["another_base_than"] = needed.ref  # an explicit override is on record
        draft = _draft(made, info, found, parent, catalogue)
        draft = draft.model_copy(update={"hyperparameters": {"baked": facts}})
        return Baked(publish_folder(made, name, draft, registry, alias), off)


def require_bakeable(info: ArtifactInfo, name: str, catalogue: Catalogue) -> NeededBase:
    """Return the base of an adapter that can be merged into it; raises CapabilityError."""
    if info.base is None:
        raise CapabilityError(f"{name} is a whole model already", hint="see: ahl checkout")
    spec = catalogue.method(info.method)
    if "bake" not in spec.capabilities:
        specs = [offer.spec for offer in catalogue.usable("method")]
        able = [s.name for s in specs if isinstance(s, MethodSpec) and "bake" in s.capabilities]
        raise CapabilityError(
            f"{name} cannot be baked: the method {spec.name!r} does not declare 'bake' "
            f"({CAPABILITIES['bake']})",
            hint=f"it is served beside its base; methods that can be baked: {', '.join(able)}",
        )
    return info.base


def write_merged(
    folder: Path,
    made: Path,
    info: ArtifactInfo,
    base: ResolvedBase,
    catalogue: Catalogue,
    dtype: WeightType = "float32",
) -> None:
    """Write the merged model to the folder ``made``, and what its objective needs to score."""
    objective = catalogue.implementation(catalogue.objective(info.objective))
    scorer = objective.load(load_model(folder, info, base, catalogue, "cpu"), folder)
    plain = _in_floats(info, base, catalogue)
    merged = catalogue.implementation(catalogue.method(info.method)).bake(plain, folder)
    model = merged.model
    if dtype == "bfloat16":
        import torch

        model = model.to(torch.bfloat16)
        model.config.dtype = torch.bfloat16
    names = frozenset(name for name, _ in model.named_parameters())
    attached = Attached(model, load_tokenizer(folder), merged.path, names, info.head)
    catalogue.implementation(catalogue.method(WHOLE_MODEL)).save(attached, made)
    outcome = Outcome(scorer, None, kept="baked", reason="baked", selection=None)
    objective.save(outcome, made)
    write_artifact_info(
        made, replace(info, method=WHOLE_MODEL, loader="fp32", loader_params={}, base=None)
    )


def _in_floats(info: ArtifactInfo, base: ResolvedBase, catalogue: Catalogue) -> LoadedBase:
    spec = catalogue.loader(info.loader)
    params = validate(spec.params, info.loader_params, where="loader")
    loader = catalogue.implementation(spec)
    plain: LoadedBase = loader.dequantise(loader.load(base, info.head, params, "cpu"))
    return plain


def _compare(
    folder: Path,
    made: Path,
    info: ArtifactInfo,
    base: ResolvedBase,
    catalogue: Catalogue,
    dtype: WeightType,
) -> float:
    """Return the relative difference of the outputs; raises SelfTestError when it is too large."""
    from adapterhub_lite.probe import answers, difference

    adapter = load_model(folder, info, base, catalogue, "cpu")
    whole = ResolvedBase(ref=str(made), path=str(made), source="artifact")
    model = load_model(made, read_artifact_info(made), whole, catalogue, "cpu")
    found = difference(answers(adapter.model), answers(model.model))
    exact = info.loader == "fp32" and dtype == "float32"
    if not found <= (EXACT if exact else ROUNDED):
        raise SelfTestError(
            f"the merged model's outputs differ from the adapter's by {found:.1e}",
            hint="nothing was published; serve the adapter beside its base instead",
        )
    return found


def _draft(
    made: Path,
    info: ArtifactInfo,
    base: ResolvedBase,
    parent: "Version | None",
    catalogue: Catalogue,
) -> "ManifestDraft":
    from adapterhub_lite_registry import ManifestDraft, Parent, Signature

    return ManifestDraft(
        kind="model",
        task=info.task,
        base=manifest_base(base),
        method=component("method", WHOLE_MODEL, catalogue),
        objective=component("objective", info.objective, catalogue),
        loader=component("loader", "fp32", catalogue),
        parents=(Parent(digest=parent.digest, role="adapter"),) if parent else (),
        env=environment(),
        license=parent.manifest.license if parent else None,
        signature=Signature(
            inputs=INPUTS[catalogue.objective(info.objective).rows], labels=info.head.labels
        ),
        tensors=tensor_count(made),
    )
