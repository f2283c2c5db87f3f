"""Architectures against their tables, and the refusal of what does not fit."""

import pytest
from keras import layers

from adhelpers.detectors.cae_networks import ARCHITECTURES, build_autoencoder


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
