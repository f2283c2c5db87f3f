import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from adhelpers.detectors import VAEGAN, VAELoss
from adhelpers.detectors.manifest import signed
from adhelpers.detectors.vae_gan import build_decoder, build_discriminator, build_encoder
from adhelpers.training import TrainingPlan


def images(count=6, shape=(32, 32, 1), seed=0):
    return np.random.default_rng(seed).uniform(size=(count, *shape)).astype("float32")


def small(size="compact", **changes):
    plan = replace(VAEGAN.default_plan(size), epochs=2, batch_size=4)
    return VAEGAN(size, **{"width": 0.1, "latent_dim": 4, "plan": plan, **changes})


def test_the_published_parameter_counts():
    shape = (128, 128, 3)
    counts = [
        build(shape).count_params() for build in (build_encoder, build_decoder, build_discriminator)
    ]
    assert counts == [3_021_216, 1_159_715, 328_929]
    # The reconstruction has the image's own shape, the discriminator says one number.
    assert build_decoder(shape).output_shape == (None, *shape) and build_discriminator(
        shape
    ).output_shape == (None, 1)


@functools.cache
def fitted(size="compact", **changes):
    """Compiling is most of a small training's time: tests that change nothing share one."""
    good = images(8)
    return small(size=size, **changes).fit(good[:4], good[4:], show_progress=False)


WEIGHTED = {"loss": VAELoss("binary_cross_entropy", 0.5, 2.0)}


@pytest.mark.parametrize(
    "size, shape", [("paper", (48, 16, 3)), ("compact", (16, 80, 1)), ("compact", (32, 32, 3))]
)
def test_any_multiple_of_16_grey_or_colour_also_non_square(size, shape):
    good = images(6, shape)
    detector = small(size=size).fit(good[:4], good[4:], show_progress=False)
    counterpart = detector.counterpart(good)
    assert counterpart.shape == good.shape and 0 <= counterpart.min() and counterpart.max() <= 1
    assert detector.anomaly_map(good).shape == good.shape[:3]
    assert detector.score(good).shape == (6,) and detector.encode(good).shape == (6, 4)


def test_a_size_that_is_no_multiple_of_16_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"multiple of 16.*40 x 30.*nearest is 32 x 32"):
        small().fit(images(4, (40, 30, 1)), images(2, (40, 30, 1)))


def test_the_reconstruction_is_deterministic_and_does_not_depend_on_the_batch():
    good, detector = images(40), fitted()
    np.testing.assert_array_equal(detector.score(good), detector.score(good))
    np.testing.assert_allclose(detector.score(good)[::-1], detector.score(good[::-1]), atol=1e-5)
    np.testing.assert_allclose(detector.score(good[:1]), detector.score(good)[:1], atol=1e-5)


def test_the_score_is_that_of_map_and_counterpart_and_is_differentiable():
    good, detector = images(8), fitted()
    np.testing.assert_allclose(
        detector.score(good), detector.anomaly_map(good).max(axis=(1, 2)), rtol=1e-6
    )
    np.testing.assert_allclose(
        detector.score(good), detector.score_tensor(tf.constant(good)), rtol=1e-5
    )
    image = tf.Variable(good)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(detector.score_tensor(image))
    assert np.abs(tape.gradient(total, image)).max() > 0


def test_the_adversarial_term_trains_the_discriminator():
    detector = fitted("paper", **WEIGHTED)
    assert {
        "loss",
        "reconstruction",
        "kl",
        "discriminator",
        "adversarial",
        "val_reconstruction",
    } <= set(detector.history.columns)
    fresh = build_discriminator((32, 32, 1), width=0.1)
    assert fresh.count_params() == detector.networks["discriminator"].count_params()
    moving = [
        variable
        for variable in detector.networks["discriminator"].variables
        if "moving_mean" in variable.path
    ]
    assert all(np.abs(variable.value.numpy()).max() > 0 for variable in moving)
    assert "discriminator" not in fitted().networks and "discriminator" not in fitted().history


def test_the_total_loss_is_the_weighted_sum_of_its_parts():
    history = fitted("paper", **WEIGHTED).history
    np.testing.assert_allclose(
        history["loss"],
        history["reconstruction"] + 0.5 * history["kl"] + 2 * history["adversarial"],
        rtol=1e-5,
    )


@pytest.mark.parametrize("size", ("paper", "compact"))
def test_training_lowers_the_reconstruction_error(size):
    rows = np.linspace(0, 1, 32, dtype="float32")[None, :, None, None]
    good = np.clip(
        rows
        * np.linspace(0.2, 1, 16, dtype="float32")[:, None, None, None]
        * np.ones((1, 1, 32, 1), "float32"),
        0,
        1,
    )
    detector = VAEGAN(
        size=size,
        width=0.25,
        latent_dim=8,
        loss=VAELoss("squared_error", kl_weight=0.001, adversarial_weight=0),
        plan=TrainingPlan(epochs=200, batch_size=8, learning_rate=3e-3),
        seed=1,
    ).fit(good[::2], good[1::2], show_progress=False)
    errors = detector.history["val_reconstruction"]
    assert errors.min() < 0.5 * errors.iloc[0]


def test_the_same_seed_gives_the_same_detector():
    good = images(8)
    again = small().fit(good[:4], good[4:], show_progress=False).score(good)
    np.testing.assert_array_equal(fitted().score(good), again)
    assert not np.allclose(again, fitted(seed=6).score(good))


def test_bfloat16_keeps_float32_weights_and_scores():
    good = images(8)
    detector = small(precision="bfloat16").fit(good[:4], good[4:], show_progress=False)
    assert detector.score(good).dtype == np.float32
    assert {
        variable.dtype
        for network in detector.networks.values()
        for variable in network.trainable_variables
    } == {"float32"}
    np.testing.assert_allclose(detector.score(good), fitted().score(good), rtol=0.05)


@pytest.mark.parametrize(
    "size, changes", [("paper", WEIGHTED), ("compact", {})], ids=["paper", "compact"]
)
def test_stored_and_loaded_scores_are_equal(tmp_path, size, changes):
    good, detector = images(8), fitted(size, **changes)
    detector.save(tmp_path / "model")
    loaded = VAEGAN.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score(good), detector.score(good))
    np.testing.assert_array_equal(loaded.encode(good), detector.encode(good))
    assert loaded.parameters == detector.parameters and len(loaded.history) == 2


def test_weights_of_another_architecture_are_refused(tmp_path):
    fitted().save(tmp_path / "model")
    manifest = tmp_path / "model" / "manifest.json"
    changed = json.loads(manifest.read_text().replace('"latent_dim": 4', '"latent_dim": 6'))
    manifest.write_text(json.dumps(signed(changed)))
    with pytest.raises(ValueError, match="encoder.weights.h5 does not fit"):
        VAEGAN.load(tmp_path / "model")


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": "huge"},
        {"precision": "float16"},
        {"latent_dim": 0},
        {"width": 0},
    ],
)
def test_wrong_parameters_are_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        VAEGAN(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"reconstruction": "l1"}, {"kl_weight": -1}, {"adversarial_weight": -1}]
)
def test_wrong_losses_are_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        VAELoss(**wrong)


def test_without_a_discriminator_it_is_called_a_vae():
    compact, paper = VAEGAN("compact"), VAEGAN("paper")
    assert (compact.title, paper.title) == ("VAE", "VAE-GAN")
    assert compact.name == paper.name == "vae_gan"


def test_a_rate_that_is_not_given_is_refused():
    detector = VAEGAN(plan=replace(VAEGAN.default_plan(), learning_rate=None))
    with pytest.raises(ValueError, match="learning_rate must be a number"):
        detector.fit(images(4), images(2), show_progress=False)
