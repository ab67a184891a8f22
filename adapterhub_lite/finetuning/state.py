"""Everything that changes while a training runs: what a checkpoint has to hold."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import torch

from adapterhub_lite.finetuning.checkpoint import Checkpoint, Checkpoints
from adapterhub_lite.finetuning.optimisation import (
    Parameters,
    optimiser_state,
    restore_optimiser,
)
from adapterhub_lite.finetuning.randomness import RandomState, random_state, restore_random
from adapterhub_lite.finetuning.stopping import Watch

Tensors = dict[str, torch.Tensor]


@dataclass(slots=True)
class Progress:
    """How far training is: sums since the beginning, and since the last point of the curves."""

    step: int = 0
    loss: float = 0.0
    units: float = 0.0
    point_loss: float = 0.0
    point_units: float = 0.0

    def add(self, loss: float, units: float) -> None:
        """Count a step in."""
        self.step += 1
        self.loss += loss
        self.units += units
        self.point_loss += loss
        self.point_units += units

    def take_point(self) -> float:
        """Return the mean loss since the last point, and begin another."""
        mean = self.point_loss / self.point_units if self.point_units else 0.0
        self.point_loss = self.point_units = 0.0
        return mean

    @property
    def mean_loss(self) -> float:
        """The mean loss of a unit since the beginning."""
        return self.loss / self.units if self.units else 0.0


@dataclass(slots=True)
class TrainingState:
    """The parameters that learn, what the optimiser knows of them, and where training stands.

    ``best`` holds the parameters of the best evaluation, in main memory.
    """

    parameters: Parameters
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    progress: Progress = field(default_factory=Progress)
    watch: Watch = field(default_factory=Watch)
    best: Tensors = field(default_factory=dict)

    def keep_best(self) -> None:
        """Remember the present parameters."""
        self.best = {name: p.detach().cpu().clone() for name, p in self.parameters.items()}

    def restore_best(self) -> None:
        """Put the remembered parameters back."""
        self._put(self.best)

    def save(self, checkpoints: Checkpoints) -> None:
        """Write all of it, and the state of the global random generators."""
        random = random_state()
        remembered, numbers = optimiser_state(self.optimiser, self.parameters)
        parts: dict[str, Mapping[str, torch.Tensor]] = {
            "parameter": {name: p.detach() for name, p in self.parameters.items()},
            "best": self.best,
            "optimiser": remembered,
            "random": random.tensors,
        }
        tensors = {f"{part}/{name}": t for part, held in parts.items() for name, t in held.items()}
        values = {
            "progress": asdict(self.progress),
            "watch": asdict(self.watch),
            "optimiser": numbers,
            "random": random.numbers,
            "scaler": self.scaler.state_dict(),
        }
        checkpoints.save(self.progress.step, tensors, values)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to what :meth:`save` wrote."""
        parts: dict[str, Tensors] = {}
        for full_name, tensor in checkpoint.tensors.items():
            part, _, name = full_name.partition("/")
            parts.setdefault(part, {})[name] = tensor
        values = checkpoint.values
        self._put(parts["parameter"])
        remembered = parts.get("optimiser", {})
        restore_optimiser(self.optimiser, self.parameters, remembered, values["optimiser"])
        self.best = parts.get("best", {})
        self.progress = Progress(**values["progress"])
        self.watch = Watch(**values["watch"])
        self.scaler.load_state_dict(values["scaler"])
        restore_random(RandomState(values["random"], parts["random"]))

    def _put(self, weights: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])
