"""The state of an interrupted training in a file, and training that goes on from it."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.files import replacing

from .learning_rate import learning_rate_factor
from .plan import TrainingPlan

if TYPE_CHECKING:
    from .loop import Trainable

# Raised when what is written below changes.
_FORMAT = 2
_BEST = "best/"


@dataclass
class TrainingState:
    """How far a training has come, but for the weights.

    Attributes
    ----------
    plan : dict
        What a checkpoint must agree in: the plan and the seed, see `begin`.
    rates : dict of str to float
        Initial learning rate of each optimiser.
    epoch : int
        Epochs done.
    best_value, best_epoch
        Lowest value of what is monitored, and where it was.
    halvings, halved_epoch : int
        How often a plateau has halved the learning rates, and when last.
    history : list of dict
        A row for each epoch.
    """

    plan: dict[str, Any]
    rates: dict[str, float]
    epoch: int = 0
    best_value: float | None = None
    best_epoch: int = 0
    halvings: int = 0
    halved_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def begin(cls, plan: TrainingPlan, seed: int, rates: dict[str, float]) -> "TrainingState":
        """The state before the first epoch."""
        # Through JSON, which makes a list of a tuple.
        return cls(json.loads(json.dumps(asdict(plan) | {"seed": seed})), rates)

    def is_over(self, plan: TrainingPlan) -> bool:
        """Whether all epochs are done, or too many without a better value."""
        patient = not plan.patience or self.epoch - self.best_epoch < plan.patience
        return self.epoch >= plan.epochs or not patient

    def halve_on_plateau(self, plan: TrainingPlan) -> None:
        """Halve the learning rates where nothing got better for long enough."""
        waited = self.epoch - max(self.best_epoch, self.halved_epoch)
        if plan.plateau and waited >= plan.plateau:
            self.halvings, self.halved_epoch = self.halvings + 1, self.epoch

    def rate_factor(self, plan: TrainingPlan, step: int, epoch_steps: int) -> float:
        """What each initial learning rate is multiplied by at a step, counted from the start."""
        passed = sum(step >= milestone * epoch_steps for milestone in plan.milestones)
        scheduled = learning_rate_factor(
            plan.schedule, step, plan.epochs * epoch_steps, plan.cycle_epochs * epoch_steps
        )
        return 0.1**passed * 0.5**self.halvings * scheduled

    def is_best(self, value: float) -> bool:
        """Whether ``value``, of the epoch just done, is the lowest so far; it is kept if so."""
        if self.best_value is not None and not value < self.best_value:
            return False
        self.best_value, self.best_epoch = value, self.epoch
        return True


def _variables(trainable: "Trainable") -> Iterator[tuple[str, keras.Variable]]:
    for kind, owners in (("network", trainable.networks), ("optimizer", trainable.optimizers)):
        for name, owner in owners.items():
            for index, variable in enumerate(owner.variables):
                yield f"{kind}/{name}/{index}", variable


def network_values(trainable: "Trainable") -> dict[str, NDArray[Any]]:
    """Copies of all networks' variables by name."""
    return {
        name: variable.value.numpy()
        for name, variable in _variables(trainable)
        if name.startswith("network/")
    }


def assign(trainable: "Trainable", values: dict[str, NDArray[Any]]) -> None:
    """Set those variables of networks and optimisers that ``values`` names."""
    for name, variable in _variables(trainable):
        if name in values:
            variable.assign(values[name])


def write_checkpoint(
    path: str | Path,
    trainable: "Trainable",
    best: dict[str, NDArray[Any]],
    state: TrainingState,
) -> None:
    """Write all weights, the best ones, the optimisers' variables and the state."""
    arrays = {name: variable.value.numpy() for name, variable in _variables(trainable)}
    arrays |= {_BEST + name: value for name, value in best.items()}
    stored = {"format": _FORMAT, "state": asdict(state)}
    arrays["state"] = np.frombuffer(json.dumps(stored).encode(), dtype=np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_checkpoint(
    path: str | Path, trainable: "Trainable", begun: TrainingState
) -> tuple[dict[str, NDArray[Any]], TrainingState]:
    """Set the variables to those of a checkpoint.

    Parameters
    ----------
    path : str or Path
    trainable : Trainable
    begun : TrainingState
        That before the first epoch; the checkpoint must have been written for the same plan.

    Returns
    -------
    best : dict of str to ndarray
        The best weights so far, as `assign` takes them.
    state : TrainingState

    Raises
    ------
    ValueError
        If the file is damaged, or was written by another version of the package, for another plan
        or for another architecture.
    """
    arrays, stored = _read(path)
    if stored.get("format") != _FORMAT:
        raise ValueError(
            f"{path} is a checkpoint of another version of adhelpers. "
            "Remove it to train from the start"
        )
    state = _state(path, stored.get("state"), begun)
    if state.plan != begun.plan:
        raise ValueError(
            f"{path} was written with another training plan ({state.plan}, now {begun.plan}). "
            "Remove it to train from the start"
        )
    best = {
        name.removeprefix(_BEST): arrays.pop(name)
        for name in list(arrays)
        if name.startswith(_BEST)
    }
    wrong = [
        name
        for name, variable in _variables(trainable)
        if not _fits(arrays.get(name), variable)
        or (best and name.startswith("network/") and not _fits(best.get(name), variable))
    ]
    if wrong:
        raise ValueError(
            f"{path} belongs to another architecture ({len(wrong)} arrays differ, the first is "
            f"{wrong[0]}). Remove it to train from the start"
        )
    assign(trainable, arrays)
    return best, state


def _read(path: str | Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of a checkpoint and what stands beside them."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        stored = json.loads(arrays.pop("state").tobytes())
        if not isinstance(stored, dict):
            raise TypeError("its state is no dict")
    # An archive that is empty, cut off or damaged raises a dozen kinds of errors.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(
            f"{path} is not a readable checkpoint ({error or type(error).__name__}). "
            "Remove it to train from the start"
        ) from error
    return arrays, stored


def _fits(values: NDArray[Any] | None, variable: keras.Variable) -> bool:
    return values is not None and values.shape == tuple(variable.shape)


def _state(path: str | Path, stored: Any, begun: TrainingState) -> TrainingState:
    """The state that a checkpoint holds, with all its fields and nothing else in them."""
    names = {one.name for one in fields(TrainingState)}
    if not isinstance(stored, dict) or set(stored) != names:
        raise ValueError(
            f"{path} does not hold the whole state of a training ({', '.join(sorted(names))}). "
            "Remove it to train from the start"
        )
    state = TrainingState(**stored)
    wrong = [
        name
        for name in sorted(names - {"best_value"})
        if type(getattr(state, name)) is not type(getattr(begun, name))
    ]
    if type(state.best_value) not in (float, type(None)):
        wrong.append("best_value")
    if wrong or state.rates.keys() != begun.rates.keys():
        raise ValueError(
            f"{path} holds something else where the {(wrong or ['rates'])[0]} of its training "
            "should be. Remove it to train from the start"
        )
    return state


def remove_checkpoint(checkpoint: str | Path | None) -> None:
    """Remove a checkpoint that is no longer needed, and the history beside it.

    None, or one that is not there, is no error.
    """
    if checkpoint is not None:
        for leftover in (Path(checkpoint), Path(checkpoint).with_suffix(".csv")):
            leftover.unlink(missing_ok=True)
