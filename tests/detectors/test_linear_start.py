"""Autoencoders that begin as a linear subspace: what they are before and after training."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from adhelpers.detectors import CAE, VAEGAN, Subspace
from adhelpers.detectors.cae_networks import ARCHITECTURES, build_autoencoder
from adhelpers.detectors.linear_start import (
    add_straight_code,
    add_straight_image,
    begin_as_subspace,
)
from adhelpers.detectors.vae_gan import build_decoder, build_encoder


def smooth_images(count, shape=(64, 64, 1), seed=0, kinds=6):
    """Mixtures of a few pictures, around a mean far from zero; some pixels never change."""
    random = np.random.default_rng(seed)
    pictures = np.random.default_rng(7).uniform(-1, 1, (kinds, *shape))
    pictures[:, :4] = 0
    mixed = random.uniform(-0.05, 0.05, (count, kinds)) * np.arange(kinds, 0, -1)
    return (0.6 + np.tensordot(mixed, pictures, 1) / 2).clip(0, 1).astype("float32")


def projected(count, train, images):
    """The same with scikit-learn's components."""
    return Subspace(count).fit(train, train).counterpart(images)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_autoencoder_begins_as_the_projection_onto_the_components(architecture):
    train, others = smooth_images(12), smooth_images(5, seed=1)
    network = build_autoencoder((64, 64, 1), architecture, 4, "components", width=0.1)
    begin_as_subspace(network, network, train)
    np.testing.assert_allclose(
        network(others).numpy().clip(0, 1), projected(4, train, others), atol=2e-5
    )


def test_fewer_images_than_the_code_is_long():
    train, others = smooth_images(4), smooth_images(3, seed=1)
    network = build_autoencoder((64, 64, 1), "mvtec", 9, "components", width=0.1)
    noise = begin_as_subspace(network, network, train)
    assert noise.tolist() == [1.0] * 9
    np.testing.assert_allclose(
        network(others).numpy().clip(0, 1), projected(3, train, others), atol=2e-5
    )


def test_images_that_are_all_alike_are_reproduced():
    train = np.repeat(smooth_images(1), 5, axis=0)
    network = build_autoencoder((64, 64, 1), "mvtec", 3, "components", width=0.1)
    begin_as_subspace(network, network, train)
    np.testing.assert_allclose(network(train).numpy(), train, atol=1e-5)


def test_the_noise_is_the_best_for_a_linear_variational_autoencoder():
    """Each coordinate's loss, worked out by hand, is lowest at the noise and scale it begins with.

    An image that has the value x along a component of variance v: the code's mean is m x, its
    noise s, the decoder's scale sqrt(v). The expected loss is (1 - sqrt(v) m)^2 v + v s^2 +
    2 w ((m^2 v + s^2 - 1) / 2 - log s).
    """
    train, weight = smooth_images(40, (32, 32, 1)), 0.02
    image = keras.Input((32, 32, 1))
    encoder = keras.Model(image, add_straight_code(image, 0 * layers.Dense(3)(image[:, 0, :, 0])))
    code = keras.Input((3,))
    blank = layers.Reshape((32, 32, 1))(0 * layers.Dense(1024)(code))
    decoder = keras.Model(code, add_straight_image(code, blank))
    noise = begin_as_subspace(encoder, decoder, train, noise_weight=weight)
    variances = (decoder.get_layer("straight_image").kernel.numpy() ** 2).sum(axis=1)
    scales = np.linalg.norm(encoder.get_layer("straight_code").kernel.numpy(), axis=0)
    for v, m, s in zip(variances, scales, np.sqrt(noise), strict=True):

        def loss(m, s, v=v):
            deviation = (1 - np.sqrt(v) * m) ** 2 * v + v * s**2
            return deviation + 2 * weight * ((m**2 * v + s**2 - 1) / 2 - np.log(s))

        around = [loss(m * a, s * b) for a in (0.97, 1, 1.03) for b in (0.97, 1, 1.03)]
        assert min(around) == around[4]


def test_the_linear_maps_stay_and_the_rest_is_trained():
    good = smooth_images(10, (32, 32, 3))
    plan = replace(VAEGAN.default_plan(), epochs=2, batch_size=4)
    detector = VAEGAN(width=0.1, latent_dim=4, latent="components", plan=plan)
    detector.fit(good[:8], good[8:], show_progress=False)
    encoder, decoder = (detector.networks[name] for name in ("encoder", "decoder"))
    centred = good[:8] - good[:8].mean(axis=0)
    fresh = (
        build_encoder((32, 32, 3), "compact", 4, 0.1, latent="components"),
        build_decoder((32, 32, 3), "compact", 4, 0.1, latent="components"),
    )
    # The reconstruction error is averaged over three channels.
    begin_as_subspace(*fresh, centred, noise_weight=3 * detector.loss.kl_weight / 2)
    for trained, begun, name in zip(
        (encoder, decoder), fresh, ("straight_code", "straight_image"), strict=True
    ):
        ours, expected = (one.get_layer(name).kernel.numpy() for one in (trained, begun))
        # A principal component has no sign of its own.
        np.testing.assert_allclose(np.abs(ours), np.abs(expected), atol=1e-5)
        assert not trained.get_layer(name).trainable
    assert np.abs(encoder.get_layer("mean").kernel.numpy()).max() > 0


@pytest.mark.parametrize("kind", [VAEGAN, CAE])
def test_two_epochs_are_enough_and_the_model_is_found_again(kind, tmp_path):
    good = smooth_images(24)
    plan = replace(kind.default_plan(), epochs=2, batch_size=8, learning_rate=1e-3)
    fitted = {
        latent: kind(width=0.1, latent_dim=6, latent=latent, plan=plan).fit(
            good[:16], good[16:], show_progress=False
        )
        for latent in ("vector", "components")
    }
    errors = {
        latent: float(((one.counterpart(good[16:]) - good[16:]) ** 2).mean())
        for latent, one in fitted.items()
    }
    assert errors["components"] < errors["vector"] / 4
    detector = fitted["components"]
    detector.save(tmp_path / "model")
    again = kind.load(tmp_path / "model")
    np.testing.assert_array_equal(again.counterpart(good), detector.counterpart(good))
    assert 0 <= again.counterpart(1 - good).min() and again.counterpart(1 - good).max() <= 1


def test_the_published_size_has_no_linear_maps():
    with pytest.raises(ValueError, match="'components' needs size 'compact', not 'paper'"):
        VAEGAN("paper", latent="components")
    with pytest.raises(ValueError, match="latent must be one of vector, components"):
        VAEGAN(latent="map")
