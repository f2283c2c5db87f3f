"""Autoencoders: training, storage, and the refusal of what does not fit."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest

from adhelpers._shared.files import sha256
from adhelpers.detectors import CAE, ResidualScore, fit_or_load
from adhelpers.detectors.cae_networks import ARCHITECTURES
from adhelpers.detectors.manifest import signed


def images(count=6, shape=(64, 64, 1), seed=0):
    """Smooth blobs, so that there is something to learn."""
    random, grid = np.random.default_rng(seed), np.indices(shape[:2])
    centres = random.uniform(0.3, 0.7, (count, 2)) * shape[:2]
    blobs = np.exp(-((grid[None] - centres[:, :, None, None]) ** 2).sum(axis=1) / (2 * 8**2))
    return np.repeat(blobs[..., None], shape[2], axis=-1).astype("float32")


PLAN = replace(CAE.default_plan(), epochs=2, batch_size=4, learning_rate=2e-3)


def small(architecture="mvtec", loss="l2", **changes):
    return CAE(architecture, loss, **{"width": 0.15, "latent_dim": 4, "plan": PLAN, **changes})


@functools.cache
def fitted(architecture="mvtec", loss="l2", **changes):
    """Compiling is most of a small training's time: tests that change nothing share one."""
    good = images(8)
    return small(architecture, loss, **changes).fit(good[:6], good[6:], show_progress=False)


def test_wrong_choices_are_named():
    for changes, message in [
        ({"architecture": "unet"}, "architecture"),
        ({"loss": "l1"}, "loss must be one of l2, ssim, ms_ssim"),
        ({"precision": "float16"}, "precision"),
        ({"latent": "tree"}, "latent"),
    ]:
        with pytest.raises(ValueError, match=message):
            small(**changes)


@pytest.mark.parametrize(
    "loss, channels, message",
    [
        ("ssim", 3, "'ssim' is for grey images, and these are colour: use loss 'ms_ssim'"),
        (
            "ms_ssim",
            1,
            "'ms_ssim' is for colour images, and these are grey: use loss 'ssim'.*color='rgb'",
        ),
    ],
)
def test_a_wrong_pair_of_loss_and_colour_is_refused_with_the_right_one(loss, channels, message):
    detector = small(loss=loss)
    with pytest.raises(ValueError, match=message):
        detector.fit(
            images(4, (64, 64, channels)), images(2, (64, 64, channels)), show_progress=False
        )
    with pytest.raises(RuntimeError, match="not fitted"):
        detector.score(images(2, (64, 64, channels)))


@pytest.mark.parametrize(
    "architecture, loss, shape",
    [
        ("mvtec", "ssim", (64, 32, 1)),
        ("baseline", "ms_ssim", (64, 64, 3)),
        ("inception", "l2", (64, 64, 1)),
        ("resnet", "ssim", (64, 64, 1)),
        ("skip", "l2", (64, 32, 3)),
    ],
)
def test_every_architecture_and_loss_learns(architecture, loss, shape):
    good = images(8, shape)
    plan = replace(PLAN, epochs=12, learning_rate=5e-3, schedule="constant")
    detector = small(architecture, loss, plan=plan, width=0.25).fit(
        good[:6], good[6:], show_progress=False
    )
    losses = detector.history["val_loss"]
    assert (
        losses.min() < losses.iloc[0]
        and detector.history["loss"].iloc[-1] < 0.9 * detector.history["loss"].iloc[0]
    )
    counterpart = detector.counterpart(good)
    assert counterpart.shape == good.shape and 0 <= counterpart.min() and counterpart.max() <= 1
    assert detector.anomaly_map(good).shape == good.shape[:3] and detector.score(good).shape == (8,)


@pytest.mark.parametrize("architecture", ["skip", "mvtec"])
def test_bfloat16_starts_with_finite_gradients_also_on_maps_of_one_pixel(architecture):
    good = images(8, (128, 64, 1))
    # Three trainings, because without care about every other one began with NaN.
    for seed in range(3):
        detector = small(
            architecture, precision="bfloat16", width=0.5, plan=replace(PLAN, epochs=1), seed=seed
        ).fit(good[:6], good[6:], show_progress=False)
        assert (
            np.isfinite(detector.history["val_loss"]).all()
            and np.isfinite(detector.score(good)).all()
        )


def test_the_learning_rate_is_found_and_kept(tmp_path):
    good = images(8)
    detector = small(plan=replace(PLAN, learning_rate=None)).fit(
        good[:6], good[6:], show_progress=False
    )
    assert 1e-6 < detector.found_learning_rate < 1 and len(detector.learning_rate_sweep) > 10
    detector.save(tmp_path / "cae")
    again = CAE.load(tmp_path / "cae")
    assert again.found_learning_rate == detector.found_learning_rate
    np.testing.assert_allclose(again.learning_rate_sweep, detector.learning_rate_sweep)
    # The cyclical schedule starts in a valley.
    assert detector.history["learning_rate"].iloc[0] < detector.found_learning_rate


def test_stored_and_loaded_scores_are_equal_also_with_another_residual(tmp_path):
    good, detector = images(8), fitted()
    detector.save(tmp_path / "cae")
    again = CAE.load(tmp_path / "cae")
    np.testing.assert_array_equal(again.score(good), detector.score(good))
    changed = CAE.load(tmp_path / "cae", scoring=ResidualScore("area", "ssim", minimal_area=9))
    assert (
        changed.parameters["scoring"]["residual"] == "ssim"
        and (changed.score(good) != detector.score(good)).all()
    )
    np.testing.assert_array_equal(changed.counterpart(good), detector.counterpart(good))
    with pytest.raises(
        ValueError, match="loss cannot be changed in a trained CAE; what can is scoring"
    ):
        CAE.load(tmp_path / "cae", loss="ssim")


def test_a_model_of_another_size_or_colour_says_so(tmp_path):
    fitted().save(tmp_path / "cae")
    detector = CAE.load(tmp_path / "cae")
    for shape in ((128, 64, 1), (64, 64, 3)):
        with pytest.raises(ValueError, match=r"\(64, 64, 1\).*image size 64 x 64.*grayscale"):
            detector.score(images(2, shape))


def test_weights_of_another_architecture_are_refused(tmp_path):
    good = images(8)
    small(width=0.2).fit(good[:6], good[6:], show_progress=False).save(tmp_path / "wide")
    fitted().save(tmp_path / "cae")
    wrong = (tmp_path / "wide" / "autoencoder.weights.h5").read_bytes()
    path = tmp_path / "cae" / "autoencoder.weights.h5"
    path.write_bytes(wrong)
    with pytest.raises(ValueError, match="SHA-256"):
        CAE.load(tmp_path / "cae")
    manifest = tmp_path / "cae" / "manifest.json"
    described = json.loads(manifest.read_text())
    described["files"][path.name] = sha256(path)
    manifest.write_text(json.dumps(signed(described)))
    with pytest.raises(ValueError, match="does not fit the network"):
        CAE.load(tmp_path / "cae")


def test_another_score_finds_the_same_training_again(tmp_path):
    from types import SimpleNamespace

    good = images(8)
    category = SimpleNamespace(
        name="thing",
        fingerprint="a",
        train=SimpleNamespace(images=good[:6]),
        validation=SimpleNamespace(images=good[6:]),
    )
    once = replace(PLAN, epochs=1)
    first = fit_or_load(small(plan=once), category, tmp_path, show_progress=False)
    again = fit_or_load(
        small(plan=once, scoring=ResidualScore(smoothing=1.0)),
        category,
        tmp_path,
        show_progress=False,
    )
    assert again.folder == first.folder and again.scoring.residual == "absolute"
    np.testing.assert_array_equal(again.counterpart(good), first.counterpart(good))
    fit_or_load(small(plan=once, loss="ssim"), category, tmp_path, show_progress=False)
    assert len(list((tmp_path / "thing" / "cae").iterdir())) == 2


def test_residual_maps_are_plain_and_per_image():
    good, detector = images(8), fitted()
    counterpart = detector.counterpart(good)
    np.testing.assert_allclose(
        detector.residual_map(good), ((good - counterpart) ** 2).mean(axis=-1), atol=1e-6
    )
    np.testing.assert_allclose(
        detector.residual_map(good[2:3]), detector.residual_map(good)[2:3], atol=1e-6
    )


def test_copying_architectures_are_known():
    assert [CAE(one).copies_defects for one in ARCHITECTURES] == [False, False, False, True, True]
