import numpy as np
import pytest

from adhelpers.detectors.anogan.networks import (
    build_dcgan_discriminator,
    build_dcgan_generator,
    build_latent_encoder,
)


def test_the_published_parameter_counts():
    generator, discriminator = (
        build_dcgan_generator((64, 64, 3)),
        build_dcgan_discriminator((64, 64, 3)),
    )
    # Dense and four transposed convolutions without bias; four numbers of batch normalisation for
    # each unit of the dense layer and filter.
    kernels = 100 * 16384 + 25 * (256 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    assert generator.count_params() == kernels + 4 * (16384 + 256 + 128 + 64) == 4_372_928
    convolutions = sum(
        25 * first * second + second for first, second in ((3, 64), (64, 128), (128, 256))
    )
    assert (
        discriminator.count_params()
        == convolutions + 4 * (128 + 256) + 8 * 8 * 256 + 1
        == 1_047_169
    )


def test_the_published_layers():
    generator, discriminator = (
        build_dcgan_generator((64, 64, 3)),
        build_dcgan_discriminator((64, 64, 3)),
    )
    transposed = [
        (one.filters, one.kernel_size, one.strides)
        for one in generator.layers
        if "transpose" in one.name
    ]
    assert transposed == [
        (256, (5, 5), (1, 1)),
        (128, (5, 5), (2, 2)),
        (64, (5, 5), (2, 2)),
        (3, (5, 5), (2, 2)),
    ]
    dense = next(one for one in generator.layers if "dense" in one.name)
    assert (generator.input_shape, dense.units) == ((None, 100), 16384)
    kinds = [
        type(one).__name__
        for one in discriminator.layers
        if type(one).__name__ not in ("InputLayer", "Activation")
    ]
    block = ["Conv2D", "BatchNormalization", "LeakyReLU", "Dropout"]
    assert kinds == ["Conv2D", "LeakyReLU", "Dropout", *block, *block, "Flatten", "Dense"]
    assert {one.rate for one in discriminator.layers if type(one).__name__ == "Dropout"} == {0.3}
    slopes = [
        one.negative_slope for one in discriminator.layers if type(one).__name__ == "LeakyReLU"
    ]
    np.testing.assert_allclose(slopes, 0.2)


@pytest.mark.parametrize(
    "shape", [(32, 32, 1), (128, 128, 3), (256, 256, 3), (128, 32, 1), (64, 256, 3)]
)
def test_any_power_of_two_from_32_to_256(shape):
    generator = build_dcgan_generator(shape, latent_dim=10, width=0.1)
    discriminator = build_dcgan_discriminator(shape, width=0.1)
    assert generator.output_shape == (None, *shape)
    logit, features = discriminator.output_shape
    assert (
        logit == (None, 1)
        and min(features[1:3]) == 8
        and features[1] * shape[1] == features[2] * shape[0]
    )
    assert build_latent_encoder(shape, latent_dim=10, width=0.1).output_shape == (None, 10)


@pytest.mark.parametrize(
    "build", [build_dcgan_generator, build_dcgan_discriminator, build_latent_encoder]
)
@pytest.mark.parametrize(
    "shape, nearest",
    [((100, 64, 3), "128 x 64"), ((16, 64, 1), "32 x 64"), ((64, 512, 1), "64 x 256")],
)
def test_another_size_is_refused_with_the_nearest(build, shape, nearest):
    with pytest.raises(
        ValueError,
        match=f"image_size must be a power of two .*{shape[0]} x {shape[1]}; "
        f"the nearest is {nearest}",
    ):
        build(shape)


def test_width_scales_the_filters_and_normalisation_can_be_left_out():
    narrow, wide = (
        build_dcgan_generator((32, 32, 1), width=width).count_params() for width in (0.25, 0.5)
    )
    assert narrow < wide / 1.8
    plain = build_dcgan_discriminator((64, 64, 3), normalization="none")
    assert plain.count_params() == 1_047_169 - 4 * (128 + 256)


def test_images_are_between_minus_one_and_one_also_in_bfloat16():
    noise = np.random.default_rng(0).normal(size=(3, 100)).astype("float32")
    for policy in ("float32", "mixed_bfloat16"):
        images = build_dcgan_generator((32, 32, 3), width=0.1, policy=policy)(noise).numpy()
        assert images.dtype == np.float32 and -1 <= images.min() < images.max() <= 1
