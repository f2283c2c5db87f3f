"""How the learning rate changes while training, and how a good one is found before it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Floats
from adhelpers._shared.progress import progress

if TYPE_CHECKING:
    from .loop import Trainable

SCHEDULES = ("constant", "cosine", "cyclical")
# The valleys of a cycle, as a share of the learning rate.
_LOWEST_OF_CYCLE = 0.1
# A sweep has diverged where the smoothed loss is this multiple of its lowest value.
_DIVERGENCE = 4.0


def learning_rate_factor(schedule: str, step: int, steps: int, cycle_steps: int) -> float:
    """What the learning rate is multiplied by at a step.

    Parameters
    ----------
    schedule : {"constant", "cosine", "cyclical"}
        ``"cosine"`` falls from 1 to 0 over all steps (Loshchilov and Hutter, ICLR 2017);
        ``"cyclical"`` rises from 0.1 to 1 and falls back in straight lines, again and again (Smith,
        "Cyclical learning rates for training neural networks", WACV 2017).
    step : int
        From 0.
    steps : int
        Number of steps of the whole training.
    cycle_steps : int
        Number of steps of one cycle.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> [round(learning_rate_factor("cosine", step, 4, 1), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    >>> [round(learning_rate_factor("cyclical", step, 100, 4), 3) for step in range(5)]
    [0.1, 0.55, 1.0, 0.55, 0.1]
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * step / steps))
    if schedule == "cyclical":
        position = (step % cycle_steps) / cycle_steps
        return _LOWEST_OF_CYCLE + (1 - _LOWEST_OF_CYCLE) * (1 - abs(2 * position - 1))
    return 1.0


@dataclass(frozen=True)
class LearningRateSweep:
    """What the loss did while the learning rate rose.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each step: ``learning_rate``, ``loss``, ``smoothed``.
    suggested : float
        The rate at which the smoothed loss had fallen by ``fall`` of its range.
    fall : float
    diverged : bool
        Whether the sweep ended because the loss ran away, and not because the highest rate was
        reached.
    """

    table: pd.DataFrame
    suggested: float
    fall: float
    diverged: bool


def suggested_rate(rates: ArrayLike, losses: ArrayLike, fall: float = 0.85) -> float:
    """The first rate at which the loss has fallen by a share of its whole fall.

    The whole fall goes from the highest value to the lowest one after it.

    Parameters
    ----------
    rates, losses : array_like of float, shape (n,)
        Rising rates and the (smoothed) loss at each.
    fall : float
        In (0, 1].

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the loss never falls, or ``fall`` is out of range.

    Examples
    --------
    >>> suggested_rate([1e-4, 1e-3, 1e-2, 1e-1], [1.0, 0.6, 0.1, 5.0])
    0.01
    """
    if not 0 < fall <= 1:
        raise ValueError(f"fall must be in (0, 1], such as 0.85; got {fall}")
    rates, losses = np.asarray(rates, dtype=float), np.asarray(losses, dtype=float)
    lowest = int(np.argmin(losses))
    highest = int(np.argmax(losses[: lowest + 1]))
    if lowest == highest:
        raise ValueError(
            "The loss never fell during the sweep of the learning rate: sweep from a lower rate, "
            "or give learning_rate as a number"
        )
    wanted = losses[highest] - fall * (losses[highest] - losses[lowest])
    return float(rates[highest + int(np.argmax(losses[highest:] <= wanted))])


def find_learning_rate(
    trainable: "Trainable",
    train_images: Floats,
    *,
    batch_size: int,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 120,
    fall: float = 0.85,
    smoothing: float = 0.8,
    seed: int = 0,
    show_progress: bool = True,
) -> LearningRateSweep:
    """Raise the learning rate from step to step and see where the loss falls.

    Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3. The rates
    rise exponentially; the sweep ends early where the loss is not finite or, smoothed, four times
    its lowest value. All weights and optimisers are as before afterwards.

    Parameters
    ----------
    trainable : Trainable
        Its ``train_step`` must return ``"loss"``.
    train_images : ndarray of float32, shape (n, h, w, c)
    batch_size : int
        Cut to the number of images where there are fewer.
    lowest, highest : float
        The first and the last learning rate.
    steps : int
    fall : float
        Share of the loss's fall at which the suggested rate lies.
    smoothing : float
        Weight of the past in the running mean of the loss, in [0, 1).
    seed : int
        Of the batches and of the step's own randomness.
    show_progress : bool

    Raises
    ------
    ValueError
        If a parameter is out of range, or the loss never falls.
    """
    if not 0 < lowest < highest:
        raise ValueError(
            "lowest and highest must be rising and above 0, such as 1e-6 and 1; "
            f"got {lowest} and {highest}"
        )
    if steps < 10:
        raise ValueError(f"steps must be at least 10, better 100; got {steps}")
    batch_size = min(batch_size, len(train_images))
    train_step = tf.function(
        trainable.train_step,
        input_signature=(
            tf.TensorSpec((batch_size, *train_images.shape[1:]), tf.float32),
            tf.TensorSpec((2,), tf.int32),
        ),
        autograph=False,
    )
    random = np.random.default_rng((seed, 1))
    rows: list[dict[str, float]] = []
    running, diverged = 0.0, False
    with (
        _restoring(trainable),
        progress(total=steps, description="learning rate", enabled=show_progress) as bar,
    ):
        for step, rate in enumerate(np.geomspace(lowest, highest, steps)):
            for optimizer in trainable.optimizers.values():
                optimizer.learning_rate.assign(rate)
            batch = train_images[random.choice(len(train_images), batch_size, replace=False)]
            drawn = tf.constant((seed, step), tf.int32)
            loss = float(train_step(tf.constant(batch), drawn)["loss"])
            running = smoothing * running + (1 - smoothing) * loss
            # Without the division the running mean would start near zero.
            smoothed = running / (1 - smoothing ** (step + 1))
            diverged = _has_diverged(loss, smoothed, rows)
            if diverged:
                break
            rows.append({"learning_rate": float(rate), "loss": loss, "smoothed": smoothed})
            bar.update(1)
            bar.set_postfix_str(f"rate {rate:.1e}, loss {smoothed:.4g}")
    if not rows:
        raise ValueError(
            "The loss is not finite at the lowest learning rate of the sweep, "
            f"{lowest:g}: the images or the model are at fault"
        )
    table = pd.DataFrame(rows)
    suggested = suggested_rate(table["learning_rate"], table["smoothed"], fall)
    return LearningRateSweep(table, suggested, fall, diverged)


@contextmanager
def _restoring(trainable: "Trainable") -> Iterator[None]:
    """Give all networks and optimisers their values back after the body."""
    variables = [
        variable
        for owner in (*trainable.networks.values(), *trainable.optimizers.values())
        for variable in owner.variables
    ]
    before = [variable.value.numpy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def _has_diverged(loss: float, smoothed: float, rows: list[dict[str, float]]) -> bool:
    """Whether the loss is not finite, or far above its lowest value so far."""
    lowest = min((row["smoothed"] for row in rows), default=math.inf)
    return not math.isfinite(loss) or smoothed > _DIVERGENCE * lowest
