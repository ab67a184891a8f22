"""Finds a merge's parameters by the score of the merged model on validation rows.

Each trial merges the whole recipe, loads the result as a version would be, and scores it with the
project's own metrics. Trials are kept in a journal, so that an interrupted search goes on.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.reading import read_table
from adapterhub_lite.errors import MergeError, MissingDependencyError, RecipeError
from adapterhub_lite.evaluation import evaluate_scored, fitting_metrics, require_known_labels
from adapterhub_lite.inference.loading import load_predictor
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.merging.adapters.plan import AdapterPlan
from adapterhub_lite.merging.opening import NOTHING, Allowed
from adapterhub_lite.merging.plan import MergePlan
from adapterhub_lite.merging.reading import plan_recipe
from adapterhub_lite.merging.run import run_merge
from adapterhub_lite.recipes import MergeRecipe, validate
from adapterhub_lite.recipes.merge import SearchSection

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

    from adapterhub_lite.data.table import RowSet
    from adapterhub_lite_registry import Registry

JOURNAL: Final = "trials.jsonl"
INSTALL: Final = "pip install 'adapterhub-lite[search]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One trial: the values tried, and the metric's value (None: they could not be merged)."""

    number: int
    values: Mapping[str, float]
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found: ``recipe`` has the best values in it, and no search any more."""

    recipe: Mapping[str, Any]
    best: Tried
    metric: str
    greater_is_better: bool
    trials: tuple[Tried, ...]
    folder: Path


Progress = Callable[[int, int, str], None]
"""Called with the trials done, all trials, and how the best of them scored."""


def search_merge(
    values: Mapping[str, Any],
    catalogue: Catalogue,
    registry: "Registry",
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    allowed: Allowed = NOTHING,
) -> Found:
    """Search as the recipe's ``search`` section says; the same search goes on where it was.

    Raises RecipeError for a recipe without one, or with a path that is not in it,
    MissingDependencyError without optuna, MergeError when no trial could be merged.
    """
    recipe = validate(MergeRecipe, values)
    if recipe.search is None:
        raise RecipeError("the recipe has no `search`", field="search", hint="see docs/merging.md")
    plain = {key: value for key, value in values.items() if key not in ("search", "publish")}
    folder = registry.home / "runs" / f"search-{_digest(values)}"
    folder.mkdir(parents=True, exist_ok=True)
    trying = _Trying(plain, recipe.search, catalogue, registry, folder, threads, allowed)
    study = _study(recipe, folder, trying.greater_is_better)
    left = recipe.search.trials - len(_ended(study))

    def tell(study: "Study", _: "FrozenTrial") -> None:
        if progress is not None:
            all_trials = recipe.search.trials if recipe.search else 0
            progress(len(_ended(study)), all_trials, _best(study))

    if left > 0:
        study.optimize(trying, n_trials=left, callbacks=[tell])
    trials = tuple(_tried(trial, recipe.search) for trial in _ended(study))
    scored = [trial for trial in trials if trial.score is not None]
    if not scored:
        raise MergeError("no trial could be merged", hint="look at the bounds under search.ranges")
    best = next(trial for trial in trials if trial.number == study.best_trial.number)
    return Found(
        recipe=laid_over({**plain, **_kept(values)}, best.values),
        best=best,
        metric=trying.metric,
        greater_is_better=trying.greater_is_better,
        trials=trials,
        folder=folder,
    )


class _Trying:
    """Merges with a trial's values and scores the result."""

    def __init__(
        self,
        values: Mapping[str, Any],
        search: SearchSection,
        catalogue: Catalogue,
        registry: "Registry",
        folder: Path,
        threads: int | None,
        allowed: Allowed,
    ) -> None:
        self._values, self._search = values, search
        self._catalogue, self._registry = catalogue, registry
        self._folder, self._threads, self._allowed = folder, threads, allowed
        self._rows: RowSet | None = None
        middle = {path: sum(bounds) / 2 for path, bounds in search.ranges.items()}
        plan = self._plan(middle)  # a wrong path or parameter is told before the first trial
        info = next((model.info for model in plan.opened.values() if model.info), None)
        if info is None:
            raise RecipeError(
                "a search scores the merged model, and these models have no task",
                field="search",
                hint="merge versions that were trained or imported here",
            )
        specs = fitting_metrics(catalogue, info.task, only=[search.metric] if search.metric else [])
        for file in search.data.training_files.values():
            read_table(
                file, catalogue, reader=search.data.format, encoding=search.data.encoding
            )  # rows that cannot be read are told before the first merge
        self.metric = specs[0].name
        self.greater_is_better = specs[0].greater_is_better

    def __call__(self, trial: "Trial") -> float:
        """Return the metric for a trial's values, made worse by the penalty."""
        from optuna import TrialPruned

        tried = {
            path: trial.suggest_float(path, low, high)
            for path, (low, high) in self._search.ranges.items()
        }
        place = self._folder / f"trial-{trial.number}"
        try:
            plan = self._plan(tried)
            run_merge(plan, self._catalogue, self._registry, out=place)
            score = self._score(load_predictor(str(place), self._registry, self._catalogue))
        except MergeError as error:
            raise TrialPruned(error.message) from error
        finally:
            shutil.rmtree(place, ignore_errors=True)
        trial.set_user_attr("score", score)
        penalty = self._search.l1 * sum(abs(value) for value in tried.values())
        return score - penalty if self.greater_is_better else score + penalty

    def _plan(self, tried: Mapping[str, float]) -> MergePlan | AdapterPlan:
        values = laid_over(self._values, tried)
        return plan_recipe(
            values, (), self._catalogue, self._registry, self._threads, "cpu", self._allowed
        )

    def _score(self, predictor: Predictor) -> float:
        if self._rows is None:
            self._rows = self._read(predictor)
        scored = predictor.score(self._rows)
        evaluation = evaluate_scored(
            scored,
            self._rows,
            predictor.classes,
            self._catalogue,
            task=predictor.task,
            only=[self.metric],
        )
        if not evaluation.metrics:
            raise RecipeError(
                f"{self.metric} is not defined on the validation rows: {evaluation.notes[0]}",
                field="search.metric",
            )
        return evaluation.metrics[0].value

    def _read(self, predictor: Predictor) -> "RowSet":
        from adapterhub_lite.data.clean import UNUSABLE, clean
        from adapterhub_lite.data.prepare import load

        chosen = self._search.data.model_copy(update={"multi_label": predictor.multi_label})
        rows = clean(load(chosen, self._catalogue, rows=predictor.rows_kind).train, UNUSABLE).rows
        require_known_labels(rows, predictor.classes)
        return rows


def laid_over(values: Mapping[str, Any], tried: Mapping[str, float]) -> dict[str, Any]:
    """Return a recipe with numbers put at their paths: ``models.0.weight``, ``strategy.density``.

    Raises RecipeError for a path that does not lead into the recipe.
    """
    result: dict[str, Any] = json.loads(json.dumps(values))
    for path, value in tried.items():
        *above, last = path.split(".")
        target: Any = result
        for key in above:
            target = _below(target, key, path)
        if isinstance(target, list):
            raise RecipeError(f"search.ranges: {path!r} ends at a list", field="search.ranges")
        target[last] = value
    return result


def _below(target: Any, key: str, path: str) -> Any:
    """Step into a mapping or list; a bare name of a model or strategy becomes a mapping."""
    try:
        position: Any = int(key) if isinstance(target, list) else key
        found = target[position]
    except (KeyError, IndexError, ValueError):
        raise RecipeError(
            f"search.ranges: there is no {key!r} on the way to {path!r}", field="search.ranges"
        ) from None
    if isinstance(found, str):
        found = {"ref" if isinstance(target, list) else "name": found}
        target[position] = found
    if not isinstance(found, dict | list):
        raise RecipeError(f"search.ranges: {path!r} leads through a value", field="search.ranges")
    return found


def _study(recipe: MergeRecipe, folder: Path, greater_is_better: bool) -> "Study":
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise MissingDependencyError("optuna, which searches,", install=INSTALL) from error
    assert recipe.search is not None, "looked at before"
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what a trial raises is told once, by us
    samplers: Mapping[str, Callable[..., Any]] = {
        "tpe": optuna.samplers.TPESampler,
        "cmaes": optuna.samplers.CmaEsSampler,
    }
    return optuna.create_study(
        study_name="merge",
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        sampler=samplers[recipe.search.sampler](seed=recipe.seed),
        direction="maximize" if greater_is_better else "minimize",
        load_if_exists=True,
    )


def _ended(study: "Study") -> "list[FrozenTrial]":
    """Return the trials that were merged or could not be; one that was stopped counts for none."""
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _tried(trial: "FrozenTrial", search: SearchSection) -> Tried:
    values = {path: trial.params[path] for path in search.ranges if path in trial.params}
    return Tried(number=trial.number, values=values, score=trial.user_attrs.get("score"))


def _best(study: "Study") -> str:
    try:
        return f"{study.best_value:.4g}"
    except ValueError:  # none could be merged yet
        return "none"


def _kept(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: values[key] for key in ("publish",) if key in values}


def _digest(values: Mapping[str, Any]) -> str:
    """Name a search by its recipe, whatever it is published as and however many trials it has."""
    said = {key: value for key, value in values.items() if key not in ("publish", "alias")}
    search = {key: value for key, value in dict(said["search"]).items() if key != "trials"}
    text = json.dumps({**said, "search": search}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
