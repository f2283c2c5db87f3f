from itertools import combinations
from math import comb

import numpy as np
import pytest
import shap

from adhelpers.explainers import explain_with_shap


def random_pair(shape, seed=0):
    draws = np.random.default_rng(seed)
    return draws.random(shape, dtype=np.float32), draws.random(shape, dtype=np.float32)


def curved(images):
    """A score with interactions of all orders."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    return np.exp(-flat[:, ::2].sum(1)) + flat.prod(1) + (flat[:, 1:] * flat[:, :-1]).sum(1)


def shapley(value, players):
    """Shapley values by definition, for few players: ``value(frozenset)``."""
    result = {}
    for player in players:
        others = [other for other in players if other != player]
        result[player] = sum(
            (value(frozenset(coalition) | {player}) - value(frozenset(coalition)))
            / (len(players) * comb(len(others), size))
            for size in range(len(players))
            for coalition in combinations(others, size)
        )
    return result


def owen(value, rows, columns):
    """Owen values by definition: a region's halves share its worth as two players.

    Once without and once with all else that a region above has granted, half each; the longer side
    is halved, rows first, the greater half of an odd side at the top or left.
    """
    heatmap = np.zeros((rows.stop, columns.stop))

    def share(rows, columns, context, weight):
        region = frozenset((row, column) for row in rows for column in columns)
        if len(region) == 1:
            (place,) = region
            heatmap[place] += weight * (value(context | region) - value(context))
            return
        if len(rows) >= len(columns) and len(rows) > 1:
            middle = (len(rows) + 1) // 2
            halves = (rows[:middle], columns), (rows[middle:], columns)
        else:
            middle = (len(columns) + 1) // 2
            halves = (rows, columns[:middle]), (rows, columns[middle:])
        for half, other in (halves, halves[::-1]):
            everything = frozenset((row, column) for row in other[0] for column in other[1])
            share(*half, context, weight / 2)
            share(*half, context | everything, weight / 2)

    share(rows, columns, frozenset(), 1.0)
    return heatmap


def worth(score, image, counterpart):
    def value(places):
        composed = counterpart.copy()
        for place in places:
            composed[place] = image[place]
        return float(score(composed[None])[0])

    return value


@pytest.mark.parametrize("shape", [(4, 4, 1), (2, 4, 1), (3, 2, 1), (1, 2, 1)])
def test_equals_owen_values_by_definition(shape):
    image, counterpart = random_pair(shape)
    result = explain_with_shap(curved, image, counterpart, max_evaluations=100000)
    expected = owen(worth(curved, image, counterpart), range(shape[0]), range(shape[1]))
    np.testing.assert_allclose(result.heatmap, expected, atol=1e-6)


def test_two_pixels_are_plain_shapley():
    image, counterpart = random_pair((2, 1, 1))
    value = worth(curved, image, counterpart)
    expected = shapley(value, [(0, 0), (1, 0)])
    heatmap = explain_with_shap(curved, image, counterpart, max_evaluations=100).heatmap
    np.testing.assert_allclose(heatmap.ravel(), [expected[0, 0], expected[1, 0]], atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8, 1), (4, 4, 3), (7, 3, 3)])
def test_additive_score_is_exact_pixel_by_pixel(shape):
    image, counterpart = random_pair(shape)
    weights = np.random.default_rng(1).standard_normal(shape)
    result = explain_with_shap(
        lambda images: (images * weights).sum((1, 2, 3)), image, counterpart, max_evaluations=20000
    )
    np.testing.assert_allclose(result.heatmap, ((image - counterpart) * weights).sum(2), atol=1e-5)


@pytest.mark.parametrize("budget", [4, 30, 500])
@pytest.mark.parametrize("shape", [(32, 32, 1), (24, 40, 3)])
def test_values_sum_to_the_difference_within_the_budget(shape, budget):
    image, counterpart = random_pair(shape)

    def score(images):
        return np.abs(images - 0.3).max((1, 2, 3)) + images.mean((1, 2, 3))

    result = explain_with_shap(score, image, counterpart, max_evaluations=budget)
    of_image, of_counterpart = score(np.stack([image, counterpart]))
    assert result.heatmap.shape == shape[:2] and result.heatmap.dtype == np.float32
    assert result.heatmap.sum(dtype=np.float64) == pytest.approx(
        of_image - of_counterpart, abs=1e-5
    )
    assert result.details["base_value"] == pytest.approx(of_counterpart) and result.details[
        "score"
    ] == pytest.approx(of_image)
    assert result.details["num_evaluations"] <= budget + 1


def test_symmetric_pixels_share_alike_and_null_pixels_get_nothing():
    image, counterpart = np.ones((8, 8, 1), np.float32), np.zeros((8, 8, 1), np.float32)

    def score(images):  # both halves enter alike and only together; the lower rows not at all
        return images[:, :4, :4].mean((1, 2, 3)) * images[:, :4, 4:].mean((1, 2, 3))

    heatmap = explain_with_shap(score, image, counterpart, max_evaluations=20000).heatmap
    np.testing.assert_allclose(heatmap[:4], 0.5 / 16, atol=1e-6)
    np.testing.assert_array_equal(heatmap[4:], 0)


def test_counterpart_equal_to_image_explains_nothing():
    image, _ = random_pair((16, 16, 3))
    np.testing.assert_array_equal(
        explain_with_shap(lambda images: images.sum((1, 2, 3)), image, image).heatmap, 0
    )


@pytest.mark.parametrize("shape", [(48, 32, 1), (32, 48, 3)])
def test_finds_the_rectangle_that_the_score_looks_at(shape):
    image, counterpart = random_pair(shape)
    image[8:16, 20:28], counterpart[8:16, 20:28] = 1, 0
    heatmap = explain_with_shap(
        lambda images: images[:, 8:16, 20:28].max((1, 2, 3)), image, counterpart
    ).heatmap
    inside = np.zeros(shape[:2], bool)
    inside[8:16, 20:28] = True
    assert heatmap[inside].max() == heatmap.max()
    assert heatmap[inside].mean() > 10 * np.abs(heatmap[~inside]).mean()


@pytest.mark.parametrize("shape", [(7, 5, 1), (16, 12, 3), (32, 48, 1)])
@pytest.mark.parametrize("budget", [12, 100, 300])
def test_equals_shaps_partition_explainer(shape, budget):
    image, counterpart = random_pair(shape)
    explainer = shap.PartitionExplainer(
        lambda images: curved(images.astype(np.float32)), shap.maskers.Image(counterpart)
    )
    theirs = explainer(image[None], max_evals=budget, batch_size=16, silent=True)
    ours = explain_with_shap(curved, image, counterpart, max_evaluations=budget)
    expected = np.asarray(theirs.values).reshape(shape).sum(axis=2)
    np.testing.assert_allclose(ours.heatmap, expected, atol=1e-6 * np.abs(expected).max())


class Linear:
    """Scores of compositions from those of regions, for a score that is a weighted sum."""

    def __init__(self, weights, image, counterpart):
        added = (image - counterpart) * weights
        self.added, self.base = added.sum(axis=2), float((counterpart * weights).sum())
        self.regions, self.asked = np.zeros((0, *image.shape[:2]), bool), 0

    def add(self, regions):
        self.regions = np.concatenate([self.regions, regions])

    def __call__(self, shown, present):
        # The numbers that are given with a composition describe it.
        np.testing.assert_array_equal(np.tensordot(present, self.regions.astype("f"), 1), shown)
        self.asked += len(shown)
        return self.base + (shown * self.added).sum(axis=(1, 2))


@pytest.mark.parametrize("shape", [(9, 7, 1), (16, 16, 3)])
def test_scores_from_regions_take_the_place_of_the_score(shape):
    image, counterpart = random_pair(shape)
    weights = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    asked, made = [], []

    def score(images):
        asked.append(len(images))
        return (images * weights).sum(axis=(1, 2, 3))

    def region_scores(*pair):
        made.append(Linear(weights, *pair))
        return made[-1]

    plain = explain_with_shap(score, image, counterpart, max_evaluations=200)
    asked.clear()
    quick = explain_with_shap(
        score, image, counterpart, max_evaluations=200, region_scores=region_scores
    )
    np.testing.assert_allclose(quick.heatmap, plain.heatmap, atol=1e-5)
    assert quick.details["num_evaluations"] == plain.details["num_evaluations"] == made[0].asked
    # Only the checks: one composition, the image and the counterpart.
    assert sum(asked) == 3


def test_score_sees_float32_images_made_of_both_in_batches_and_shap_prints_nothing(capfd):
    image, counterpart = random_pair((16, 16, 1))

    def score(images):
        assert images.dtype == np.float32 and 1 <= len(images) <= 16
        assert ((images == image) | (images == counterpart)).all()
        return images.sum((1, 2, 3))

    explain_with_shap(score, image, counterpart, batch_size=16)
    assert capfd.readouterr() == ("", "")


def test_score_that_does_not_repeat_itself_is_an_error():
    image, counterpart = random_pair((8, 8, 1))
    draws = np.random.default_rng(0)
    with pytest.raises(
        RuntimeError, match="SHAP values sum to .* the same value for the same image in every batch"
    ):
        explain_with_shap(
            lambda images: images.sum((1, 2, 3)) + draws.random(len(images)), image, counterpart
        )


def test_global_random_state_is_left_alone_and_seed_repeats():
    image, counterpart = random_pair((16, 16, 1))
    np.random.seed(11)  # noqa: NPY002  (the global state is what is tested)
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(11)  # noqa: NPY002
    first = explain_with_shap(curved, image, counterpart, max_evaluations=50, seed=1).heatmap
    assert np.random.random() == expected  # noqa: NPY002
    np.testing.assert_array_equal(
        first, explain_with_shap(curved, image, counterpart, max_evaluations=50, seed=1).heatmap
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"max_evaluations": 3}, "max_evaluations must be an integer of at least 4, not 3"),
        ({"max_evaluations": "auto"}, "max_evaluations"),
        ({"batch_size": 0}, "batch_size"),
        ({"image": np.ones((8, 8))}, "image must have the shape"),
        ({"counterpart": np.ones((8, 9, 1))}, "counterpart must have the shape"),
        (
            {"score": lambda images: images.sum((1, 2))},
            "score must return one number for each image",
        ),
        ({"score": lambda images: np.full(len(images), np.nan)}, "score returned NaN"),
    ],
)
def test_bad_arguments(changes, message):
    image, counterpart = random_pair((8, 8, 1))
    with pytest.raises(ValueError, match=message):
        explain_with_shap(
            **{"score": curved, "image": image, "counterpart": counterpart, **changes}
        )
