"""The Python API: what the command line does, as functions."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import get_catalogue

if TYPE_CHECKING:
    from adapterhub_lite.composition.plan import ComposePlan
    from adapterhub_lite.composition.run import ComposeResult
    from adapterhub_lite.deployment import Deployment
    from adapterhub_lite.inference.predictor import Predictor
    from adapterhub_lite.merging.adapters.plan import AdapterPlan
    from adapterhub_lite.merging.plan import MergePlan
    from adapterhub_lite.merging.results import MergeResult
    from adapterhub_lite.merging.run import Progress
    from adapterhub_lite.merging.search import Found
    from adapterhub_lite.merging.search import Progress as SearchProgress
    from adapterhub_lite.training.events import Listener
    from adapterhub_lite.training.plan import Plan
    from adapterhub_lite.training.results import TrainResult
    from adapterhub_lite_registry import Registry


def open_registry(home: Path | str | None = None) -> "Registry":
    """Open the registry at ``home``, by default the user's own; it is made when there is none.

    Raises StorageError when the place cannot be written.
    """
    from adapterhub_lite_registry import Registry

    return Registry.open(Path(home) if home is not None else None)


def plan(
    recipe: Mapping[str, Any] | Path | str,
    *,
    overrides: Iterable[str] = (),
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
) -> "Plan":
    """Check a training recipe against plugins, base and data; no weight is loaded.

    ``recipe`` is a mapping or a YAML file, ``overrides`` are ``a.b=value``. Raises UserError.
    """
    from adapterhub_lite.inference.origins import absent_named
    from adapterhub_lite.recipes import apply_overrides, read_recipe
    from adapterhub_lite.training.plan import make_plan

    values = recipe if isinstance(recipe, Mapping) else read_recipe(Path(recipe))
    catalogue, registry = catalogue or get_catalogue(), registry or open_registry()
    with absent_named(registry, catalogue):
        return make_plan(apply_overrides(values, overrides), catalogue, registry)


def train(
    recipe: Mapping[str, Any] | Path | str,
    *,
    overrides: Iterable[str] = (),
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
    listeners: "Sequence[Listener]" = (),
    resume: Path | str | None = None,
) -> "TrainResult":
    """Train a recipe and publish the result when the recipe names it.

    ``listeners`` are called with each event of the run; ``resume`` is the folder of an interrupted
    run of the same recipe. Raises UserError before anything is
    loaded, TrainingError or StorageError later; in either case nothing is published.
    """
    from adapterhub_lite.training.run import run_plan

    catalogue = catalogue or get_catalogue()
    registry = registry or open_registry()
    made = plan(recipe, overrides=overrides, registry=registry, catalogue=catalogue)
    folder = Path(resume) if resume is not None else None
    return run_plan(made, catalogue, registry, listeners, folder)


def plan_merge(
    recipe: Mapping[str, Any] | Path | str,
    *,
    overrides: Iterable[str] = (),
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
    threads: int | None = None,
    device: str = "cpu",
    any_base: bool = False,
    convert_pickle: bool = False,
) -> "MergePlan | AdapterPlan":
    """Check a merge recipe, ours or mergekit's, against plugins and models; no number is merged.

    ``recipe`` is a mapping or a YAML file; ``overrides`` are ``a.b=value``, where a parameter of
    the strategy may stand alone ("density=0.5"). ``threads`` is one a core unless given.
    ``any_base`` puts adapters on another base than they were trained on, ``convert_pickle`` lets
    pickled weights be read, by an isolated process. Raises UserError.
    """
    from adapterhub_lite.inference.origins import absent_named
    from adapterhub_lite.merging.opening import Allowed
    from adapterhub_lite.merging.reading import plan_recipe

    catalogue, registry = catalogue or get_catalogue(), registry or open_registry()
    allowed = Allowed(any_base=any_base, convert_pickle=convert_pickle)
    with absent_named(registry, catalogue):
        return plan_recipe(recipe, overrides, catalogue, registry, threads, device, allowed)


def run_merge(
    plan: "MergePlan | AdapterPlan",
    *,
    out: Path | str | None = None,
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
    progress: "Progress | None" = None,
) -> "MergeResult":
    """Merge as planned, into the folder ``out`` or as a version of the recipe's name.

    ``progress`` is called with the bytes done and all bytes. Raises MergeError, StorageError.
    """
    from adapterhub_lite.merging.run import run_merge as run

    folder = Path(out) if out is not None else None
    catalogue, registry = catalogue or get_catalogue(), registry or open_registry()
    return run(plan, catalogue, registry, out=folder, progress=progress)


def merge(
    recipe: Mapping[str, Any] | Path | str,
    *,
    out: Path | str | None = None,
    overrides: Iterable[str] = (),
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
    threads: int | None = None,
    any_base: bool = False,
    convert_pickle: bool = False,
) -> "MergeResult":
    """Merge models or adapters by a recipe: into ``out``, or as a version when it has a name.

    The other arguments are those of :func:`plan_merge`. Raises UserError before a number is read,
    MergeError or StorageError later; in either case nothing half-written is visible.
    """
    catalogue, registry = catalogue or get_catalogue(), registry or open_registry()
    plan = plan_merge(
        recipe,
        overrides=overrides,
        registry=registry,
        catalogue=catalogue,
        threads=threads,
        any_base=any_base,
        convert_pickle=convert_pickle,
    )
    return run_merge(plan, out=out, registry=registry, catalogue=catalogue)


def search_merge(
    recipe: Mapping[str, Any] | Path | str,
    *,
    overrides: Iterable[str] = (),
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
    threads: int | None = None,
    progress: "SearchProgress | None" = None,
    any_base: bool = False,
    convert_pickle: bool = False,
) -> "Found":
    """Find the parameters that a merge recipe's ``search`` section names.

    What is found has the recipe to merge by. An interrupted search goes on where it was. The other
    arguments are those of :func:`plan_merge`. Raises UserError, MergeError.
    """
    from adapterhub_lite.inference.origins import absent_named
    from adapterhub_lite.merging.opening import Allowed
    from adapterhub_lite.merging.reading import read_values
    from adapterhub_lite.merging.search import search_merge as search

    values = read_values(recipe, overrides)
    catalogue, registry = catalogue or get_catalogue(), registry or open_registry()
    allowed = Allowed(any_base=any_base, convert_pickle=convert_pickle)
    with absent_named(registry, catalogue):
        return search(
            values, catalogue, registry, threads=threads, progress=progress, allowed=allowed
        )


def plan_compose(
    recipe: Mapping[str, Any] | Path | str,
    *,
    overrides: Iterable[str] = (),
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
) -> "ComposePlan":
    """Check a composition's recipe against plugins, members and their base; no weight is loaded.

    ``recipe`` is a mapping or a YAML file; ``overrides`` are ``a.b=value``, where a parameter of
    the composition may stand alone ("normalise=false"). Raises UserError or NotFoundError.
    """
    from adapterhub_lite.composition.plan import make_plan
    from adapterhub_lite.inference.origins import absent_named

    catalogue, registry = catalogue or get_catalogue(), registry or open_registry()
    with absent_named(registry, catalogue):
        return make_plan(recipe, overrides, catalogue, registry)


def run_compose(
    plan: "ComposePlan",
    *,
    out: Path | str | None = None,
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
) -> "ComposeResult":
    """Compose as planned, into the folder ``out`` or as a version of the recipe's name.

    Raises SelfTestError when the result does not answer as it has to, TrainingError where it learns
    from numbers that are not finite, StorageError.
    """
    from adapterhub_lite.composition.run import run_plan

    folder = Path(out) if out is not None else None
    return run_plan(plan, catalogue or get_catalogue(), registry or open_registry(), folder)


def compose(
    recipe: Mapping[str, Any] | Path | str,
    *,
    out: Path | str | None = None,
    overrides: Iterable[str] = (),
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
) -> "ComposeResult":
    """Compose adapters by a recipe: into ``out``, or as a version when it has a name.

    Raises UserError before a weight is loaded, SelfTestError or StorageError later; in either case
    nothing half-written is visible.
    """
    catalogue, registry = catalogue or get_catalogue(), registry or open_registry()
    plan = plan_compose(recipe, overrides=overrides, registry=registry, catalogue=catalogue)
    return run_compose(plan, out=out, registry=registry, catalogue=catalogue)


def load(
    ref: str,
    *,
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
    device: str = "cpu",
    base: str | None = None,
    any_base: bool = False,
    loader: str | None = None,
) -> "Predictor":
    """Load a version (``name``, ``name@7``, ``name@prod``) or a checked-out folder.

    ``base`` says where an adapter's base lies, if not where it was; ``any_base`` allows another
    one than it was trained on. ``loader`` loads it in another precision than it was trained in
    ("bf16", "nf4"), and answers may differ. Raises NotFoundError, BaseModelError for a base that is
    not found or another, CapabilityError for a loader that does not fit, or IntegrityError when a
    byte is not what was published.
    """
    from adapterhub_lite.inference.lazy import opened_on_use
    from adapterhub_lite.inference.loading import load_predictor

    return load_predictor(
        ref,
        registry or opened_on_use(open_registry),
        catalogue or get_catalogue(),
        device=device,
        base=base,
        any_base=any_base,
        loader=loader,
    )


def deploy(
    ref: str,
    target: str,
    *,
    out: Path | str | None = None,
    params: Mapping[str, Any] | Iterable[str] = (),
    inputs: Sequence[Any] | None = None,
    base: str | None = None,
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
) -> "Deployment":
    """Write a version for a target into the new folder ``out``, and compare it with the version.

    ``target`` is "hf", "onnx" or another that a plugin offers; ``params`` are its parameters, as a
    mapping or as "key=value". ``out`` is ``./NAME-TARGET`` unless given. ``inputs`` are what both
    are asked, fixed texts unless given; ``base`` says where an adapter's base lies, if not where
    it was. Raises UserError for what cannot be deployed so, and SelfTestError when the answers
    differ by more than the target allows; in either case nothing is written.
    """
    from adapterhub_lite.deployment import deploy_version
    from adapterhub_lite.recipes import apply_overrides

    chosen = params if isinstance(params, Mapping) else apply_overrides({}, params)
    name = Path(ref).name.replace("@", "-")
    return deploy_version(
        ref,
        Path(out if out is not None else f"{name}-{target}"),
        target,
        registry or open_registry(),
        catalogue or get_catalogue(),
        params=chosen,
        inputs=inputs,
        base=base,
    )


def verify_deployment(
    folder: Path | str,
    *,
    inputs: Sequence[Any] | None = None,
    base: str | None = None,
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
) -> "Deployment":
    """Check a deployed folder again: its files by their hashes, its answers by the version's.

    The arguments are those of :func:`deploy`. Raises NotFoundError, IntegrityError, SelfTestError.
    """
    from adapterhub_lite.deployment import verify_deployment as verify

    return verify(
        Path(folder),
        registry or open_registry(),
        catalogue or get_catalogue(),
        inputs=inputs,
        base=base,
    )
