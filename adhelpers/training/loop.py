"""The training loop: history, early stopping, best weights, resumption that is exact to the bit."""

import importlib.util
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from adhelpers._shared.arrays import Floats, Integers
from adhelpers._shared.files import write_text
from adhelpers._shared.progress import progress

from .checkpoints import (
    TrainingState,
    assign,
    network_values,
    read_checkpoint,
    write_checkpoint,
)
from .plan import TrainingPlan

# Keras' dtype policy for each number format of the layers; weights are float32 in all of them.
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


class Trainable(ABC):
    """What the loop needs to know of a model. Where it says images, vectors (n, d) are allowed too.

    Attributes
    ----------
    networks : dict of str to keras.Model
        All networks whose weights are trained and kept.
    optimizers : dict of str to keras.optimizers.Optimizer
        All of them, already built, each with a plain number as its learning rate: schedules are the
        plan's affair.
    monitor : str or None
        Name of the column of the history that should fall; the weights of its lowest epoch are
        kept. None keeps the last ones: the losses of two players do not fall.
    """

    networks: dict[str, keras.Model]
    optimizers: dict[str, keras.optimizers.Optimizer]
    monitor: str | None = None

    @abstractmethod
    def train_step(self, images: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """One update on a batch (n, h, w, c); returns scalars by name.

        ``seed`` (2,) is the only source of randomness. A model that learns from labels takes those
        of the batch, float32 (n,), as a third argument.
        """

    @abstractmethod
    def validation_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Losses on a batch without an update, without randomness. Returns scalars by name."""

    def after_epoch(self, epoch: int) -> None:  # noqa: B027  # most models do nothing here
        """What else is to be done after an epoch (from 1), before its checkpoint; nothing here."""


def train(
    trainable: Trainable,
    train_images: Floats,
    validation_images: Floats | None,
    plan: TrainingPlan,
    *,
    seed: int = 0,
    labels: Floats | None = None,
    checkpoint: str | Path | None = None,
    show_progress: bool = True,
    description: str = "training",
    tensorboard: str | Path | None = None,
) -> pd.DataFrame:
    """Train, and leave the best weights in the networks.

    All randomness follows from ``seed``, the epoch and the step, so a training that was killed and
    is started again with the same checkpoint file ends in the same bits as one that was not.

    Parameters
    ----------
    trainable : Trainable
    train_images, validation_images : ndarray of float32, shape (n, h, w, c) or (n, d)
        Without validation images (None) the history has no ``val_`` columns, and nothing of them
        can be monitored.
    plan : TrainingPlan
        Its ``learning_rate`` is not read here: the optimisers have theirs.
    seed : int
    labels : ndarray of float32, shape (n,), optional
        Handed to ``train_step`` with each batch.
    checkpoint : str or Path, optional
        Written every few epochs, continued from where it exists, removed at the end by the caller.
    show_progress : bool
    description : str
        Text before the progress bar.
    tensorboard : str or Path, optional
        Folder for TensorBoard's event files: every column of the history against the epoch.

    Returns
    -------
    pandas.DataFrame
        One row an epoch: ``epoch``, the means of what ``train_step`` returned, those of
        ``validation_step`` with ``val_`` in front, ``learning_rate`` and ``seconds``. Beside a
        checkpoint it is also kept as CSV while training.

    Raises
    ------
    FloatingPointError
        If a loss is not finite; the last checkpoint stays.
    ValueError
        If the checkpoint is damaged or was written for another architecture or plan, the plan waits
        for something better where nothing is monitored, or the seed is below 0.
    """
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    monitor = trainable.monitor
    if monitor is None and (plan.patience or plan.plateau):
        raise ValueError(
            "patience and plateau must be 0 where nothing is monitored: "
            "there is nothing that could fail to get better"
        )
    epochs = _Epochs(trainable, train_images, validation_images, labels, plan, seed)
    rates = {name: _rate(one) for name, one in trainable.optimizers.items()}
    state = TrainingState.begin(plan, seed, rates)
    best: dict[str, Any] = {}
    if checkpoint is not None and Path(checkpoint).exists():
        best, state = read_checkpoint(checkpoint, trainable, state)
    with (
        progress(total=plan.epochs, description=description, enabled=show_progress) as bar,
        _event_writer(tensorboard) as log,
    ):
        bar.update(state.epoch)
        while not state.is_over(plan):
            state.halve_on_plateau(plan)
            row = epochs.run(state)
            _refuse_divergence(row, description, checkpoint)
            state.history.append(row)
            trainable.after_epoch(state.epoch)
            if monitor is not None and state.is_best(row[monitor]):
                best = network_values(trainable)
            if checkpoint is not None and state.epoch % plan.checkpoint_every == 0:
                write_checkpoint(checkpoint, trainable, best, state)
                history = pd.DataFrame(state.history).to_csv(index=False)
                write_text(Path(checkpoint).with_suffix(".csv"), history)
            log(row)
            bar.update(1)
            if monitor is not None:
                bar.set_postfix_str(f"{monitor} {row[monitor]:.4g} (best {state.best_value:.4g})")
    assign(trainable, best)
    return pd.DataFrame(state.history)


class _Epochs:
    """Single epochs of a training: its steps, compiled once, in batches."""

    def __init__(
        self,
        trainable: Trainable,
        images: Floats,
        validation_images: Floats | None,
        labels: Floats | None,
        plan: TrainingPlan,
        seed: int,
    ) -> None:
        self._trainable, self._plan, self._seed = trainable, plan, seed
        self._images, self._validation_images, self._labels = images, validation_images, labels
        self._batch_size = min(plan.batch_size, len(images))
        shape = images.shape[1:]
        signature = [
            tf.TensorSpec((self._batch_size, *shape), tf.float32),
            tf.TensorSpec((2,), tf.int32),
        ]
        if labels is not None:
            signature.append(tf.TensorSpec((self._batch_size,), tf.float32))
        self._train_step = tf.function(
            trainable.train_step, input_signature=signature, autograph=False
        )
        self._validation_step = tf.function(
            trainable.validation_step,
            input_signature=(tf.TensorSpec((None, *shape), tf.float32),),
            autograph=False,
        )

    def run(self, state: TrainingState) -> dict[str, Any]:
        """Train for the next epoch; return its row of the history."""
        started = time.monotonic()
        means = self._trained(state)
        validated = self._validated()
        state.epoch += 1
        return {
            "epoch": state.epoch,
            **means,
            **validated,
            "seconds": time.monotonic() - started,
            "learning_rate": _rate(next(iter(self._trainable.optimizers.values()))),
        }

    def _trained(self, state: TrainingState) -> dict[str, float]:
        """One update for each batch, and the means of what they returned."""
        order = _epoch_order(len(self._images), self._batch_size, self._seed, state.epoch)
        steps = []
        for index, batch in enumerate(order):
            step = state.epoch * len(order) + index
            factor = state.rate_factor(self._plan, step, len(order))
            for name, optimizer in self._trainable.optimizers.items():
                optimizer.learning_rate.assign(state.rates[name] * factor)
            given = () if self._labels is None else (tf.constant(self._labels[batch]),)
            seed = tf.constant((self._seed, step), tf.int32)
            steps.append(self._train_step(tf.constant(self._images[batch]), seed, *given))
        return {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}

    def _validated(self) -> dict[str, float]:
        """The means of the losses over all validation images, ``val_`` before their names."""
        images, size = self._validation_images, self._batch_size
        if images is None:
            return {}
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        parts = [self._validation_step(tf.constant(batch)) for batch in batches]
        weights = [len(batch) for batch in batches]
        return {
            f"val_{name}": float(np.average([part[name] for part in parts], weights=weights))
            for name in (parts[0] if parts else ())
        }


def _epoch_order(count: int, batch_size: int, seed: int, epoch: int) -> Integers:
    """Shuffled indices in full batches.

    The last batch is filled up from the first, so that every image is seen in every epoch.
    """
    order = np.random.default_rng((seed, epoch)).permutation(count)
    return np.resize(order, (math.ceil(count / batch_size), batch_size))


def _rate(optimizer: keras.optimizers.Optimizer) -> float:
    return float(optimizer.learning_rate)


def _refuse_divergence(
    row: dict[str, Any], description: str, checkpoint: str | Path | None
) -> None:
    """Stop where a value of the epoch is not finite."""
    bad = [name for name, value in row.items() if not math.isfinite(value)]
    if bad:
        kept = "" if checkpoint is None else f". The last checkpoint is {checkpoint}"
        raise FloatingPointError(
            f"{description}: {bad[0]} is {row[bad[0]]} in epoch {row['epoch']}; the training has "
            f"diverged. A lower learning_rate usually helps{kept}"
        )


@contextmanager
def _event_writer(folder: str | Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that writes a row of the history for TensorBoard, or nothing without a folder."""
    if folder is None:
        yield lambda row: None
        return
    if importlib.util.find_spec("tensorboard") is None:
        raise ModuleNotFoundError(
            "tensorboard is not installed: pip install tensorboard, "
            "or train without the option tensorboard"
        )
    writer = tf.summary.create_file_writer(str(folder))

    def log(row: dict[str, Any]) -> None:
        with writer.as_default():
            for name, value in row.items():
                tf.summary.scalar(name, value, step=row["epoch"])

    try:
        yield log
    finally:
        writer.close()


def adam(rate: float | None, *networks: keras.Model, **options: Any) -> keras.optimizers.Optimizer:
    """Adam for the weights of some networks, built before training.

    Built later it could not take its state from a checkpoint.

    Parameters
    ----------
    rate : float
    *networks : keras.Model
    **options
        As `keras.optimizers.Adam` takes them.

    Raises
    ------
    ValueError
        If ``rate`` is None, as a plan says where it should be found by a sweep.
    """
    if rate is None:
        raise ValueError(
            "learning_rate must be a number, such as 1e-3: this model does not look for one"
        )
    optimizer = keras.optimizers.Adam(rate, **options)
    optimizer.build([variable for network in networks for variable in network.trainable_variables])
    return optimizer
