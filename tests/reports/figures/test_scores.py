"""Charts: the points, counts, colours and words that a reader takes from them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from adhelpers.metrics import Threshold
from adhelpers.reports import style as _style
from adhelpers.reports.figures import scores as figures

TUNED = Threshold(0.5, "best G-mean on the test labels", uses_test_labels=True)
FAIR = Threshold(0.5, "0.95 quantile of 60 good validation scores", uses_test_labels=False)


def test_every_public_function_is_offered_once():
    assert len(set(figures.__all__)) == len(figures.__all__) == 11
    assert all(callable(getattr(figures, name)) for name in figures.__all__)


def test_training_curves_pair_training_with_validation():
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "loss": [9.0, 5.0, 4.0],
            "val_loss": [8.0, 6.0, 7.0],
            "kl": [0.001, 0.1, 1.0],
            "note": ["a", "b", "c"],
        }
    )
    figure = figures.training_curves(history, "VAE-GAN", monitor="val_loss")
    loss, kl = figure.axes
    assert (loss.get_title("left"), kl.get_title("left")) == ("loss", "kl")
    assert [text.get_text() for text in loss.get_legend().get_texts()] == [
        "training",
        "validation",
        "kept: epoch 2",
    ]
    np.testing.assert_allclose(loss.lines[0].get_ydata(), history["loss"])
    np.testing.assert_allclose(loss.lines[1].get_ydata(), history["val_loss"])
    assert loss.lines[2].get_xydata().tolist() == [[2.0, 6.0]]
    assert (loss.get_yscale(), kl.get_yscale()) == ("linear", "log") and kl.get_legend() is None
    assert figure.get_suptitle() == "VAE-GAN" and plt.get_fignums() == []
    # With formulas off, a logarithmic axis must not be labelled with their source.
    figure.canvas.draw()
    assert not any("$" in label.get_text() for label in kl.get_yticklabels())


@pytest.mark.parametrize(
    "history, message",
    [
        (pd.DataFrame({"loss": [1.0]}), "column 'epoch'"),
        (pd.DataFrame({"epoch": [1], "note": ["a"]}), "numeric column besides"),
    ],
)
def test_training_curves_refuse_a_history_without_curves(history, message):
    with pytest.raises(ValueError, match=message):
        figures.training_curves(history)


def test_training_curves_survive_a_diverged_training():
    figure = figures.training_curves(
        pd.DataFrame({"epoch": [1, 2], "loss": [np.nan, np.nan], "val_loss": [np.nan, np.nan]}),
        monitor="val_loss",
    )
    assert len(figure.axes[0].lines) == 2


def test_latent_pca_shows_each_type_and_split_in_the_plane_of_largest_variance():
    random = np.random.default_rng(0)
    latents = random.normal(size=(30, 5)) * [10, 3, 1, 1, 1]
    types, splits = (
        ["good"] * 20 + ["crack"] * 10,
        ["train"] * 10 + ["validation"] * 5 + ["test"] * 15,
    )
    figure = figures.latent_pca(latents, types, splits)
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
        figures.latent_pca(latents, ["good"] * 3, **options)


def test_score_separation_draws_every_score_once_and_wrong_ones_hollow():
    scores = np.array([0.1, 0.7, 0.2, 0.9, 0.5])
    figure = figures.score_separation(
        scores,
        [0, 0, 1, 1, 1],
        ["good", "good", "cut", "cut", "hole"],
        TUNED,
        validation_scores=[0.05, 0.15],
    )
    ax = figure.axes[0]
    drawn = {
        tuple(np.round(offset[:1], 6)): (part.get_facecolor()[0], part.get_edgecolor()[0])
        for part in ax.collections
        for offset in part.get_offsets()
    }
    assert sorted(x for (x,) in drawn) == pytest.approx(sorted([*scores, 0.05, 0.15]))
    hollow = {x for (x,), (face, _) in drawn.items() if to_hex(face) == "#ffffff"}
    # 0.5 is not above the threshold 0.5, so the hole is missed.
    assert hollow == {0.7, 0.2, 0.5}
    assert (
        to_hex(drawn[(0.7,)][1]).upper() == _style.GOOD
        and to_hex(drawn[(0.9,)][0]).upper() == _style.ANOMALOUS
    )
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "hole",
        "cut",
        "good",
        "validation (good)",
    ]
    assert [text.get_text() for text in ax.texts] == [
        "0 of 1 flagged",
        "1 of 2 flagged",
        "1 of 2 flagged",
        "0 of 2 flagged",
    ]
    assert list(ax.lines[0].get_xdata()) == [0.5, 0.5]


def test_score_separation_tells_the_rule_and_whether_it_saw_test_labels():
    def title(threshold):
        figure = figures.score_separation([0.1, 0.9], [0, 1], ["good", "cut"], threshold)
        return figure.axes[0].get_title("left").replace("\n", " ")

    assert (
        title(TUNED)
        == "threshold 0.5: best G-mean on the test labels; this threshold used test labels"
    )
    assert title(FAIR) == "threshold 0.5: 0.95 quantile of 60 good validation scores"
    assert title(0.25) == "threshold 0.25"


def test_score_against_jaccard_counts_and_shades_what_is_in_the_wrong_place():
    scores = np.array([0.9, 0.8, 0.3, 0.7, 0.1])
    jaccards = {"LIME": [0.5, 0.02, 0.01, 0.1, np.nan], "SHAP": [0.05, 0.02, 0.6, 0.09, np.nan]}
    figure = figures.score_against_jaccard(
        scores, jaccards, ["cut", "cut", "hole", "hole", "good"], FAIR, cutoff=0.1
    )
    lime, shap = figure.axes
    assert lime.get_title("left") == "LIME: 1 of 3 flagged in the wrong place"
    assert shap.get_title("left") == "SHAP: 3 of 3 flagged in the wrong place"
    points = np.concatenate([np.asarray(part.get_offsets()) for part in lime.collections[:2]])
    assert sorted(map(tuple, points.tolist())) == sorted(
        zip(scores[:4].tolist(), jaccards["LIME"][:4])
    )
    shaded = lime.collections[-1].get_paths()[0].vertices
    assert shaded[:, 0].min() == 0.5 and shaded[:, 0].max() >= 0.9 and shaded[:, 1].max() == 0.1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cut", "hole"]
    assert "used test labels" not in figure.get_suptitle().replace("\n", " ")
    tuned = figures.score_against_jaccard(scores, jaccards, ["cut"] * 5, TUNED)
    assert "used test labels" in tuned.get_suptitle().replace("\n", " ")


def test_score_against_jaccard_without_any_defect_is_empty_but_drawn():
    figure = figures.score_against_jaccard(
        [0.1, 0.2], {"LIME": [np.nan, np.nan]}, ["good", "good"], FAIR
    )
    assert figure.axes[0].get_title("left") == "LIME: 0 of 0 flagged in the wrong place"


def test_score_against_jaccard_refuses_bad_input():
    with pytest.raises(ValueError, match="at least one explainer"):
        figures.score_against_jaccard([0.1], {}, ["cut"], FAIR)
    with pytest.raises(ValueError, match=r"jaccards\['LIME'\] must have one entry"):
        figures.score_against_jaccard([0.1], {"LIME": [0.1, 0.2]}, ["cut"], FAIR)


def test_explainer_against_explainer_counts_wins_and_leaves_out_what_is_unknown():
    figure = figures.explainer_against_explainer(
        [0.1, 0.5, 0.4, np.nan],
        [0.2, 0.4, 0.4, 0.9],
        ["cut", "cut", "hole", "good"],
        names=("residual map", "SHAP"),
    )
    ax = figure.axes[0]
    assert ax.get_title("left") == "SHAP above residual map in 1 of 3"
    assert (
        ax.get_xlabel() == "optimal Jaccard of residual map"
        and ax.get_ylabel() == "optimal Jaccard of SHAP"
    )
    assert sum(len(part.get_offsets()) for part in ax.collections) == 3
    assert list(ax.lines[0].get_xdata()) == list(ax.lines[0].get_ydata()) == [0, 1]
