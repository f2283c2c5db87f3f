"""Checkpoints: a training that was killed goes on bit for bit, and what does not fit is refused."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import fields, replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors import VAEGAN
from adhelpers.training import Trainable, TrainingPlan, adam, train
from adhelpers.training.checkpoints import (
    TrainingState,
    assign,
    network_values,
    read_checkpoint,
    remove_checkpoint,
    write_checkpoint,
)


def images(count=4, shape=(16, 16, 1), seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype("float32")


def small(latent_dim=4, **changes):
    plan = replace(TrainingPlan(epochs=3, batch_size=4, schedule="cosine"), **changes)
    return VAEGAN("compact", width=0.1, latent_dim=latent_dim, plan=plan)


_KILLED = textwrap.dedent("""
    import sys
    import numpy as np
    from adhelpers.detectors import VAEGAN, VAELoss
    from adhelpers.training import Augmentation, TrainingPlan
    random = np.random.default_rng(0)
    train, validation = (random.uniform(size=(n, 32, 16, 1)).astype("float32") for n in (10, 4))
    for name in sys.argv[1:]:
        plan = TrainingPlan(epochs=8, batch_size=4, schedule="cosine", checkpoint_every=2)
        detector = VAEGAN(
            width=0.1, latent_dim=4, loss=VAELoss(adversarial_weight=1.0), plan=plan,
            augmentation=Augmentation(rotation=20.0), seed=3
        )
        detector.fit(train, validation, checkpoint=f"{name}.checkpoint.npz", show_progress=False)
        detector.history.drop(columns="seconds").to_csv(f"{name}.csv", index=False)
        networks = detector.networks.values()
        np.savez(name, *[one.value.numpy() for network in networks for one in network.variables])
""")


def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path):
    """Both networks with both optimisers, an end by SIGKILL, and a new process that goes on."""
    slowed = textwrap.dedent("""
        import adhelpers.training.loop as training, time
        write = training.write_checkpoint
        def slow(*arguments):
            write(*arguments)
            time.sleep(60)
        training.write_checkpoint = slow
    """)
    command = [sys.executable, "-c"]
    # On one thread: on several, TensorFlow adds the parts of a gradient in the order in which they
    # are done, now and then another one.
    alone = {
        "cwd": tmp_path,
        "env": {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"},
    }
    victim = subprocess.Popen([*command, slowed + _KILLED, "cut"], **alone)
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut.checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not (tmp_path / "cut.npz").exists()
    # Starting TensorFlow takes longer than training: the process that goes on trains once more from
    # the beginning.
    subprocess.run([*command, _KILLED, "cut", "whole"], check=True, **alone)
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "cut.npz") as cut:
        assert len(whole.files) > 20
        for name in whole.files:
            np.testing.assert_array_equal(whole[name], cut[name])
    assert (tmp_path / "whole.csv").read_text() == (tmp_path / "cut.csv").read_text()


def test_checkpoints_of_another_plan_or_architecture_or_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "state.npz"
    small(epochs=2, checkpoint_every=1).fit(
        images(8), images(4), checkpoint=path, show_progress=False
    )
    with pytest.raises(ValueError, match="another training plan"):
        small(epochs=3, checkpoint_every=1).fit(
            images(8), images(4), checkpoint=path, show_progress=False
        )
    with pytest.raises(ValueError, match="another architecture"):
        small(epochs=2, checkpoint_every=1, latent_dim=6).fit(
            images(8), images(4), checkpoint=path, show_progress=False
        )
    with np.load(path) as stored:
        arrays = dict(stored)
    before = json.loads(arrays["state"].tobytes())["state"]
    arrays["state"] = np.frombuffer(json.dumps(before).encode(), np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="checkpoint of another version of adhelpers"):
        small(epochs=2, checkpoint_every=1).fit(
            images(8), images(4), checkpoint=path, show_progress=False
        )


class Small(Trainable):
    """One layer with an optimiser that has a state, quick to build."""

    monitor = "val_loss"

    def __init__(self, units=1):
        self.layer = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
        self.networks = {"layer": self.layer}
        self.optimizers = {"layer": adam(0.1, self.layer)}

    def train_step(self, images, seed):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.layer(images) ** 2)
        variables = self.layer.trainable_variables
        self.optimizers["layer"].apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}

    def validation_step(self, images):
        return {"loss": tf.reduce_mean(self.layer(images) ** 2)}


PLAN = TrainingPlan(epochs=2, batch_size=2, checkpoint_every=1)
VECTORS = np.float32([[1, 2], [3, 4]])


def trained(path, trainable=None, plan=PLAN, **options):
    options = {"checkpoint": path, "show_progress": False} | options
    return train(trainable or Small(), VECTORS, VECTORS, plan, **options)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("training") / "state.npz"
    trained(path)
    return path.read_bytes()


@pytest.fixture
def stored(tmp_path, content):
    (tmp_path / "state.npz").write_bytes(content)
    return tmp_path / "state.npz"


def rewritten(path, change):
    with np.load(path) as file:
        arrays = dict(file)
    state = json.loads(arrays.pop("state").tobytes())
    change(arrays, state)
    arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    np.savez(path, **arrays)


def refused(path, match, **options):
    """The file is named, with what to do about it; and it stays."""
    with pytest.raises(ValueError, match=match) as caught:
        trained(path, **options)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith("Remove it to train from the start")
    assert path.exists()


def test_a_checkpoint_that_was_cut_off_anywhere_is_refused(stored):
    whole = stored.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        stored.write_bytes(whole[:length])
        refused(stored, "is not a readable checkpoint")
    stored.write_bytes(whole)
    assert len(trained(stored)) == 2


@pytest.mark.parametrize(
    "other", [b"no archive", b"PK\x05\x06" + bytes(18), b"\x80\x04N.", b"\x93NUMPY\x01\x00"]
)
def test_a_file_that_is_no_checkpoint_is_refused(stored, other):
    stored.write_bytes(other)
    refused(stored, "is not a readable checkpoint")


def test_a_single_array_is_no_checkpoint(stored):
    with stored.open("wb") as file:
        np.save(file, np.ones(3))
    refused(stored, "is not a readable checkpoint")


@pytest.mark.parametrize("state", [b"", b"[]", b"3", b"no JSON", b"\xff", b"[" * 100_000])
def test_a_state_of_another_form_is_refused(stored, state):
    with np.load(stored) as file:
        arrays = dict(file)
    np.savez(stored, **arrays | {"state": np.frombuffer(state, np.uint8)})
    refused(stored, "is not a readable checkpoint")
    del arrays["state"]
    np.savez(stored, **arrays)
    refused(stored, "is not a readable checkpoint")


FIELDS = [one.name for one in fields(TrainingState)]


@pytest.mark.parametrize("name", FIELDS)
def test_a_state_without_one_of_its_fields_is_refused(stored, name):
    """Left out, the halvings would begin at 0 again and the best value would be forgotten."""
    rewritten(stored, lambda arrays, state: state["state"].pop(name))
    refused(stored, "does not hold the whole state of a training .*plan")


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", ["x", [[1]], {"x": 1}, True])
def test_a_state_with_something_else_in_a_field_is_refused(stored, name, value):
    if name == "history" and isinstance(value, list):
        value = None
    rewritten(stored, lambda arrays, state: state["state"].update({name: value}))
    refused(stored, f"something else where the {name}|another training plan")


def test_other_states_are_refused(stored):
    whole = stored.read_bytes()
    for change, match in [
        (lambda arrays, state: state.update(state=None), "the whole state"),
        (lambda arrays, state: state["state"].update(more=1), "the whole state"),
        (lambda arrays, state: state["state"].update(rates={}), "where the rates of its"),
        (lambda arrays, state: state.update(format=1), "another version of adhelpers"),
        (lambda arrays, state: state.pop("format"), "another version of adhelpers"),
        (lambda arrays, state: arrays.pop("network/layer/1"), "1 arrays differ, .*network/layer/1"),
        (lambda arrays, state: arrays.pop("best/network/layer/0"), "1 arrays differ.*layer/0"),
        (
            lambda arrays, state: arrays.update({"best/network/layer/1": np.ones((7, 7))}),
            "1 arrays differ",
        ),
        (lambda arrays, state: arrays.pop("optimizer/layer/0"), "optimizer/layer/0"),
    ]:
        stored.write_bytes(whole)
        rewritten(stored, change)
        refused(stored, match)
    stored.write_bytes(whole)
    refused(stored, "another training plan", seed=1)
    refused(stored, "another training plan", plan=replace(PLAN, epochs=3))
    refused(stored, "another architecture", trainable=Small(units=2))


def test_a_checkpoint_that_cannot_be_read_is_told_as_it_is(stored, monkeypatch):
    def broken(*_, **__):
        raise OSError(5, "Input/output error", str(stored))

    monkeypatch.setattr(np, "load", broken)
    with pytest.raises(OSError, match="Input/output error"):
        trained(stored)


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    small(epochs=2, checkpoint_every=2).fit(
        images(8), images(4), checkpoint=path, show_progress=False
    )
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        small(epochs=4, checkpoint_every=2).fit(
            images(8), images(4), checkpoint=tmp_path / "other.npz", show_progress=False
        )
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == [
        "state.csv",
        "state.npz",
    ]


def state(**changed):
    return replace(TrainingState.begin(PLAN, 0, {"layer": 0.1}), **changed)


def test_a_state_begins_with_the_plan_as_a_file_has_it():
    begun = TrainingState.begin(TrainingPlan(milestones=(1, 2)), 7, {"layer": 0.1})
    assert begun.plan["milestones"] == [1, 2] and begun.plan["seed"] == 7
    assert begun.rates == {"layer": 0.1} and begun.history == []
    assert (begun.epoch, begun.best_value, begun.best_epoch) == (0, None, 0)
    assert (begun.halvings, begun.halved_epoch) == (0, 0)


def test_a_training_is_over_after_its_epochs_or_too_many_without_a_better_value():
    plan = TrainingPlan(epochs=5)
    assert [state(epoch=epoch).is_over(plan) for epoch in (0, 4, 5, 6)] == [
        False,
        False,
        True,
        True,
    ]
    patient = TrainingPlan(epochs=50, patience=3)
    found = [state(epoch=epoch, best_epoch=3).is_over(patient) for epoch in (3, 5, 6, 7)]
    assert found == [False, False, True, True]
    assert not state(epoch=49, best_epoch=1).is_over(TrainingPlan(epochs=50, patience=0))


def test_only_a_lower_value_is_better_and_none_that_is_not_a_number():
    one = state(epoch=1)
    assert one.is_best(2.0) and (one.best_value, one.best_epoch) == (2.0, 1)
    one.epoch = 2
    assert not one.is_best(2.0) and not one.is_best(float("nan")) and not one.is_best(3.0)
    assert (one.best_value, one.best_epoch) == (2.0, 1)
    one.epoch = 3
    assert one.is_best(-1.0) and (one.best_value, one.best_epoch) == (-1.0, 3)


def test_rates_are_halved_where_nothing_is_better_for_long_enough_and_then_wait_again():
    plan, one, seen = TrainingPlan(plateau=3), state(best_epoch=2), []
    for one.epoch in range(2, 12):
        one.halve_on_plateau(plan)
        seen.append((one.halvings, one.halved_epoch))
    assert seen == [(0, 0)] * 3 + [(1, 5)] * 3 + [(2, 8)] * 3 + [(3, 11)]
    one.best_epoch = 12
    for one.epoch, halvings in ((14, 3), (15, 4)):
        one.halve_on_plateau(plan)
        assert one.halvings == halvings
    one.halve_on_plateau(TrainingPlan(plateau=0))
    assert one.halvings == 4


def test_rates_by_hand():
    """Milestones divide by ten, halvings by two, and the schedule counts in steps."""
    plan = TrainingPlan(epochs=8, milestones=(1, 3))
    factors = [state().rate_factor(plan, step, 4) for step in (0, 3, 4, 11, 12, 31)]
    np.testing.assert_allclose(factors, [1, 1, 0.1, 0.1, 0.01, 0.01])
    assert state(halvings=3).rate_factor(plan, 3, 4) == pytest.approx(1 / 8)
    assert state(halvings=1).rate_factor(plan, 4, 4) == pytest.approx(0.05)
    cosine = TrainingPlan(epochs=8, schedule="cosine")
    assert state(halvings=1).rate_factor(cosine, 16, 4) == pytest.approx(0.25)
    cyclical = TrainingPlan(epochs=9, schedule="cyclical", cycle_epochs=2)
    found = [state().rate_factor(cyclical, step, 4) for step in (0, 2, 4, 6, 8)]
    np.testing.assert_allclose(found, [0.1, 0.55, 1, 0.55, 0.1])


def test_best_weights_are_those_of_the_networks_and_copies(stored):
    trainable = Small()
    values = network_values(trainable)
    assert sorted(values) == ["network/layer/0", "network/layer/1"]
    trained(None, trainable)
    assert (values["network/layer/0"] != trainable.layer.weights[0].numpy()).any()
    rate = float(trainable.optimizers["layer"].learning_rate)
    assign(trainable, {"network/layer/0": values["network/layer/0"], "other": np.ones(3)})
    np.testing.assert_array_equal(trainable.layer.weights[0].numpy(), values["network/layer/0"])
    assert (trainable.layer.weights[1].numpy() != values["network/layer/1"]).any()
    assert float(trainable.optimizers["layer"].learning_rate) == rate


def test_everything_comes_back_from_a_checkpoint(tmp_path):
    first, second = Small(), Small()
    trained(None, first)
    begun = state()
    written = state(
        epoch=2, best_value=0.25, best_epoch=1, halvings=3, halved_epoch=2, history=[{"loss": 1.0}]
    )
    best = {name: value + 1 for name, value in network_values(first).items()}
    write_checkpoint(tmp_path / "a.npz", first, best, written)
    found, read = read_checkpoint(tmp_path / "a.npz", second, begun)
    assert read == written and found.keys() == best.keys()
    for name, value in best.items():
        np.testing.assert_array_equal(found[name], value)
    for one, other in zip(first.layer.variables, second.layer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    optimizers = first.optimizers["layer"], second.optimizers["layer"]
    assert int(optimizers[1].iterations) == int(optimizers[0].iterations) == 2
    for one, other in zip(*(each.variables for each in optimizers), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_checkpoint_is_removed_with_the_history_beside_it_and_nothing_else(tmp_path):
    for name in ("a.npz", "a.csv", "b.npz", "a.txt"):
        (tmp_path / name).write_text("")
    remove_checkpoint(str(tmp_path / "a.npz"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.npz"]
    remove_checkpoint(tmp_path / "a.npz")
    remove_checkpoint(None)
