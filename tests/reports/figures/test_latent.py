"""Latent codes: the plane, the colours and the markers."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from adhelpers.reports import style as _style
from adhelpers.reports.figures.latent import latent_pca


def test_latent_pca_shows_each_type_and_split_in_the_plane_of_largest_variance():
    random = np.random.default_rng(0)
    latents = random.normal(size=(30, 5)) * [10, 3, 1, 1, 1]
    types, splits = (
        ["good"] * 20 + ["crack"] * 10,
        ["train"] * 10 + ["validation"] * 5 + ["test"] * 15,
    )
    figure = latent_pca(latents, types, splits)
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "good, train (10)",
        "good, validation (5)",
        "good, test (5)",
        "crack, test (10)",
    ]
    assert to_hex(ax.collections[0].get_facecolor()[0]).upper() == _style.GOOD
    assert to_hex(ax.collections[3].get_facecolor()[0]).upper() == _style.ANOMALOUS
    # The same plane from the eigenvectors of the covariance matrix.
    centred = latents - latents.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(centred.T))
    drawn = np.concatenate([np.asarray(part.get_offsets()) for part in ax.collections])
    np.testing.assert_allclose(np.abs(drawn), np.abs(centred @ vectors[:, [-1, -2]]), atol=1e-9)
    assert f"{100 * values[-1] / values.sum():.0f} % of the variance" in ax.get_xlabel()


@pytest.mark.parametrize(
    "latents, options, message",
    [
        (np.zeros((3, 1)), {}, "n and d at least 2"),
        (np.full((3, 2), np.nan), {}, "finite"),
        (np.eye(3), {"splits": ["train", "test", "holdout"]}, r"\['holdout'\]"),
        (np.eye(2), {}, "types must have one entry"),
    ],
)
def test_latent_pca_refuses_bad_input(latents, options, message):
    with pytest.raises(ValueError, match=message):
        latent_pca(latents, ["good"] * 3, **options)
