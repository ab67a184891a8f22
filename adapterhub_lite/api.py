"""The Python API: what the command line does, as functions."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import get_catalogue

if TYPE_CHECKING:
    from adapterhub_lite.inference import Predictor
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
    from adapterhub_lite.recipes import apply_overrides, read_recipe
    from adapterhub_lite.training.plan import make_plan

    values = recipe if isinstance(recipe, Mapping) else read_recipe(Path(recipe))
    return make_plan(
        apply_overrides(values, overrides),
        catalogue or get_catalogue(),
        registry or open_registry(),
    )


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


def load(
    ref: str,
    *,
    registry: "Registry | None" = None,
    catalogue: Catalogue | None = None,
    device: str = "cpu",
    base: str | None = None,
    any_base: bool = False,
) -> "Predictor":
    """Load a version (``name``, ``name@7``, ``name@prod``) or a checked-out folder.

    ``base`` says where an adapter's base lies, if not where it was; ``any_base`` allows another
    one than it was trained on. Raises NotFoundError, BaseModelError for a base that is not found
    or another, or IntegrityError when a byte is not what was published.
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
    )
