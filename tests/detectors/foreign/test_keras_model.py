import keras
import numpy as np
import pytest
from keras import layers

from adhelpers.detectors import wrap_detector


def model_of(make, shape=(16, 16, 3)):
    images = keras.Input(shape)
    return keras.Model(images, make(images))


def test_one_number_an_image_is_a_score(images):
    detector = wrap_detector(model_of(lambda one: layers.GlobalMaxPooling2D()(one)[:, :1]))
    assert np.allclose(detector.score(images), images[..., 0].max(axis=(1, 2)))
    assert not detector.has_map and detector.preprocessing.size == (16, 16)


def test_one_channel_from_three_is_a_map(images):
    detector = wrap_detector(model_of(lambda one: keras.ops.mean(one, axis=-1, keepdims=True)))
    assert np.allclose(detector.anomaly_map(images), images.mean(axis=-1), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_shape_of_the_input_is_a_reconstruction(images, channels):
    """With one channel it could be a map as well: an autoencoder for grey images is meant."""
    images = images[..., :channels]
    model = model_of(lambda one: keras.ops.minimum(one, 0.5), (16, 16, channels))
    detector = wrap_detector(model)
    assert np.allclose(detector.counterpart(images), np.minimum(images, 0.5), atol=1e-6)
    assert (np.diff(detector.score(images)) > 0).all()
    assert "difference between the image and its output" in " ".join(detector.facts())


def test_dropout_does_nothing(images):
    model = model_of(lambda one: keras.ops.mean(layers.Dropout(0.5)(one), axis=-1))
    detector = wrap_detector(model)
    assert np.allclose(detector.anomaly_map(images), images.mean(axis=-1), atol=1e-6)


def test_several_outputs_have_names(images):
    inputs = keras.Input((16, 16, 3))
    maps = keras.ops.mean(inputs, axis=-1)
    score = layers.Reshape((1,))(keras.ops.max(maps, axis=(1, 2)))
    detector = wrap_detector(keras.Model(inputs, {"anomaly_map": maps, "pred_score": score}))
    assert np.allclose(detector.score(images), [0.6, 0.7, 0.8, 0.9]) and detector.has_map


def test_what_takes_no_images_is_refused():
    two = [keras.Input((4, 4, 1)), keras.Input((4, 4, 1))]
    with pytest.raises(ValueError, match="has 2 inputs"):
        wrap_detector(keras.Model(two, layers.Add()(two)), title="two")
    with pytest.raises(ValueError, match="not images"):
        wrap_detector(model_of(layers.Dense(1), (768,)), title="flat")
    classifier = model_of(lambda one: layers.Dense(10)(layers.Flatten()(one)))
    with pytest.raises(ValueError, match="has no output that is a score"):
        wrap_detector(classifier)
