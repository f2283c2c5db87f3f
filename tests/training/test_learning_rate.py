"""Schedules by hand, and the sweep on problems whose answer is known."""

import math

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from adhelpers.training import Trainable, TrainingPlan, find_learning_rate, train
from adhelpers.training.learning_rate import learning_rate_factor, suggested_rate


class Valley(Trainable):
    """One number x, its loss (x - 3)^2: plain gradient descent diverges at rates above 1."""

    monitor = "val_loss"

    def __init__(self, rate=0.1, start=0.0, noise=0.0):
        self.x = keras.Sequential(
            [
                keras.Input((1,)),
                keras.layers.Dense(
                    1, use_bias=False, kernel_initializer=keras.initializers.Constant(start)
                ),
            ]
        )
        optimizer = keras.optimizers.SGD(rate)
        optimizer.build(self.x.trainable_variables)
        self.networks, self.optimizers = {"x": self.x}, {"x": optimizer}

    def value(self):
        return float(self.x.trainable_variables[0].numpy()[0, 0])

    def train_step(self, images, seed):
        with tf.GradientTape() as tape:
            loss = (self.x(tf.ones((1, 1)))[0, 0] - 3.0) ** 2
        self.optimizers["x"].apply(
            tape.gradient(loss, self.x.trainable_variables), self.x.trainable_variables
        )
        return {"loss": loss}

    def validation_step(self, images):
        return {"loss": (self.x(tf.ones((1, 1)))[0, 0] - 3.0) ** 2}


IMAGES = np.zeros((8, 4, 4, 1), np.float32)


def test_schedules_by_hand():
    assert [learning_rate_factor("constant", step, 10, 4) for step in (0, 5, 9)] == [1, 1, 1]
    assert learning_rate_factor("cosine", 25, 100, 1) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    cycle = [learning_rate_factor("cyclical", step, 100, 4) for step in range(9)]
    assert cycle == pytest.approx([0.1, 0.55, 1, 0.55, 0.1, 0.55, 1, 0.55, 0.1])
    for schedule in ("constant", "cosine", "cyclical"):
        assert all(0 <= learning_rate_factor(schedule, step, 37, 5) <= 1 for step in range(37))


def test_the_rate_of_every_step_follows_the_schedule():
    trainable = Valley(rate=0.1)
    step = trainable.validation_step
    trainable.validation_step = lambda images: {
        **step(images),
        "rate": tf.convert_to_tensor(trainable.optimizers["x"].learning_rate),
    }
    history = train(
        trainable,
        IMAGES,
        IMAGES[:1],
        TrainingPlan(6, 4, schedule="cyclical", cycle_epochs=2),
        show_progress=False,
    )
    # Two steps an epoch, four a cycle; the rate that validation sees is that of the epoch's last
    # step.
    expected = [0.1 * learning_rate_factor("cyclical", 2 * epoch + 1, 12, 4) for epoch in range(6)]
    np.testing.assert_allclose(history["val_rate"], expected, rtol=1e-6)
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-6)


def test_a_plateau_halves_the_rate_and_waits_again():
    trainable = Valley(rate=1e-12, start=0.0)
    plan = TrainingPlan(9, 8, plateau=2)
    # The loss does not move in float32: epoch 1 is the best, and after every two more epochs the
    # rate halves.
    history = train(trainable, IMAGES, IMAGES[:1], plan, show_progress=False)
    np.testing.assert_allclose(
        history["learning_rate"] / 1e-12, [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125], rtol=1e-5
    )


def test_the_best_rate_of_gradient_descent_lies_below_the_one_where_it_diverges():
    trainable = Valley(rate=0.05)
    sweep = find_learning_rate(
        trainable, IMAGES, batch_size=4, lowest=1e-3, highest=100.0, steps=40, show_progress=False
    )
    # x <- x - 2 rate (x - 3) diverges above rate 1.
    assert sweep.diverged and 0.01 < sweep.suggested < 1.0
    assert 1 < sweep.table["learning_rate"].iloc[-1] < 100 and sweep.table["loss"].min() < 1e-2
    ratios = (
        sweep.table["learning_rate"].to_numpy()[1:] / sweep.table["learning_rate"].to_numpy()[:-1]
    )
    np.testing.assert_allclose(ratios, (100 / 1e-3) ** (1 / 39), rtol=1e-6)


def test_weights_optimiser_and_rate_are_as_before_the_sweep():
    trainable = Valley(rate=0.05)
    train(trainable, IMAGES, IMAGES[:1], TrainingPlan(2, 4), show_progress=False)
    variables = [
        variable
        for owner in (trainable.x, trainable.optimizers["x"])
        for variable in owner.variables
    ]
    before = [variable.value.numpy() for variable in variables]
    find_learning_rate(trainable, IMAGES, batch_size=4, steps=30, show_progress=False)
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.value.numpy(), value)


def test_suggestion_by_hand():
    rates = [1, 2, 3, 4, 5, 6]
    # From 10 (the highest before the lowest) to 0: a fall of 85 % is at 1.5.
    assert suggested_rate(rates, [8, 10, 4, 1.5, 0, 20]) == 4
    assert suggested_rate(rates, [8, 10, 4, 1.6, 0, 20]) == 5
    assert suggested_rate(rates, [8, 10, 4, 1.6, 0, 20], fall=0.5) == 3


def test_what_cannot_be_found_is_said():
    with pytest.raises(ValueError, match="never fell"):
        suggested_rate([1, 2, 3], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="fall must be"):
        suggested_rate([1, 2], [2.0, 1.0], fall=0)
    with pytest.raises(ValueError, match="not finite at the lowest"):
        find_learning_rate(Valley(start=float("nan")), IMAGES, batch_size=4, show_progress=False)
    with pytest.raises(ValueError, match="lowest and highest"):
        find_learning_rate(
            Valley(), IMAGES, batch_size=4, lowest=1, highest=0.1, show_progress=False
        )
    with pytest.raises(ValueError, match="steps"):
        find_learning_rate(Valley(), IMAGES, batch_size=4, steps=3, show_progress=False)


def test_tensorboard_gets_every_column(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = train(
        Valley(),
        IMAGES,
        IMAGES[:1],
        TrainingPlan(3, 4),
        show_progress=False,
        tensorboard=tmp_path / "events",
    )
    events = EventAccumulator(str(tmp_path / "events"), size_guidance={"tensors": 0})
    events.Reload()
    assert set(events.Tags()["tensors"]) == set(history.columns)
    losses = [float(tf.make_ndarray(one.tensor_proto)) for one in events.Tensors("val_loss")]
    np.testing.assert_allclose(losses, history["val_loss"], rtol=1e-6)
    assert isinstance(history, pd.DataFrame) and [one.step for one in events.Tensors("loss")] == [
        1,
        2,
        3,
    ]


@pytest.mark.parametrize("schedule", ["cosine", "cyclical"])
def test_rates_go_on_after_an_interruption_as_if_there_had_been_none(tmp_path, schedule):
    plan = TrainingPlan(10, 4, schedule=schedule, cycle_epochs=3, plateau=2, checkpoint_every=2)
    whole = train(Valley(rate=1e-12), IMAGES, IMAGES[:1], plan, show_progress=False).drop(
        columns="seconds"
    )
    interrupted, epochs = Valley(rate=1e-12), []
    step = interrupted.validation_step

    def stop_in_the_seventh_epoch(images):
        def count():
            epochs.append(1)
            if len(epochs) == 7:
                raise RuntimeError("power cut")

        tf.py_function(count, [], [])
        return step(images)

    interrupted.validation_step = stop_in_the_seventh_epoch
    with pytest.raises(tf.errors.OpError, match="power cut"):
        train(
            interrupted,
            IMAGES,
            IMAGES[:1],
            plan,
            checkpoint=tmp_path / "state.npz",
            show_progress=False,
        )
    assert (tmp_path / "state.npz").exists()
    # The new process begins with another rate: that of the checkpoint counts.
    resumed = train(
        Valley(rate=5e-12),
        IMAGES,
        IMAGES[:1],
        plan,
        checkpoint=tmp_path / "state.npz",
        show_progress=False,
    ).drop(columns="seconds")
    pd.testing.assert_frame_equal(resumed, whole)
    assert whole["learning_rate"].max() > 4 * whole["learning_rate"].min() > 0


class Waiting(Valley):
    """A rate so small that nothing gets better after the first epoch, and an end where wanted."""

    def __init__(self, stops_after=None):
        super().__init__(rate=1e-12)
        self.stops_after = stops_after

    def after_epoch(self, epoch):
        if epoch == self.stops_after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("stops_after", range(1, 10))
def test_halvings_survive_an_interruption_wherever_it_is(tmp_path, stops_after):
    """By hand: epoch 1 is the best, and from then on every two epochs halve the rate."""
    plan = TrainingPlan(9, 8, plateau=2, checkpoint_every=2)
    options = {"checkpoint": tmp_path / "state.npz", "show_progress": False}
    with pytest.raises(KeyboardInterrupt):
        train(Waiting(stops_after), IMAGES, IMAGES[:1], plan, **options)
    assert (tmp_path / "state.npz").exists() == (stops_after > 2)
    resumed = train(Waiting(), IMAGES, IMAGES[:1], plan, **options)
    np.testing.assert_allclose(
        resumed["learning_rate"] / 1e-12, [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125], rtol=1e-5
    )
    assert resumed["epoch"].tolist() == list(range(1, 10))


@pytest.mark.parametrize("stops_after", [4, 6])
def test_patience_counts_on_after_an_interruption(tmp_path, stops_after):
    plan = TrainingPlan(50, 8, patience=6, checkpoint_every=1)
    options = {"checkpoint": tmp_path / "state.npz", "show_progress": False}
    with pytest.raises(KeyboardInterrupt):
        train(Waiting(stops_after), IMAGES, IMAGES[:1], plan, **options)
    assert len(train(Waiting(), IMAGES, IMAGES[:1], plan, **options)) == 1 + 6


class Scripted(Valley):
    """Losses as they are given, one a step; it remembers the batches, rates and seeds."""

    def __init__(self, losses):
        super().__init__()
        self.losses, self.steps = list(losses), []

    def train_step(self, images, seed):
        def loss(batch, rate, drawn):
            self.steps.append((batch[:, 0].tolist(), float(rate), drawn.tolist()))
            return np.float32(self.losses[(len(self.steps) - 1) % len(self.losses)])

        inputs = [images, self.optimizers["x"].learning_rate, seed]
        return {"loss": tf.ensure_shape(tf.numpy_function(loss, inputs, tf.float32), ())}


NUMBERS = np.arange(12, dtype=np.float32)[:, None]


def swept(losses, **options):
    trainable = Scripted(losses)
    options = {"batch_size": 4, "steps": 10, "show_progress": False} | options
    return find_learning_rate(trainable, NUMBERS, **options), trainable.steps


def test_a_sweep_by_hand():
    """Rates rise in equal ratios, and the running mean begins without a pull to zero."""
    losses = [8, 4, 4, 2, 2, 2, 2, 2, 2, 2]
    sweep, steps = swept(losses, lowest=1e-4, highest=1e5, smoothing=0.5, fall=0.5)
    rates = 10.0 ** np.arange(-4, 6)
    np.testing.assert_allclose(sweep.table["learning_rate"], rates, rtol=1e-6)
    np.testing.assert_allclose([rate for _, rate, _ in steps], rates, rtol=1e-5)
    assert sweep.table["loss"].tolist() == losses
    # (8), (8 / 2 + 4) / (3 / 2), (8 / 4 + 4 / 2 + 4) / (7 / 4), (1 + 1 + 2 + 2) / (15 / 8)
    np.testing.assert_allclose(sweep.table["smoothed"][:4], [8, 16 / 3, 32 / 7, 16 / 5])
    assert not sweep.diverged and sweep.fall == 0.5
    # Half of the fall from 8 to about 2 is below 5.
    assert sweep.suggested == pytest.approx(1e-2)


def test_the_defaults_of_a_sweep():
    sweep, steps = swept(np.geomspace(9, 1, 120), steps=120)
    table = sweep.table
    assert len(steps) == len(table) == 120 and sweep.fall == 0.85
    assert table["learning_rate"].iloc[[0, -1]].tolist() == pytest.approx([1e-6, 1.0])
    assert table["smoothed"][1] == pytest.approx((0.16 * 9 + 0.2 * table["loss"][1]) / 0.36)
    default = find_learning_rate(Scripted([9, 8]), NUMBERS, batch_size=4, show_progress=False)
    assert len(default.table) == 120


def test_a_sweep_ends_where_the_smoothed_loss_is_four_times_its_lowest():
    for last, diverged in ((4.0, False), (4.01, True), (float("inf"), True), (float("nan"), True)):
        sweep, steps = swept([2, 1, 1, 1, 1, 1, last, 1, 1, 1], smoothing=0.0)
        assert sweep.diverged is diverged
        assert len(steps) == (7 if diverged else 10)
        assert len(sweep.table) == (6 if diverged else 10)


def test_batches_of_a_sweep_follow_from_the_seed():
    (_, first), (_, again), (_, other) = (swept([2, 1], seed=seed) for seed in (3, 3, 4))
    assert [step[0] for step in first] == [step[0] for step in again]
    assert [step[0] for step in first] != [step[0] for step in other]
    assert [step[2] for step in first] == [[3, number] for number in range(10)]
    for batch, _, _ in first:
        assert len(set(batch)) == 4 and set(batch) <= set(range(12))
    assert len({tuple(step[0]) for step in first}) == 10
    _, zero = swept([2, 1])
    assert zero[0][2] == [0, 0]


def test_a_batch_is_no_larger_than_the_number_of_images():
    _, steps = swept([2, 1], batch_size=100)
    assert all(sorted(batch) == list(range(12)) for batch, _, _ in steps)


@pytest.mark.parametrize(
    "wrong, match",
    [
        ({"steps": 9}, "^steps must be at least 10, better 100; got 9$"),
        ({"lowest": 0}, "rising and above 0, such as 1e-6 and 1; got 0 and 1.0"),
        ({"lowest": -1}, "rising and above 0"),
        ({"lowest": 0.1, "highest": 0.1}, "got 0.1 and 0.1"),
        ({"fall": 0}, r"fall must be in \(0, 1\], such as 0.85; got 0"),
        ({"fall": 1.01}, "fall must be in"),
    ],
)
def test_what_a_sweep_does_not_take(wrong, match):
    with pytest.raises(ValueError, match=match):
        swept([2, 1], **wrong)


def test_the_whole_fall_can_be_asked_for():
    assert suggested_rate([1, 2, 3, 4], [5, 4, 1, 2], fall=1) == 3
    assert suggested_rate([1, 2, 3, 4], [5, 4, 1, 2]) == 3
    # 0.85 of the fall from 20 to 0 is reached at 3, not at 3.1.
    assert suggested_rate([1, 2, 3, 4], [20, 3.1, 3, 0]) == 3
    with pytest.raises(ValueError, match="never fell"):
        suggested_rate([1, 2], [1, 1])
