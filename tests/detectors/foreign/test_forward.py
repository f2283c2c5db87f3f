import numpy as np
import pytest

from adhelpers.detectors.foreign.forward import Wanted, first_line
from adhelpers.detectors.foreign.functions import FunctionDetector
from adhelpers.detectors.foreign.preprocessing import Preprocessing


def detector_of(function, batch_size=16, **options):
    return FunctionDetector(
        function, "mine", Preprocessing(), Wanted(batch_size=batch_size), **options
    )


@pytest.fixture
def images():
    return np.random.default_rng(2).uniform(size=(5, 16, 16, 1)).astype(np.float32)


def test_a_batch_that_changes_the_numbers_is_noticed(images):
    """Maps divided by the largest value of their batch: one bright image would hide the others."""

    def function(given):
        maps = given[..., 0]
        return maps / maps.max()

    detector = detector_of(function)
    assert np.allclose(detector.score(images), 1)
    assert "other numbers in a batch than alone" in detector.facts()[-1]


def test_blocks_and_single_images_give_the_same(images):
    seen = []

    def function(given):
        seen.append(len(given))
        return given.max(axis=(1, 2, 3))

    detector = detector_of(function, batch_size=2)
    seen.clear()
    assert np.allclose(detector.score(images), images.max(axis=(1, 2, 3)))
    assert seen == [2, 2, 1]
    assert detector.facts() == ["It gives no map; the score is its output 'output'"]


def test_what_fails_with_two_images_gets_one_at_a_time(images):
    def function(given):
        return given.reshape(16, 16)[None] if len(given) == 1 else 1 / 0

    detector = detector_of(function, examples=images)
    assert np.allclose(detector.anomaly_map(images), images[..., 0])
    assert "fails with two images at once" in detector.facts()[-1]


def test_examples_say_what_will_be_resized(images):
    detector = FunctionDetector(
        lambda given: given[:, ::2, ::2].mean(axis=-1),
        "mine",
        Preprocessing(size=(8, 8)),
        Wanted(),
        examples=images,
    )
    assert detector.facts()[-2:] == [
        "Images of 16 x 16 are resized to 8 x 8 (bicubic)",
        "Maps of 4 x 4 are resized to 16 x 16 (bilinear)",
    ]


def test_chance_is_told_from_batches(images):
    random = np.random.default_rng(0)
    detector = detector_of(lambda given: random.uniform(size=len(given)))
    assert "other numbers each time" in detector.facts()[-1]
    detector.score(images)


def test_a_failure_names_the_detector_and_the_size(images):
    def function(given):
        if given.shape[1] < 32:
            raise RuntimeError("too small\nand a long trace")
        return given.mean(axis=(1, 2, 3))

    with pytest.raises(
        ValueError, match="mine does not run on images of 16 x 16 pixels with 1 channel: too small"
    ) as caught:
        detector_of(function).score(images)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="mine does not run on an image: too small"):
        detector_of(function, examples=images)


def test_an_output_of_another_length_is_refused(images):
    detector = detector_of(lambda given: given.mean(axis=(1, 2, 3))[:3])
    with pytest.raises(ValueError, match=r"'output' of the shape \(3,\) for 5 images"):
        detector.score(images)


def test_a_reconstruction_gives_map_score_and_counterpart():
    images = np.full((2, 16, 16, 3), 0.5, np.float32)
    images[1, 8, 8] = 1
    detector = detector_of(lambda given: np.full_like(given, 0.5))
    scores, maps = detector.score_and_map(images)
    assert scores[0] == 0 < scores[1] and maps[1].argmax() == 8 * 16 + 8
    assert np.isclose(scores[1], maps[1].max())
    assert (detector.counterpart(images) == 0.5).all()
    assert detector.counterpart_name == "reconstruction"


def test_the_first_line_of_an_error():
    assert first_line(ValueError("a.\nb")) == "a"
    assert first_line(KeyError()) == "KeyError"
    assert first_line(RuntimeError("[ONNXRuntimeError] : 1 : FAIL : No room")) == "No room"
    with pytest.raises(ValueError, match="batch_size must be 1 or more"):
        Wanted(batch_size=0)
