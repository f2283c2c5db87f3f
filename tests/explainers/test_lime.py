from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lime.lime_image import LimeImageExplainer
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from adhelpers.explainers import Sampling, Superpixels
from adhelpers.explainers.lime import _perturbations, explain_with_lime


def grid(height, width, cell):
    """Square segments of ``cell`` pixels, labelled row by row."""
    columns = width // cell
    rows, places = np.mgrid[:height, :width] // cell
    return rows * columns + places


def random_pair(shape, seed=0):
    draws = np.random.default_rng(seed)
    return draws.random(shape, dtype=np.float32), draws.random(shape, dtype=np.float32)


def curved(images):
    """A score with interactions between neighbours."""
    return (images[:, 1:] * images[:, :-1]).sum((1, 2, 3)) + images.mean((1, 2, 3)) ** 2


class SamePerturbations(np.random.RandomState):
    """Makes lime_image use the perturbations it is given; it draws once."""

    def __init__(self, present):
        super().__init__(0)
        self.present = present

    def randint(self, low, high, size):
        assert size == self.present.size
        return self.present.ravel().copy()


def by_lime_image(score, image, colour, segments, samples, random_state):
    explanation = LimeImageExplainer(
        kernel_width=0.25, feature_selection="none", random_state=random_state
    ).explain_instance(
        image,
        lambda images: score(images)[:, None],
        labels=(0,),
        top_labels=None,
        hide_color=colour,
        num_samples=samples,
        batch_size=64,
        segmentation_fn=lambda _: segments,
        random_seed=0,
    )
    weights = dict(explanation.local_exp[0])
    return (
        np.array([weights[segment] for segment in range(len(weights))]),
        explanation.intercept[0],
        explanation.score,
    )


@pytest.mark.parametrize("design", ["random", "orthogonal"])
def test_equals_lime_image_on_the_same_perturbations(design, capsys):
    image, _ = random_pair((24, 32, 3))
    colour = np.float32(0.4)
    segments = grid(24, 32, 4)
    ours = explain_with_lime(
        curved,
        image,
        np.full_like(image, colour),
        segments=segments,
        sampling=Sampling(300, design),
        seed=5,
    )
    # With the design of its own kind, lime_image draws for itself.
    draws = (
        np.random.RandomState(5)
        if design == "random"
        else SamePerturbations(_perturbations(300, 48, design, 5))
    )
    weights, intercept, r2 = by_lime_image(curved, image, colour, segments, 300, draws)
    np.testing.assert_allclose(ours.details["weights"], weights, rtol=0, atol=1e-6)
    assert ours.details["intercept"] == pytest.approx(intercept, abs=1e-6)
    assert ours.details["r2"] == pytest.approx(r2, abs=1e-6)
    assert 0 < r2 < 1


def test_equals_weighted_ridge_written_out():
    image, counterpart = random_pair((8, 12, 1))
    segments = grid(8, 12, 4)
    ours = explain_with_lime(
        curved,
        image,
        counterpart,
        segments=segments,
        sampling=Sampling(50),
        kernel_width=0.4,
        seed=1,
    )
    present = _perturbations(50, 6, "orthogonal", 1)
    scores = [
        curved(np.where((row[segments] == 1)[..., None], image, counterpart)[None])[0]
        for row in present
    ]
    lengths = np.sqrt(present.sum(1))
    cosine = np.where(lengths > 0, present.sum(1) / np.maximum(lengths, 1) / np.sqrt(6), 0)
    ridge = Ridge(alpha=1).fit(
        present, scores, sample_weight=np.exp(-((1 - cosine) ** 2) / 0.4**2) ** 0.5
    )
    np.testing.assert_allclose(ours.details["weights"], ridge.coef_, atol=1e-5)


@pytest.mark.parametrize("shape, design", [((16, 24, 1), "orthogonal"), ((24, 16, 3), "random")])
def test_additive_score_gives_each_segment_its_own_part(shape, design):
    image, counterpart = random_pair(shape)
    segments = grid(*shape[:2], 4)
    result = explain_with_lime(
        lambda images: images.sum((1, 2, 3)),
        image,
        counterpart,
        segments=segments,
        sampling=Sampling(4000, design),
    )
    parts = np.bincount(segments.ravel(), (image - counterpart).sum(2).ravel())
    np.testing.assert_allclose(
        result.details["weights"], parts, rtol=0.01, atol=0.01 * np.abs(parts).max()
    )
    assert result.details["r2"] > 0.999
    np.testing.assert_allclose(result.heatmap, result.details["weights"][segments], rtol=1e-6)


def test_counterpart_equal_to_image_explains_nothing():
    image, _ = random_pair((32, 32, 1))
    result = explain_with_lime(
        curved, image, image, superpixels=Superpixels(20), sampling=Sampling(200)
    )
    np.testing.assert_allclose(result.heatmap, 0, atol=1e-6 * curved(image[None])[0])


def test_first_sample_is_the_image_and_batches_are_complete():
    image, counterpart = random_pair((8, 8, 1))
    sizes, first = [], []

    def score(images):
        sizes.append(len(images))
        first.append(images[0])
        return images.sum((1, 2, 3))

    result = explain_with_lime(
        score, image, counterpart, segments=grid(8, 8, 4), sampling=Sampling(100), batch_size=32
    )
    assert sizes == [32, 32, 32, 4]
    np.testing.assert_array_equal(first[0], image)
    assert result.details["score"] == pytest.approx(image.sum())


@pytest.mark.parametrize("shape", [(48, 32, 1), (32, 48, 3)])
def test_finds_the_rectangle_that_the_score_looks_at(shape):
    counterpart = np.full(shape, 0.3, np.float32)
    image = counterpart + 0.05 * np.random.default_rng(0).random(shape, dtype=np.float32)
    image[8:16, 20:28] = 0.9
    result = explain_with_lime(
        lambda images: np.abs(images - 0.3)[:, 8:16, 20:28].max((1, 2, 3)),
        image,
        counterpart,
        superpixels=Superpixels(40),
    )
    inside = np.zeros(shape[:2], bool)
    inside[8:16, 20:28] = True
    assert inside[result.heatmap == result.heatmap.max()].mean() > 0.9
    assert result.details["num_segments"] == result.details["segments"].max() + 1 == 40


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 140),
    st.integers(4, 700),
    st.sampled_from(["orthogonal", "random"]),
    st.integers(0, 1000),
)
def test_perturbations(count, samples, design, seed):
    present = _perturbations(samples, count, design, seed)
    assert present.shape == (samples, count)
    assert set(np.unique(present)) <= {0, 1} and present[0].all()
    np.testing.assert_array_equal(
        present, _perturbations(2 * samples, count, design, seed)[:samples]
    )


@pytest.mark.parametrize("count", [3, 8, 20])
def test_orthogonal_design_separates_main_effects_from_each_other_and_from_pairs(count):
    block = 2 * (1 << count.bit_length())
    signs = 2 * _perturbations(1 + 2 * block, count, "orthogonal", 7)[1:] - 1
    np.testing.assert_array_equal(signs.T @ signs, 2 * block * np.eye(count))
    np.testing.assert_array_equal(signs[::2], -signs[1::2])
    pairs = np.array([signs[:, a] * signs[:, b] for a, b in product(range(count), repeat=2)])
    assert not (pairs @ signs).any()


def test_orthogonal_design_ranks_better_than_chance_with_four_times_the_samples():
    image, counterpart = random_pair((40, 40, 1), 3)
    explain = partial(explain_with_lime, curved, image, counterpart, segments=grid(40, 40, 4))
    truth = explain(sampling=Sampling(10000, "random"), seed=99).details["weights"]

    def agreement(design, samples):
        return np.mean(
            [
                spearmanr(
                    explain(sampling=Sampling(samples, design), seed=seed).details["weights"], truth
                ).statistic
                for seed in range(3)
            ]
        )

    assert agreement("orthogonal", 257) > agreement("random", 1028) > agreement("random", 257)


@pytest.mark.parametrize("design", ["orthogonal", "random"])
def test_auto_stops_when_settled_and_equals_that_number_of_samples(design):
    image, counterpart = random_pair((32, 32, 1), 2)
    explain = partial(explain_with_lime, curved, image, counterpart, segments=grid(32, 32, 4))
    result = explain(sampling=Sampling("auto", design, agreement=0.9))
    assert result.details["settled"] and result.details["agreement"] >= 0.9
    fixed = explain(sampling=Sampling(result.details["num_samples"], design))
    np.testing.assert_array_equal(result.details["weights"], fixed.details["weights"])
    assert fixed.details["settled"] is None and fixed.details["agreement"] is None
    reference = explain(sampling=Sampling(8000, "random"), seed=9)
    assert spearmanr(result.details["weights"], reference.details["weights"]).statistic > 0.9


def test_auto_needs_more_for_a_rougher_score_and_says_when_it_gives_up():
    image, counterpart = random_pair((32, 32, 1), 4)
    explain = partial(
        explain_with_lime,
        image=image,
        counterpart=counterpart,
        segments=grid(32, 32, 4),
        sampling=Sampling("auto", max_samples=1024),
    )
    evaluated = []

    def rough(images):
        evaluated.append(len(images))
        return images.reshape(len(images), -1)[:, ::7].max(1)

    smooth = explain(lambda images: images.sum((1, 2, 3)))
    given_up = explain(rough)
    assert smooth.details["settled"] and smooth.details["num_samples"] == 512
    assert given_up.details["settled"] is False and given_up.details["num_samples"] == 1024 == sum(
        evaluated
    )
    assert given_up.details["agreement"] < 0.95


def test_auto_with_nothing_to_rank_stops_at_once():
    image, _ = random_pair((16, 16, 1))
    auto = Sampling("auto")
    result = explain_with_lime(curved, image, image, segments=grid(16, 16, 4), sampling=auto)
    assert result.details["settled"] and result.details["num_samples"] == 128
    single = explain_with_lime(
        curved, image, image * 0.5, segments=np.zeros((16, 16), int), sampling=auto
    )
    assert single.details["settled"] and np.ptp(single.heatmap) == 0


def test_seed():
    image, counterpart = random_pair((16, 16, 1))
    explain = partial(
        explain_with_lime,
        curved,
        image,
        counterpart,
        segments=grid(16, 16, 4),
        sampling=Sampling(40),
    )
    np.testing.assert_array_equal(explain(seed=1).heatmap, explain(seed=1).heatmap)
    assert not np.array_equal(explain(seed=1).heatmap, explain(seed=2).heatmap)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"num_samples": 3}, 'num_samples must be an integer of at least 4 or "auto"'),
        ({"num_samples": "many"}, 'num_samples must be an integer of at least 4 or "auto"'),
        ({"num_samples": 10.0}, "num_samples"),
        ({"max_samples": "auto"}, "max_samples must be an integer of at least 4,"),
        ({"design": "other"}, "design must be one of orthogonal, random"),
        ({"agreement": 0}, "agreement"),
    ],
)
def test_bad_sampling(changes, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**changes)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kernel_width": 0}, "kernel_width"),
        ({"segments": grid(16, 16, 4) + 1}, "from 0 without gaps, but 16 labels run from 1 to 16"),
        ({"segments": grid(16, 16, 4) * 2}, "without gaps"),
        ({"segments": grid(16, 16, 4) * 1.0}, "segments must be integers"),
        ({"segments": grid(8, 16, 4)}, "segments must be integers of the shape"),
        ({"superpixels": Superpixels(source="none")}, "source must be one of"),
        ({"image": np.full((16, 16, 1), np.nan)}, "image holds NaN"),
    ],
)
def test_bad_arguments(changes, message):
    image, counterpart = random_pair((16, 16, 1))
    with pytest.raises(ValueError, match=message):
        explain_with_lime(
            **{"score": curved, "image": image, "counterpart": counterpart, **changes}
        )
