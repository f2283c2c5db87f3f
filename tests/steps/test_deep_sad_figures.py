"""Pictures of Deep SAD: they show the samples and counterparts that they name."""

import numpy as np

from adhelpers.steps.deep_sad_figures import (
    attribution_figure,
    deep_sad_figures,
    extreme_grids,
    extremes,
    sample_figure,
)


def test_the_extremes_are_the_ends_of_the_order(digits):
    scores, labels = digits.judged.scores, digits.category.test.labels
    found = extremes(digits.judged)
    assert list(found) == ["all_low", "all_high", "normals_low", "normals_high"] and all(
        len(chosen) == 8 for chosen in found.values()
    )
    ordered, normal = np.sort(scores), np.sort(scores[labels == 0])
    np.testing.assert_array_equal(scores[found["all_low"]], ordered[:8])
    np.testing.assert_array_equal(scores[found["all_high"]], ordered[:-9:-1])
    np.testing.assert_array_equal(scores[found["normals_low"]], normal[:8])
    np.testing.assert_array_equal(scores[found["normals_high"]], normal[:-9:-1])
    plain = [sample_figure(digits.category), *extreme_grids(digits.judged).values()]
    assert 32 < sum(len(figure.axes) for figure in plain) <= 64
    grids = extreme_grids(digits.judged, count=4)
    first = grids["normals_high"].axes[0]
    assert first.get_title("left") == f"good {normal[-1]:.2g}"
    np.testing.assert_allclose(
        first.images[0].get_array(), digits.category.test.images[found["normals_high"][0], ..., 0]
    )


def test_pictures_show_samples_reconstructions_and_counterparts(digits):
    category, detector = digits.category, digits.detector
    shown = sample_figure(category, count=3)
    titles = [ax.get_title("left") for ax in shown.axes]
    assert titles == ["unlabelled"] * 3 + ["known normal"] * 3 + ["known anomaly"] * 3
    figures = deep_sad_figures(detector, category)
    assert list(figures) == ["training-autoencoder", "training", "autoencoder"]
    first = figures["autoencoder"].axes
    np.testing.assert_allclose(
        first[1].images[0].get_array(),
        detector.reconstruct(category.validation.images[:1])[0, ..., 0],
        atol=1e-5,
    )
    figure = attribution_figure(digits.judged, count=1)
    worst = np.argmax(np.where(category.test.labels == 1, digits.judged.scores, -1))
    np.testing.assert_allclose(
        figure.axes[1].images[0].get_array(),
        detector.counterpart(category.test.images[[worst]])[0, ..., 0],
        atol=1e-6,
    )
