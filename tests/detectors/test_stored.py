"""A fitted detector is found again, and only for the same parameters and data."""

from types import SimpleNamespace

import numpy as np

from adhelpers.detectors import VAEGAN, fit_or_load
from adhelpers.training import TrainingPlan


def images(count, seed=0):
    return np.random.default_rng(seed).uniform(size=(count, 16, 16, 1)).astype("float32")


def small(**changes):
    plan = TrainingPlan(epochs=3, batch_size=4, schedule="cosine")
    return VAEGAN("compact", width=0.1, latent_dim=4, plan=plan, **changes)


def test_a_fitted_detector_is_found_again_and_not_for_other_data(tmp_path):
    sets = SimpleNamespace(
        name="thing",
        fingerprint="a",
        train=SimpleNamespace(images=images(8)),
        validation=SimpleNamespace(images=images(4, seed=1)),
    )
    first = fit_or_load(small(), sets, tmp_path, show_progress=False)
    stored = sorted((tmp_path / "thing" / "vae_gan").iterdir())
    assert len(stored) == 1 and not list(tmp_path.rglob("*checkpoint*"))
    again = fit_or_load(small(), sets, tmp_path, show_progress=False)
    np.testing.assert_array_equal(again.score(sets.train.images), first.score(sets.train.images))
    assert again.history.equals(first.history.astype(again.history.dtypes)) or np.allclose(
        again.history, first.history
    )
    sets.fingerprint = "b"
    fit_or_load(small(), sets, tmp_path, show_progress=False)
    fit_or_load(small(seed=1), sets, tmp_path, show_progress=False)
    assert len(list((tmp_path / "thing" / "vae_gan").iterdir())) == 3
