"""Gradient descent, one way for every task and every method.

The loop is ours, the parts are the field's: torch's and transformers' optimisers, the Trainer's
schedules and defaults, PEFT's models as they are. The Trainer itself is not used, because what is
asked of a run here goes against its grain: its accumulation averages means (:mod:`.step`), its
checkpoints are pickles (:mod:`.checkpoint`), its data order lives in a generator that a resumed run
has to wind forward, and it has no place for mixtures and curricula (:mod:`.order`). With equal
batches, loop and Trainer take the same steps; a test holds them together.
"""

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from adapterhub_lite.errors import CapabilityError, DataError
from adapterhub_lite.finetuning.checkpoint import Checkpoints, digest_of
from adapterhub_lite.finetuning.learner import Feature, Learner
from adapterhub_lite.finetuning.memory import explaining_memory, training_mode, way_out
from adapterhub_lite.finetuning.optimisation import (
    Parameters,
    make_optimiser,
    rate_factors,
    set_rate,
)
from adapterhub_lite.finetuning.order import DataOrder, make_order
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.finetuning.precision import Precision
from adapterhub_lite.finetuning.randomness import seeded, undisturbed
from adapterhub_lite.finetuning.settings import refuse_settings
from adapterhub_lite.finetuning.state import TrainingState
from adapterhub_lite.finetuning.step import Stepper
from adapterhub_lite.finetuning.tracking import Reporter, reporting
from adapterhub_lite.protocols import Attached, Run, TrainingData


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a training went; the model holds the weights that were kept.

    ``validation`` are the kept weights' metrics, those of ``best_step``; empty and None without
    validation rows. ``train_loss`` is the mean a unit over the whole training. ``seconds`` and
    ``tokens_per_second`` count training steps only, and of a resumed run those since.
    """

    steps: int
    epochs: float
    best_step: int | None
    reason: str
    validation: Mapping[str, float]
    learning_rate: float
    train_loss: float
    seconds: float
    tokens_per_second: float


def fit(
    attached: Attached,
    learner: Learner,
    data: TrainingData,
    params: TrainerParams,
    run: Run,
    row_weights: Sequence[float] | None = None,
) -> Fitted:
    """Train what ``attached`` names as trainable, in place.

    ``row_weights`` (training rows,) say in which proportion rows are drawn; None takes each once
    an epoch. The weights depend on the arguments and ``run.seed`` alone, and a resumed run's are
    those of an uninterrupted one, bit by bit on one machine. The model is left in evaluation mode
    and the global random generators as they were. With ``run.resume`` training goes on from the
    last complete checkpoint in ``run.folder / "checkpoints"``.

    Raises CapabilityError and RecipeError for what cannot be done as asked, DataError without
    anything to train on, MissingDependencyError, NonFiniteError, and TrainingError when memory
    runs out.
    """
    refuse_settings(params, data)
    _refuse(attached, learner, params, run)
    with (
        reporting(run, params.report_to) as reporter,
        seeded(run.seed),
        explaining_memory(way_out(params)),
        training_mode(attached.model, params),
    ):
        features = learner.features(data.train)
        if not features:
            raise DataError("there is nothing to train on: the rows gave no features")
        order = make_order(features, data, params, run.seed, row_weights)
        training = _Training(attached, learner, data, params, run, features, order)
        if attached.on_start:
            attached.on_start(training.total)
        return training.run(reporter)


def _refuse(attached: Attached, learner: Learner, params: TrainerParams, run: Run) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise CapabilityError(
            "training by several processes is not supported: each would train on its own",
            hint="start one process",
        )
    if not attached.trainable:
        raise CapabilityError("no parameter learns", hint="choose a method that trains some")
    if params.gradient_accumulation > 1 and not learner.separable:
        raise CapabilityError(
            "gradient accumulation changes this loss: rows of a batch are compared with each other",
            hint="raise batch_size instead, with gradient_checkpointing: true if memory is short",
        )
    if attached.on_step and (params.early_stopping or params.checkpoint_every or run.resume):
        raise CapabilityError(
            "this method plans its steps to the end and keeps a state of its own: it cannot stop "
            "early or be resumed",
            hint="leave early_stopping and checkpoint_every out, or use method: lora",
        )


class _Training:
    """One training: what does not change while it runs, and its steps over the state that does."""

    def __init__(
        self,
        attached: Attached,
        learner: Learner,
        data: TrainingData,
        params: TrainerParams,
        run: Run,
        features: Sequence[Feature],
        order: DataOrder,
    ) -> None:
        self._model = attached.model
        self._learner = learner
        self._data = data
        self._params = params
        self._run = run
        self._features = features
        self._order = order
        self._rate = params.learning_rate or attached.learning_rate
        self.total = params.max_steps or math.ceil(params.epochs * order.steps_per_epoch)
        self._factor = rate_factors(params, self.total)
        self._why_last = _why_last(attached, data, params)
        parameters = _trainable(attached)
        self._stepper = self._make_stepper(parameters, attached)
        scaler = self._stepper.precision.scaler
        self._state = TrainingState(parameters, self._stepper.optimiser, scaler)
        self._seconds = 0.0
        self._tokens = 0

    def _make_stepper(self, parameters: Parameters, attached: Attached) -> Stepper:
        learning = list(parameters.values())
        return Stepper(
            model=self._model,
            learner=self._learner,
            parameters=learning,
            optimiser=make_optimiser(parameters, self._params, self._rate),
            precision=Precision(self._params.precision, learning[0].device, learning),
            max_grad_norm=self._params.max_grad_norm,
            on_step=attached.on_step,
            penalty=attached.penalty,
        )

    def run(self, reporter: Reporter) -> Fitted:
        """Train to the end, from the beginning or from the last checkpoint."""
        state, params = self._state, self._params
        checkpoints = self._open_checkpoints(reporter)
        while state.progress.step < self.total and not state.watch.out_of_patience(params):
            self._train_step(reporter)
            if self._is_due(self._evaluation_interval):
                self._evaluate(reporter)
            if self._is_due(params.checkpoint_every):
                state.save(checkpoints)
        return self._finish()

    def _open_checkpoints(self, reporter: Reporter) -> Checkpoints:
        """Go back to the last checkpoint if the run is to go on, else remove what there is."""
        needed = self._run.resume or self._params.checkpoint_every > 0
        identity = self._identity() if needed else {}
        checkpoints = Checkpoints(self._run.folder / "checkpoints", identity)
        if not self._run.resume:
            checkpoints.clear()
            return checkpoints
        last = checkpoints.latest()
        if last is not None:
            self._state.restore(last)
        reporter.resumed(self._state.progress.step)
        return checkpoints

    def _identity(self) -> dict[str, Any]:
        """Return what tells this training from another."""
        validation = self._data.validation
        shapes = [[name, *p.shape] for name, p in self._state.parameters.items()]
        return {
            "params": self._params.that_matter(),
            "learning_rate": self._rate,
            "seed": self._run.seed,
            "steps": self.total,
            "features": len(self._features),
            "training data": digest_of(self._features),
            "data order": digest_of(self._order.epoch(0).tolist()),
            "validation data": digest_of([] if validation is None else validation.records),
            "trainable parameters": digest_of(shapes),
        }

    @property
    def _evaluation_interval(self) -> int:
        if self._data.validation is None:
            return 0
        every = self._params.evaluate_every
        return self._order.steps_per_epoch if every == "epoch" else every

    def _is_due(self, interval: int) -> bool:
        """Say whether what happens every ``interval`` steps, and at the end, happens now."""
        step = self._state.progress.step
        return interval > 0 and (step % interval == 0 or step == self.total)

    def _train_step(self, reporter: Reporter) -> None:
        start = time.perf_counter()
        progress = self._state.progress
        rate = self._rate * self._factor(progress.step)
        set_rate(self._stepper.optimiser, rate)
        chosen = self._order.step(progress.step)
        features = [self._features[i] for i in chosen]
        size = self._params.batch_size
        micro_batches = [features[at : at + size] for at in range(0, len(features), size)]
        figures = self._stepper.step(progress.step + 1, micro_batches)
        progress.add(figures.loss, figures.units)
        self._seconds += time.perf_counter() - start
        self._tokens += int(self._order.lengths[chosen].sum())
        if self._is_due(self._params.log_every):
            loss, norm = progress.take_point(), figures.grad_norm
            reporter.step(progress.step, self.total, loss=loss, learning_rate=rate, grad_norm=norm)

    def _evaluate(self, reporter: Reporter) -> None:
        """Score the validation rows; leaves no trace in what is drawn afterwards."""
        assert self._data.validation is not None, "evaluations are due only with rows"
        state = self._state
        self._model.eval()
        with undisturbed(), torch.no_grad():
            metrics = self._learner.validate(self._model, self._data.validation)
        self._model.train()
        reporter.evaluated(state.progress.step, metrics)
        is_best = state.watch.evaluated(state.progress.step, metrics, self._params.min_delta)
        if is_best and not self._why_last:
            state.keep_best()

    def _finish(self) -> Fitted:
        """Put the weights in place that are to be kept, and say which they are."""
        progress, watch, params = self._state.progress, self._state.watch, self._params
        kept_step, metrics = progress.step, watch.last
        if self._state.best:
            kept_step, metrics = watch.best_step, watch.metrics
            self._state.restore_best()
        return Fitted(
            steps=progress.step,
            epochs=progress.step / self._order.steps_per_epoch,
            best_step=kept_step if metrics else None,
            reason=watch.reason(params, progress.step, self._why_last),
            validation=metrics,
            learning_rate=self._rate,
            train_loss=progress.mean_loss,
            seconds=self._seconds,
            tokens_per_second=self._tokens / self._seconds if self._seconds else 0.0,
        )


def _why_last(attached: Attached, data: TrainingData, params: TrainerParams) -> str:
    """Return why the last weights are kept and no evaluation's; empty if the best are."""
    if data.validation is None:
        return "there are no validation rows"
    if not params.keep_best:
        return "keep_best is off"
    return "this method plans its steps to the end" if attached.on_step else ""


def _trainable(attached: Attached) -> dict[str, nn.Parameter]:
    found = {
        name: parameter
        for name, parameter in attached.model.named_parameters()
        if name in attached.trainable
    }
    unknown = attached.trainable - found.keys()
    assert not unknown, f"the model has no parameter {min(unknown)!r}"
    return found
