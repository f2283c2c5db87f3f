"""Autoencoders: architectures against their tables, training, storage, and the refusal of what does not fit."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
from keras import layers

from adhelpers._shared.files import sha256
from adhelpers.detectors import (
    ARCHITECTURES,
    CAE,
    ResidualScore,
    Subspace,
    build_autoencoder,
    copied_share,
    fit_or_load,
    plant_patches,
)


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
    """Compiling the training step is most of a small training's time, so tests that change nothing share one."""
    good = images(8)
    return small(architecture, loss, **changes).fit(good[:6], good[6:], show_progress=False)


def convolutions(network, kind):
    return [
        (layer.filters, layer.kernel_size[0], layer.strides[0])
        for layer in network.layers
        if type(layer) is kind
    ]


def test_mvtec_is_the_published_table():
    network = build_autoencoder((128, 128, 1))
    assert convolutions(network, layers.Conv2D) == [
        (32, 4, 2),
        (32, 4, 2),
        (32, 3, 1),
        (64, 4, 2),
        (64, 3, 1),
        (128, 4, 2),
        (64, 3, 1),
        (32, 3, 1),
        (100, 8, 1),
    ]
    assert convolutions(network, layers.Conv2DTranspose) == [
        (32, 8, 1),
        (64, 3, 1),
        (128, 3, 1),
        (64, 4, 2),
        (64, 3, 1),
        (32, 4, 2),
        (32, 3, 1),
        (32, 4, 2),
        (1, 4, 2),
    ]
    # Each convolution: filters x (size² x inputs + 1), written out.
    encoder = [
        (32, 4, 1),
        (32, 4, 32),
        (32, 3, 32),
        (64, 4, 32),
        (64, 3, 64),
        (128, 4, 64),
        (64, 3, 128),
        (32, 3, 64),
        (100, 8, 32),
    ]
    decoder = [
        (32, 8, 100),
        (64, 3, 32),
        (128, 3, 64),
        (64, 4, 128),
        (64, 3, 64),
        (32, 4, 64),
        (32, 3, 32),
        (32, 4, 32),
        (1, 4, 32),
    ]
    assert network.count_params() == sum(
        filters * (size**2 * inputs + 1) for filters, size, inputs in encoder + decoder
    )


def test_mvtec_at_256_pixels_has_one_convolution_more_in_front():
    network = build_autoencoder((256, 256, 3), latent_dim=500)
    assert convolutions(network, layers.Conv2D)[:3] == [(32, 4, 2)] * 3 and network.get_layer(
        "code"
    ).output.shape == (None, 1, 1, 500)
    as_map = build_autoencoder((256, 256, 3), latent="map")
    assert as_map.get_layer("code").output.shape == (None, 8, 8, 1)


@pytest.mark.parametrize("architecture", ["baseline", "inception"])
def test_six_blocks_around_a_dense_code(architecture):
    network = build_autoencoder((128, 128, 1), architecture)
    pools = [
        layer
        for layer in network.layers
        if isinstance(layer, layers.MaxPooling2D) and layer.strides == (2, 2)
    ]
    assert (
        len(pools) == 6
        and sum(isinstance(layer, layers.UpSampling2D) for layer in network.layers) == 6
    )
    assert [pool.output.shape[-1] for pool in pools] == [32, 32, 64, 64, 128, 128]
    assert network.get_layer("code").output.shape == (None, 64)
    slopes = {
        layer.negative_slope for layer in network.layers if isinstance(layer, layers.LeakyReLU)
    }
    assert [round(slope, 6) for slope in slopes] == [0.1]


def test_inception_has_four_parallel_branches():
    network = build_autoencoder((64, 64, 1), "inception")
    joined = next(layer for layer in network.layers if isinstance(layer, layers.Concatenate))
    assert [tensor.shape[-1] for tensor in joined.input] == [
        8,
        8,
        8,
        8,
    ] and joined.output.shape == (None, 64, 64, 32)
    first_sizes = [
        layer.kernel_size[0] for layer in network.layers if isinstance(layer, layers.Conv2D)
    ][:4]
    assert sorted(first_sizes) == [1, 1, 3, 5]


def test_skip_goes_down_to_one_pixel_and_has_two_shortcuts():
    network = build_autoencoder((128, 128, 1), "skip")
    shapes = [layer.output.shape[1:] for layer in network.layers if type(layer) is layers.Conv2D]
    assert shapes[-1] == (1, 1, 256) and len(shapes) == 7
    assert sum(isinstance(layer, layers.Add) for layer in network.layers) == 2
    assert network.get_layer("code").output.shape == (None, 64)


def test_resnet_adds_every_stage_to_the_decoder():
    network = build_autoencoder((64, 64, 1), "resnet")
    # Five residual blocks and five shortcuts across.
    assert sum(isinstance(layer, layers.Add) for layer in network.layers) == 10


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(128, 128, 1), (256, 256, 3), (256, 128, 1)])
def test_every_architecture_gives_back_the_shape_in_unit_range(architecture, shape):
    network = build_autoencoder(shape, architecture, width=0.1)
    assert network.output_shape == (None, *shape)
    assert network.layers[-1].activation.__name__ == "sigmoid"


@pytest.mark.parametrize(
    "architecture, shape, message",
    [
        ("mvtec", (100, 100, 1), "multiples of 16, not 100 x 100; the nearest is 96 x 96"),
        ("baseline", (128, 96, 1), "multiples of 64, not 128 x 96; the nearest is 128 x 128"),
        ("inception", (40, 40, 1), "multiples of 64.*nearest is 64 x 64"),
        ("resnet", (40, 64, 1), "multiples of 32"),
        ("skip", (96, 128, 1), "powers of two.*not 96 x 128; the nearest is 128 x 128"),
    ],
)
def test_a_size_that_does_not_fit_is_refused_with_the_nearest(architecture, shape, message):
    with pytest.raises(ValueError, match=message):
        build_autoencoder(shape, architecture)


def test_wrong_choices_are_named():
    with pytest.raises(ValueError, match="architecture must be one of mvtec, baseline"):
        build_autoencoder((64, 64, 1), "unet")
    with pytest.raises(
        ValueError, match="'map' for the architecture 'mvtec', not 'map' for 'skip'"
    ):
        build_autoencoder((64, 64, 1), "skip", latent="map")
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
    manifest.write_text(json.dumps(described))
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


def test_copying_architectures_are_known_and_measured():
    assert [CAE(one).copies_defects for one in ARCHITECTURES] == [False, False, False, True, True]

    class Copier:
        def counterpart(self, pictures):
            return 0.25 * pictures

    good = images(6)
    planted = plant_patches(
        np.random.default_rng(0).uniform(size=good.shape).astype("float32"), seed=0, draws=1
    )
    plain = np.random.default_rng(0).uniform(size=good.shape).astype("float32")
    assert copied_share(Copier(), plain, planted) == pytest.approx(0.25, abs=1e-4)
    subspace = Subspace(n_components=2).fit(plain[:4], plain[4:])
    assert copied_share(subspace, plain, planted) < 0.2
    with pytest.raises(ValueError, match="nothing that could be copied"):
        copied_share(Copier(), plain, plain)
