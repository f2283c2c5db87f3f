"""Checkpoints: a training that was killed goes on bit for bit, and what does not fit is refused."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest

from adhelpers.detectors import VAEGAN
from adhelpers.training import TrainingPlan


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
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        small(epochs=2, checkpoint_every=1).fit(
            images(8), images(4), checkpoint=path, show_progress=False
        )


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
