"""Runs a merge whose result is a LoRA adapter: the merged model is computed, and never written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from adapterhub_lite.bases import fingerprint, resolve_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import UserError
from adapterhub_lite.inference.artifact import NeededBase
from adapterhub_lite.inference.loading import load_predictor
from adapterhub_lite.merging.adapters.manifest import adapter_draft, approximation
from adapterhub_lite.merging.adapters.output import AdapterContent, write_lora
from adapterhub_lite.merging.extraction.extract import Extraction, compare_rest, decompose
from adapterhub_lite.merging.extraction.output import (
    IN_RECIPE,
    adapter_content,
    beside_factors,
    left_out,
)
from adapterhub_lite.merging.extraction.plan import LoraOutput
from adapterhub_lite.merging.extraction.run import METHOD, new_folder
from adapterhub_lite.merging.folder.files import CONFIG, GENERATION, FolderFiles
from adapterhub_lite.merging.folder.write import write_folder
from adapterhub_lite.merging.plan import MergePlan
from adapterhub_lite.merging.publishing import (
    description_of,
    parents_of,
    strategies_of,
    strategy_components,
)
from adapterhub_lite.merging.results import MergeResult, require_name
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.streaming.adapters.files import WEIGHTS
from adapterhub_lite.streaming.tying import implied_output
from adapterhub_lite.training.publish import publish_folder, tensor_count

if TYPE_CHECKING:
    from adapterhub_lite_registry import ManifestDraft, Registry

ROUNDING: Final = 2.0**-19
"""By how much a mean of equal numbers in 32 bits may differ from them: 16 times their precision."""
SHOWN: Final = 3


def run_lora_plan(
    plan: MergePlan,
    lora: LoraOutput,
    catalogue: Catalogue,
    registry: "Registry",
    out: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> MergeResult:
    """Merge, and write the change of the base as an adapter into ``out``, or publish it.

    ``progress`` is called with the bytes merged and decomposed, and all of them. Raises MergeError
    for what the numbers tell, CapabilityError for differences that the adapter cannot hold,
    UserError for a result that cannot be published.
    """
    if out is None:
        _require_version(plan, require_name(plan.recipe))
    base = _resolved(lora, catalogue, registry)
    with new_folder(out) as folder:
        extraction, content = _extract(plan, lora, base.ref, progress)
        write_lora(folder, content, plan.recipe.output.dtype or "float32")
        told = [*plan.notices, *_notices(extraction, content)]
        written = replace(plan, files=_files(plan.files, base), notices=told)
        write_folder(folder, written, catalogue, approximation=_told(extraction))
        version = None
        if out is None:
            load_predictor(str(folder), registry, catalogue)  # what is published can be loaded
            draft = _draft(plan, folder, base, extraction, catalogue)
            name, alias = require_name(plan.recipe), plan.recipe.alias
            version = publish_folder(folder, name, draft, registry, alias)
        return MergeResult(
            plan=plan,
            folder=out,
            version=version,
            notices=told,
            tensors=tensor_count(folder).count,
            written=(folder / WEIGHTS).stat().st_size,
            modules=extraction.modules,
        )


def _require_version(plan: MergePlan, name: str) -> None:
    if plan.files.info is None:
        raise UserError(
            f"none of the models tells a task: the adapter cannot be published as {name}",
            hint="write it to a folder with --out, then: ahl import DIR --format peft",
        )


def _resolved(lora: LoraOutput, catalogue: Catalogue, registry: "Registry") -> ResolvedBase:
    version = lora.base.version
    return resolve_base(str(version) if version else lora.base.ref, catalogue, registry)


def _extract(
    plan: MergePlan,
    lora: LoraOutput,
    base_name: str,
    progress: Callable[[int, int], None] | None,
) -> tuple[Extraction, AdapterContent]:
    """Compare the merged model with the base, and decompose its linear layers."""
    threads, merged, origin = plan.settings.threads, lora.merged, lora.base.source

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(4 * done, 4 * total)

    found = compare_rest(lora.paired, merged, origin, threads=threads, rounding=ROUNDING)
    tied = implied_output(merged.tensors.keys(), plan.files.config) is not None
    rest = plan.recipe.output.rest
    beside = beside_factors(found, merged, rest, tied=tied, wording=IN_RECIPE)
    extraction = decompose(
        found,
        merged,
        origin,
        lora.choice,
        seed=plan.settings.seed,
        threads=threads,
        rounding=ROUNDING,
        progress=tell,
    )
    content = adapter_content(
        extraction,
        merged,
        origin,
        beside,
        task_type=lora.task_type,
        base_name=base_name.removeprefix("hub:").partition("@")[0],
    )
    return extraction, content


def _notices(extraction: Extraction, content: AdapterContent) -> list[str]:
    """Say what the adapter holds beside its factors, and what it does not."""
    notices = []
    if modules := content.saved_modules:
        notices.append(f"saved whole beside the factors: {', '.join(modules)}")
    if left := left_out(extraction, content):
        more = f", and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        shown = ", ".join(left[:SHOWN])
        notices.append(f"{len(left)} tensors differ from the base and are left out: {shown}{more}")
    return notices


def _told(extraction: Extraction) -> str:
    """Say how well the factors keep the change, for the card."""
    if not extraction.modules:
        return "Biases alone differ from the base's."
    errors = [part.error for part in extraction.modules.values()]
    ranks = [part.factors.rank for part in extraction.modules.values()]
    rank = f"rank {ranks[0]}" if len(set(ranks)) == 1 else f"ranks {min(ranks)} to {max(ranks)}"
    worst = max(extraction.modules, key=lambda name: extraction.modules[name].error)
    return (
        f"The merged change of {len(errors)} matrices, as factors of {rank}: the relative error of "
        f"a matrix's change, in the Frobenius norm, is "
        f"{sum(errors) / len(errors):.1e} on average and {max(errors):.1e} at most (`{worst}`)."
    )


def _files(files: FolderFiles, base: ResolvedBase) -> FolderFiles:
    """Return an adapter's files: those of a model without what describes its weights."""
    info = files.info
    if info is not None:
        needed = NeededBase(ref=base.ref, fingerprint=fingerprint(base))
        info = replace(info, method=METHOD, base=needed)
    of_model = {CONFIG, GENERATION}
    return replace(
        files,
        info=info,
        copied={name: file for name, file in files.copied.items() if name not in of_model},
        made={name: data for name, data in files.made.items() if name not in of_model},
    )


def _draft(
    plan: MergePlan,
    folder: Path,
    base: ResolvedBase,
    extraction: Extraction,
    catalogue: Catalogue,
) -> "ManifestDraft":
    told = {"strategies": strategies_of(plan), **approximation(extraction.modules)}
    return adapter_draft(
        folder,
        base,
        catalogue,
        strategies=strategy_components(strategies_of(plan), catalogue),
        hyperparameters={"merge": told},
        parents=parents_of(plan),
        description=description_of(plan),
        seed=plan.recipe.seed,
        recipe=dict(plan.values),
        license=plan.recipe.license,
    )
