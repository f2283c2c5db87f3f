"""What a review gains: a slow version over all orders, numbers worked out by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adhelpers.audit import review_curve


def slow_accuracy(scores, labels, predicted, count, classes=None):
    """The mean over all orders of equal scores of the accuracy once ``count`` are corrected."""
    results = []
    for order in itertools.permutations(range(len(scores))):
        if any(scores[first] < scores[second] for first, second in itertools.pairwise(order)):
            continue
        right = [
            predicted[index] == labels[index] or index in order[:count]
            for index in range(len(labels))
        ]
        if classes is None:
            results.append(np.mean(right))
        else:
            results.append(
                np.mean(
                    [
                        np.mean(
                            [one for one, label in zip(right, labels, strict=True) if label == kind]
                        )
                        for kind in classes
                    ]
                )
            )
    return np.mean(results)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_the_curve_against_a_slow_version(seed, by_class):
    draws = np.random.default_rng(seed)
    labels, predicted, scores = (
        np.array([0, 1, 2, *draws.integers(0, 3, 3)]),
        draws.integers(0, 3, 6),
        draws.integers(0, 3, 6) / 2,
    )
    classes = [1, 2] if by_class else None
    curve = review_curve({"any": scores}, labels, predicted, classes)
    for count in range(7):
        assert curve.accuracy["any"][count] == pytest.approx(
            slow_accuracy(scores, labels, predicted, count, classes)
        )
        # Random flagging is a score that is the same for all.
        assert curve.accuracy["random"][count] == pytest.approx(
            slow_accuracy(np.zeros(6), labels, predicted, count, classes)
        )
    assert curve.accuracy["ideal"][-1] == pytest.approx(1) and curve.before == pytest.approx(
        curve.accuracy["any"][0]
    )
    assert all(
        (curve.accuracy["ideal"] >= values - 1e-12).all() for values in curve.accuracy.values()
    )


def test_the_curve_by_hand():
    # Ten images, three wrong; the score finds two of them first and the third last.
    labels, predicted = np.array([0] * 5 + [1] * 5), np.array([1, 0, 0, 0, 0, 0, 0, 1, 1, 1])
    scores = np.array([0.9, 0.2, 0.3, 0.31, 0.32, 0.8, 0.01, 0.4, 0.5, 0.6])
    curve = review_curve({"score": scores}, labels, predicted)
    np.testing.assert_allclose(
        curve.accuracy["score"], [0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 1.0]
    )
    np.testing.assert_allclose(curve.accuracy["random"], 0.7 + 0.03 * np.arange(11))
    assert curve.share_needed(0.08) == {"score": 0.1, "random": 0.3, "ideal": 0.1}
    assert curve.share_needed(0.2)["score"] == 0.2 and np.isnan(curve.share_needed(0.4)["score"])
    assert curve.at(0.15)["score"] == pytest.approx(0.85)
    # Class 1 alone: three of five right before; putting one right lifts it by a fifth.
    only = review_curve({"score": scores}, labels, predicted, classes=[1])
    np.testing.assert_allclose(only.accuracy["score"][:4], [0.6, 0.6, 0.8, 0.8])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ({"a": [1.0]}, [0, 1], [0, 1]),
            "scores\\['a'\\] must hold one number for each of the 2 images",
        ),
        (({"a": [np.nan, 1.0]}, [0, 1], [0, 1]), "scores\\['a'\\] must be finite"),
        (({"random": [1.0, 0.0]}, [0, 1], [0, 1]), "'random' is a curve of its own"),
        (({"a": [1.0, 0.0]}, [0, 1], [0, 1], [2]), "there is no image of class 2"),
        (({"a": [1.0, 0.0]}, [0, 1], [0, 1], []), "at least one class"),
    ],
)
def test_bad_curves(arguments, message):
    with pytest.raises(ValueError, match=message):
        review_curve(*arguments)


def test_table_and_findings_of_a_review():
    curve = review_curve({"distance": [0.9, 0.1, 0.2, 0.3]}, [0, 0, 1, 1], [1, 0, 1, 0])
    table = curve.table(gain=0.25, shares=(0.5,))
    assert table.columns.tolist() == [
        "accuracy after reviewing 50 %",
        "share to review for +25 points",
    ]
    assert table.loc["distance"].tolist() == [1.0, 0.25]
    assert curve.findings(0.25) == [
        "To raise the accuracy from 0.500 by 25 points, 25.0 % of the images must be reviewed in "
        "the order of the distance, 50.0 % in random order, and 25.0 % in the best possible order."
    ]
    assert curve.findings(0.6) == [
        "The accuracy without a review is 0.500, so no review can raise it by more than 50.0 "
        "points."
    ]


def test_equal_scores_share_their_gain_from_the_first_image_on():
    # Two wrong ones among three of the highest score: each review corrects 2/3 of an image.
    curve = review_curve({"any": [1, 1, 1, 0]}, [0, 0, 0, 0], [1, 1, 0, 0])
    assert curve.accuracy["any"].tolist() == pytest.approx([1 / 2, 2 / 3, 5 / 6, 1, 1])
