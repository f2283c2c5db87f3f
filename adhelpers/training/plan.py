"""How long a training goes on, and how its learning rate changes."""

from dataclasses import dataclass

from adhelpers._shared.checks import check_choice

from .learning_rate import SCHEDULES


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how to train.

    Parameters
    ----------
    epochs : int
        Maximum number of passes over the training images.
    batch_size : int
        Cut to the number of training images where there are fewer.
    learning_rate : float or None
        Initial learning rate of Adam. None, for a model that can do so, finds it by a sweep before
        training, see `find_learning_rate`.
    schedule : {"constant", "cosine", "cyclical"}
        How all learning rates change with the steps, see `learning_rate_factor`.
    cycle_epochs : int
        Epochs of one cycle, for ``"cyclical"``.
    milestones : tuple of int
        Numbers of epochs, rising, after which all learning rates are a tenth of what they were.
    patience : int
        Number of epochs without a better value of what is monitored after which training stops; 0
        never stops early.
    plateau : int
        Number of such epochs after which all learning rates are halved; 0 never halves them.
    checkpoint_every : int
        Epochs between checkpoints.

    Examples
    --------
    >>> from dataclasses import replace
    >>> replace(TrainingPlan(epochs=100, schedule="cosine"), epochs=40).schedule
    'cosine'
    """

    epochs: int = 100
    batch_size: int = 16
    learning_rate: float | None = 1e-3
    schedule: str = "constant"
    cycle_epochs: int = 10
    milestones: tuple[int, ...] = ()
    patience: int = 0
    plateau: int = 0
    checkpoint_every: int = 5

    def __post_init__(self) -> None:
        # A list, as callers and files may give it, would not be equal to a tuple.
        object.__setattr__(self, "milestones", tuple(self.milestones))
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("cycle_epochs", 1),
            ("patience", 0),
            ("plateau", 0),
            ("checkpoint_every", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, not {getattr(self, name)}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        rising = list(self.milestones) == sorted(set(self.milestones))
        if not rising or any(one < 1 for one in self.milestones):
            raise ValueError(
                f"milestones must be rising numbers of epochs from 1, not {self.milestones}"
            )
        check_choice("schedule", self.schedule, SCHEDULES)


@dataclass(frozen=True)
class WeightDecayPlan(TrainingPlan):
    """A training plan for a loss that includes weight decay.

    Parameters
    ----------
    epochs, batch_size, learning_rate, ...
        As in `TrainingPlan`.
    weight_decay : float
        Weight of half the sum of squared weights.

    Examples
    --------
    >>> WeightDecayPlan(epochs=5, weight_decay=1e-4).batch_size
    16
    """

    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be 0 or more, not {self.weight_decay}")
