import numpy as np
import pytest

from adhelpers.explainers.composed import ComposedImage

SHOWN = np.array([[[True, False], [False, False]], [[True, True], [True, True]]])


def pair():
    return np.arange(1, 9, dtype=np.float32).reshape(2, 2, 2)[..., :1], np.zeros((2, 2, 1), "f")


def total(images):
    return images.sum(axis=(1, 2, 3))


class Regions:
    def __init__(self, answer):
        self.answer = answer

    def add(self, regions):
        pass

    def __call__(self, shown, present):
        return self.answer


def test_composes_by_hand_and_counts():
    composed = ComposedImage(total, *pair(), batch_size=1)
    assert composed(SHOWN, np.zeros((2, 0))).tolist() == [1.0, 16.0]
    assert composed.evaluations == 2
    assert composed.whole(pair()[0]) == 16 and composed.evaluations == 2


def test_scores_from_regions_are_taken_where_they_agree():
    composed = ComposedImage(total, *pair(), 16, lambda *_: Regions(np.array([1.00001, 5.0])))
    assert composed(SHOWN, np.zeros((2, 0))).tolist() == [1.00001, 5.0]
    assert composed.evaluations == 2


@pytest.mark.parametrize(
    "answer, message",
    [
        ([1.1, 16.0], "region_scores gives 1.1 where score gives 1 for the same composed image"),
        ([1.0], "one finite number for each of 2 compositions"),
        ([1.0, np.nan], "one finite number"),
    ],
)
def test_another_detectors_scores_are_refused(answer, message):
    composed = ComposedImage(total, *pair(), 16, lambda *_: Regions(np.array(answer)))
    with pytest.raises(ValueError, match=message):
        composed(SHOWN, np.zeros((2, 0)))
