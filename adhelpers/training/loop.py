"""The one training loop: augmentation, history, early stopping, best weights, checkpoints that continue bit for bit."""

import importlib.util
import json
import math
import time
import zipfile
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from adhelpers._shared.files import replacing, write_text
from adhelpers._shared.progress import progress

from .learning_rate import SCHEDULES, learning_rate_factor

# Keras' dtype policy for each number format of the layers; weights are float32 in all of them.
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
FLIPS = ("none", "horizontal", "vertical", "both")


@dataclass(frozen=True)
class Augmentation:
    """Random changes to good images that leave them good images.

    Parameters
    ----------
    rotation : float
        Largest turn in degrees, either way; 180 is any orientation.
    shift : float
        Largest shift along each axis, as a fraction of that axis.
    brightness : float
        Largest relative change of all grey values, either way.
    flip : {"none", "horizontal", "vertical", "both"}
        Mirror half of the images left-right, top-bottom, or each independently.

    Examples
    --------
    >>> Augmentation(rotation=10).active
    True
    """

    rotation: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0
    flip: str = "none"

    def __post_init__(self):
        for name, limit in (("rotation", 180), ("shift", 0.5), ("brightness", 1)):
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"{name} must be from 0 to {limit}, not {getattr(self, name)}.")
        if self.flip not in FLIPS:
            raise ValueError(f"flip must be one of {', '.join(FLIPS)}, not {self.flip!r}.")

    @property
    def active(self):
        """Whether anything is changed at all."""
        return self != Augmentation()

    def apply(self, images, seed):
        """Change each image in its own way; the same seed gives the same changes.

        Parameters
        ----------
        images : tensor of float32, shape (n, h, w, c)
            In [0, 1]. Places outside of an image take the value of its nearest edge.
        seed : tensor of int32, shape (2,)

        Returns
        -------
        tensor of float32, shape (n, h, w, c)
        """
        if not self.active:
            return images
        count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]

        def uniform(number, limit):
            folded = tf.random.experimental.stateless_fold_in(seed, number)
            return (
                tf.random.stateless_uniform((count,), folded, -limit, limit)
                if limit
                else tf.zeros(count)
            )

        def mirrored(number, wanted):
            return tf.where(uniform(number, 1.0) < 0, -1.0, 1.0) if wanted else tf.ones(count)

        if self.rotation or self.shift or self.flip != "none":
            angle = uniform(0, self.rotation * math.pi / 180)
            across, down = uniform(1, self.shift * width), uniform(2, self.shift * height)
            mirror_x, mirror_y = (
                mirrored(3, self.flip in ("horizontal", "both")),
                mirrored(4, self.flip in ("vertical", "both")),
            )
            cosine, sine = tf.cos(angle), tf.sin(angle)
            middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
            # Output pixel (x, y) is read at: middle + rotation @ mirror @ ((x, y) - middle) +
            # shift.
            rows = ((cosine * mirror_x, -sine * mirror_y), (sine * mirror_x, cosine * mirror_y))
            offset_x = middle_x + across - rows[0][0] * middle_x - rows[0][1] * middle_y
            offset_y = middle_y + down - rows[1][0] * middle_x - rows[1][1] * middle_y
            zero = tf.zeros(count)
            matrix = tf.stack(
                (rows[0][0], rows[0][1], offset_x, rows[1][0], rows[1][1], offset_y, zero, zero),
                axis=1,
            )
            images = tf.raw_ops.ImageProjectiveTransformV3(
                images=images,
                transforms=matrix,
                output_shape=(height, width),
                fill_value=0.0,
                interpolation="BILINEAR",
                fill_mode="NEAREST",
            )
        if self.brightness:
            images = images * (1 + uniform(5, self.brightness))[:, None, None, None]
        return tf.clip_by_value(images, 0.0, 1.0)


class Trainable(ABC):
    """What the loop needs to know of a model. Where it says images, vectors (n, d) are allowed too.

    Attributes
    ----------
    networks : dict of str to keras.Model
        All networks whose weights are trained and kept.
    optimizers : dict of str to keras.optimizers.Optimizer
        All of them, already built, each with a plain number as its learning rate: schedules are the
        plan's affair.
    """

    networks: dict
    optimizers: dict

    @abstractmethod
    def train_step(self, images, seed):
        """One update on a batch (n, h, w, c); ``seed`` (2,) is the only source of randomness. Returns scalars by name.

        A model that learns from labels takes those of the batch, float32 (n,), as a third argument.
        """

    @abstractmethod
    def validation_step(self, images):
        """Losses on a batch without an update, without randomness. Returns scalars by name."""

    def after_epoch(self, epoch):
        """What else is to be done after an epoch (from 1), before its checkpoint; nothing here."""


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how to train.

    Parameters
    ----------
    epochs : int
        At most so many passes over the training images.
    batch_size : int
        Cut to the number of training images where there are fewer.
    patience : int
        Stop after so many epochs without a better ``monitor``; 0 never stops early.
    monitor : str or None
        Name of the column of the history that should fall; the weights of its lowest epoch are
        kept. None keeps the last ones: the losses of two players do not fall.
    checkpoint_every : int
        Epochs between checkpoints.
    seed : int
    schedule : {"constant", "cosine", "cyclical"}
        How all learning rates change with the steps, see `learning_rate_factor`.
    cycle_epochs : int
        Epochs of one cycle, for ``"cyclical"``.
    plateau : int
        Halve all learning rates after so many epochs without a better ``monitor``; 0 never does.
    milestones : tuple of int
        Numbers of epochs, rising, after which all learning rates are a tenth of what they were.
    """

    epochs: int
    batch_size: int
    patience: int = 0
    monitor: str | None = "val_reconstruction"
    checkpoint_every: int = 5
    seed: int = 0
    schedule: str = "constant"
    cycle_epochs: int = 10
    plateau: int = 0
    milestones: tuple = ()

    def __post_init__(self):
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("patience", 0),
            ("checkpoint_every", 1),
            ("seed", 0),
            ("cycle_epochs", 1),
            ("plateau", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, not {getattr(self, name)}.")
        if self.monitor is None and (self.patience or self.plateau):
            raise ValueError(
                "patience and plateau must be 0 where monitor is None: there is nothing that could fail to get better."
            )
        if any(one < 1 for one in self.milestones) or list(self.milestones) != sorted(
            set(self.milestones)
        ):
            raise ValueError(
                f"milestones must be rising numbers of epochs from 1, not {tuple(self.milestones)}."
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(
                f"schedule must be one of {', '.join(SCHEDULES)}, not {self.schedule!r}."
            )


def _variables(trainable):
    for kind, owners in (("network", trainable.networks), ("optimizer", trainable.optimizers)):
        for name, owner in owners.items():
            for index, variable in enumerate(owner.variables):
                yield f"{kind}/{name}/{index}", variable


def _network_values(trainable):
    return {
        name: variable.value.numpy()
        for name, variable in _variables(trainable)
        if name.startswith("network/")
    }


def _assign(trainable, values):
    for name, variable in _variables(trainable):
        if name in values:
            variable.assign(values[name])


def _write_checkpoint(path, trainable, best, state):
    arrays = {name: variable.value.numpy() for name, variable in _variables(trainable)}
    arrays |= {f"best/{name}": value for name, value in best.items()}
    arrays["state"] = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def _read_checkpoint(path, trainable, plan):
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        state = json.loads(arrays.pop("state").tobytes())
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not a readable checkpoint ({error}). Remove it to train from the start."
        ) from error
    # Through JSON, which makes a list of a tuple.
    if state["plan"] != json.loads(json.dumps(asdict(plan))):
        raise ValueError(
            f"{path} was written with another training plan ({state['plan']}, now {asdict(plan)}). "
            "Remove it to train from the start."
        )
    best = {
        name.removeprefix("best/"): value
        for name, value in arrays.items()
        if name.startswith("best/")
    }
    wrong = [
        name
        for name, variable in _variables(trainable)
        if name not in arrays or tuple(arrays[name].shape) != tuple(variable.shape)
    ]
    if wrong:
        raise ValueError(
            f"{path} belongs to another architecture ({len(wrong)} arrays differ, the first is {wrong[0]}). "
            "Remove it to train from the start."
        )
    _assign(trainable, arrays)
    return best, state


def _epoch_order(count, batch_size, seed, epoch):
    """Shuffled indices in full batches; the last batch is filled up from the first, so every image is seen in every epoch."""
    order = np.random.default_rng((seed, epoch)).permutation(count)
    return np.resize(order, (math.ceil(count / batch_size), batch_size))


def train(
    trainable,
    train_images,
    validation_images,
    plan,
    *,
    labels=None,
    checkpoint=None,
    show_progress=True,
    description="training",
    tensorboard=None,
):
    """Train, and leave the best weights in the networks.

    All randomness follows from ``plan.seed``, the epoch and the step, so a training that was killed
    and is started again with the same checkpoint file ends in the same bits as one that was not.

    Parameters
    ----------
    trainable : Trainable
    train_images, validation_images : ndarray of float32, shape (n, h, w, c) or (n, d)
        Without validation images (None) the history has no ``val_`` columns, and nothing of them
        can be monitored.
    plan : TrainingPlan
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
        If the checkpoint is damaged or was written for another architecture or plan.
    """
    batch_size = min(plan.batch_size, len(train_images))
    shape = train_images.shape[1:]
    signature = [tf.TensorSpec((batch_size, *shape), tf.float32), tf.TensorSpec((2,), tf.int32)]
    if labels is not None:
        signature.append(tf.TensorSpec((batch_size,), tf.float32))
    train_step = tf.function(trainable.train_step, input_signature=signature)
    validation_step = tf.function(
        trainable.validation_step, input_signature=(tf.TensorSpec((None, *shape), tf.float32),)
    )
    best, state = (
        {},
        {
            "plan": asdict(plan),
            "epoch": 0,
            "best_value": None,
            "best_epoch": 0,
            "history": [],
            "halvings": 0,
            "halved_epoch": 0,
            "rates": {name: float(one.learning_rate) for name, one in trainable.optimizers.items()},
        },
    )
    if checkpoint is not None and Path(checkpoint).exists():
        best, state = _read_checkpoint(checkpoint, trainable, plan)
    order_length = math.ceil(len(train_images) / batch_size)

    def set_rates(step):
        passed = sum(step >= milestone * order_length for milestone in plan.milestones)
        factor = (
            0.1**passed
            * 0.5 ** state["halvings"]
            * learning_rate_factor(
                plan.schedule, step, plan.epochs * order_length, plan.cycle_epochs * order_length
            )
        )
        for name, optimizer in trainable.optimizers.items():
            optimizer.learning_rate.assign(state["rates"][name] * factor)

    with (
        progress(total=plan.epochs, description=description, enabled=show_progress) as bar,
        _event_writer(tensorboard) as log,
    ):
        bar.update(state["epoch"])
        while state["epoch"] < plan.epochs:
            if plan.patience and state["epoch"] - state["best_epoch"] >= plan.patience:
                break
            if (
                plan.plateau
                and state["epoch"] - max(state["best_epoch"], state["halved_epoch"]) >= plan.plateau
            ):
                state["halvings"], state["halved_epoch"] = state["halvings"] + 1, state["epoch"]
            row = _run_epoch(
                train_step,
                validation_step,
                train_images,
                validation_images,
                labels,
                plan,
                batch_size,
                state["epoch"],
                set_rates,
            )
            rate = float(next(iter(trainable.optimizers.values())).learning_rate)
            state["epoch"] += 1
            row = {"epoch": state["epoch"], **row, "learning_rate": rate}
            bad = [name for name, value in row.items() if not math.isfinite(value)]
            if bad:
                raise FloatingPointError(
                    f"{description}: {bad[0]} is {row[bad[0]]} in epoch {state['epoch']}; the training has diverged. A lower "
                    f"learning_rate usually helps. {'The last checkpoint is ' + str(checkpoint) + '.' if checkpoint else ''}"
                )
            state["history"].append(row)
            trainable.after_epoch(state["epoch"])
            if plan.monitor is not None and (
                state["best_value"] is None or row[plan.monitor] < state["best_value"]
            ):
                state["best_value"], state["best_epoch"] = row[plan.monitor], state["epoch"]
                best = _network_values(trainable)
            if checkpoint is not None and state["epoch"] % plan.checkpoint_every == 0:
                _write_checkpoint(checkpoint, trainable, best, state)
                write_text(
                    Path(checkpoint).with_suffix(".csv"),
                    pd.DataFrame(state["history"]).to_csv(index=False),
                )
            log(row)
            bar.update(1)
            if plan.monitor is not None:
                bar.set_postfix_str(
                    f"{plan.monitor} {row[plan.monitor]:.4g} (best {state['best_value']:.4g})"
                )
    _assign(trainable, best)
    return pd.DataFrame(state["history"])


@contextmanager
def _event_writer(folder):
    """A function that writes a row of the history for TensorBoard; it does nothing without a folder."""
    if folder is None:
        yield lambda row: None
        return
    if importlib.util.find_spec("tensorboard") is None:
        raise ModuleNotFoundError(
            "tensorboard is not installed: pip install tensorboard, or train without the option tensorboard."
        )
    writer = tf.summary.create_file_writer(str(folder))

    def log(row):
        with writer.as_default():
            for name, value in row.items():
                tf.summary.scalar(name, value, step=row["epoch"])

    try:
        yield log
    finally:
        writer.close()


def _run_epoch(
    train_step,
    validation_step,
    train_images,
    validation_images,
    labels,
    plan,
    batch_size,
    epoch,
    set_rates,
):
    started = time.monotonic()
    order = _epoch_order(len(train_images), batch_size, plan.seed, epoch)
    steps = []
    for index, batch in enumerate(order):
        step = epoch * len(order) + index
        set_rates(step)
        given = () if labels is None else (tf.constant(labels[batch]),)
        steps.append(
            train_step(
                tf.constant(train_images[batch]), tf.constant((plan.seed, step), tf.int32), *given
            )
        )
    row = {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}
    sizes, parts = [], []
    for start in range(0, 0 if validation_images is None else len(validation_images), batch_size):
        batch = validation_images[start : start + batch_size]
        sizes.append(len(batch))
        parts.append(validation_step(tf.constant(batch)))
    if parts:
        row |= {
            f"val_{name}": float(np.average([part[name] for part in parts], weights=sizes))
            for name in parts[0]
        }
    row["seconds"] = time.monotonic() - started
    return row


def adam(rate, *networks, **options):
    """Adam for the weights of some networks, built before training: built later it could not take its state from a checkpoint.

    Parameters
    ----------
    rate : float
    *networks : keras.Model
    **options
        As `keras.optimizers.Adam` takes them.

    Returns
    -------
    keras.optimizers.Adam
    """
    optimizer = keras.optimizers.Adam(rate, **options)
    optimizer.build([variable for network in networks for variable in network.trainable_variables])
    return optimizer


def remove_checkpoint(checkpoint):
    """Remove a checkpoint that is no longer needed, and the history beside it; None, or one that is not there, is no error."""
    for leftover in (
        () if checkpoint is None else (Path(checkpoint), Path(checkpoint).with_suffix(".csv"))
    ):
        leftover.unlink(missing_ok=True)
