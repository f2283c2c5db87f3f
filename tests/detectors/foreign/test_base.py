import numpy as np
import pytest

from adhelpers.detectors.foreign.base import Answer, ForeignDetector, resized_maps


class Answering(ForeignDetector):
    """Says what it is given."""

    def __init__(self, **answer):
        super().__init__("mine", has_map="maps" in answer)
        self._given = Answer(**answer)

    def _answer(self, images, *, score=True, maps=True):
        return self._given


def test_the_score_is_the_maximum_of_the_map_before_it_is_resized():
    """A bright pixel of a large map is averaged away in a small one; the score must not be."""
    maps = np.zeros((1, 64, 64))
    maps[0, 5, 5] = 1
    detector, images = Answering(maps=maps), np.zeros((1, 16, 16, 1), np.float32)
    assert detector.score(images).tolist() == [1]
    assert 0 < detector.anomaly_map(images).max() < 0.5


def test_resizing_is_bilinear_with_pixel_centres():
    assert resized_maps(np.array([[[0.0, 1.0]]]), (1, 4)).tolist() == [[[0, 0.25, 0.75, 1]]]
    # Where a map gets smaller every pixel counts, so that a small region is not skipped.
    spot = np.zeros((1, 64, 64))
    spot[0, 33, 33] = 1
    assert resized_maps(spot, (8, 8)).max() > 0.005


def test_nan_is_named_by_image():
    scores = np.array([0, np.nan, 1, np.inf])
    images = np.zeros((4, 8, 8, 1), np.float32)
    with pytest.raises(ValueError, match=r"NaN or infinite values in the score of image 1, 3"):
        Answering(scores=scores).score(images)
    maps = np.zeros((4, 8, 8))
    maps[2, 1, 1] = np.nan
    with pytest.raises(ValueError, match="anomaly map of image 2"):
        Answering(scores=np.zeros(4), maps=maps).anomaly_map(images)


def test_a_transposed_map_is_not_resized_into_shape():
    detector = Answering(maps=np.zeros((1, 32, 16)))
    with pytest.raises(ValueError, match="rows and columns are exchanged"):
        detector.anomaly_map(np.zeros((1, 16, 32, 1), np.float32))


def test_without_a_map_there_is_a_score_only():
    detector = Answering(scores=np.zeros(1))
    with pytest.raises(ValueError, match="mine gives a score and no anomaly map"):
        detector.anomaly_map(np.zeros((1, 8, 8, 1), np.float32))
    with pytest.raises(ValueError, match="no anomaly map"):
        detector.score_and_map(np.zeros((1, 8, 8, 1), np.float32))


def test_a_counterpart_is_given_to_a_copy():
    detector, images = Answering(scores=np.zeros(1)), np.full((1, 8, 8, 1), 0.5, np.float32)
    with pytest.raises(ValueError, match="no normal version"):
        detector.counterpart(images)
    other = detector.with_counterpart("darker", lambda images: images - 0.75)
    assert other.counterpart_name == "darker" and detector.counterpart_name == ""
    assert other.counterpart(images).max() == 0
    with pytest.raises(ValueError, match="no normal version"):
        detector.counterpart(images)
    wrong = detector.with_counterpart("grey", lambda images: images[..., 0])
    with pytest.raises(ValueError, match="must be finite and have the images' shape"):
        wrong.counterpart(images)


def test_wrong_counts_are_refused():
    images = np.zeros((2, 8, 8, 1), np.float32)
    with pytest.raises(ValueError, match=r"scores of the shape \(1,\) for 2 images"):
        Answering(scores=np.zeros(1)).score(images)
    with pytest.raises(ValueError, match="gave 3 maps for 2 images"):
        Answering(maps=np.zeros((3, 8, 8))).anomaly_map(images)
    with pytest.raises(ValueError, match=r"finite values in \[0, 1\]"):
        Answering(scores=np.zeros(2)).score(images + 2)


def test_a_few_sizes_are_listed_and_the_others_counted():
    detector = Answering(maps=np.zeros((1, 4, 4)))
    for side in range(8, 15):
        detector.anomaly_map(np.zeros((1, side, side, 1), np.float32))
    facts = detector.facts()
    assert len(facts) == 5 and facts[-1] == "3 other sizes were resized as well"
    assert "Maps of 4 x 4 are resized to 10 x 10 (bilinear)" in facts
