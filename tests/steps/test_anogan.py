"""The steps of notebook 03: tables, sentences and figures say what the numbers are."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from adhelpers.detectors import AnoGAN, Search
from adhelpers.metrics import auroc_estimate, image_auroc
from adhelpers.reports import MapScale
from adhelpers.runner import find_notebooks
from adhelpers.steps import anogan, reconstructions

LABELS = np.array([0, 0, 0, 1, 1, 1])


def images(count, seed=0):
    return np.random.default_rng(seed).random((count, 32, 32, 1)).astype("float32")


class Images(SimpleNamespace):
    def __len__(self):
        return len(self.images)


@pytest.fixture
def category():
    test = Images(
        images=images(6),
        labels=LABELS,
        types=np.array(["good"] * 3 + ["cut", "cut", "hole"]),
        masks=None,
    )
    return SimpleNamespace(
        test=test,
        validation=SimpleNamespace(images=images(4, 1)),
        train=SimpleNamespace(images=images(9, 2)),
    )


class Scored:
    """Answers with given scores, as an AnoGAN would with those of its search."""

    values = {
        "anogan": [1, 2, 3, 4, 5, 6],
        "residual": [1, 2, 3, 4, 5, 6],
        "feature": [1, 2, 5, 3, 4, 6],
        "discriminator": [6, 5, 4, 3, 2, 1],
        "smooth_max": [1, 2, 3, 2.5, 5, 6],
    }

    def all_scores(self, pictures, show_progress=False):
        return {
            name: np.resize(values if len(pictures) % 6 == 0 else [0.5, 1, 1.5, 3.5], len(pictures))
            for name, values in self.values.items()
        }


def test_an_anogan_is_what_the_parameters_say():
    [notebook] = [one for one in find_notebooks() if one.name == "03_anogan"]
    defaults = notebook.defaults()
    changes = {"width": 0.5, "reconstruction": 3.0, "encoder_epochs": 7, "search_start": "random"}
    changes |= {"search_rate": 0.3, "restarts": 2, "anomaly_map": "difference", "shift": 0.02}
    made = anogan.make_anogan(defaults | changes)
    assert (made.gan.width, made.gan.reconstruction, made.encoder.epochs) == (0.5, 3.0, 7)
    assert (made.search.start, made.search.learning_rate, made.search.restarts) == (
        "random",
        0.3,
        2,
    )
    assert made.search.steps == defaults["search_steps"] and made.augmentation.shift == 0.02
    assert made.scoring.map == "difference" and made.scoring.smoothing == defaults["smoothing"]
    assert made.plan.epochs == defaults["epochs"] and made.plan.learning_rate == 8e-4


def test_every_score_is_judged_with_every_rule(category):
    compared = anogan.compare_scores(Scored(), category)
    assert list(compared.reports) == list(Scored.values) and compared.everything == 0.5
    for name, reports in compared.reports.items():
        assert reports["midpoint"].auroc.value == pytest.approx(
            image_auroc(Scored.values[name], LABELS)
        )
        assert [
            reports[rule].threshold.uses_test_labels
            for rule in ("normal_quantile", "gmean", "midpoint")
        ] == [False, True, True]
    table = compared.table()
    assert list(table.index) == [
        "A(x)",
        "residual alone",
        "features alone",
        "discriminator alone",
        "maximum of the map",
        "flag everything",
    ]
    assert [column for column in table if "used test labels" in column] == list(table.columns[2:])
    assert table.loc["A(x)", "image AUROC"].startswith("1.000") and table.loc[
        "flag everything"
    ].tolist() == ["–", "0.500", "0.500", "0.500"]


def test_the_sentences_follow_from_the_numbers(category):
    best, alone, accuracy = anogan.compare_scores(Scored(), category).findings()
    assert "A(x) (1.000" in best and "discriminator alone (0.000" in best.split("best and")[1]
    # Three images of each label do not show even that which is wrong on all of them.
    assert "is not shown to be better than chance: AUROC 0.000 [0.000, 0.708; too few" in alone
    # The quantile of four validation scores is 3.5, above every good image.
    assert (
        "an accuracy of 1.000, with one from good validation images 1.000" in accuracy
        and "0.500: the tuned accuracy is more than that" in accuracy
    )


def test_enough_images_show_that_a_score_is_worse_than_chance(category):
    category.test = Images(
        images=images(18), labels=np.tile(LABELS, 3), types=np.tile(category.test.types, 3)
    )
    alone = anogan.compare_scores(Scored(), category).findings()[1]
    assert "takes good images for fakes more often than defective ones: AUROC 0.000 [0" in alone


def assessed(category, title="AnoGAN", **values):
    return SimpleNamespace(title=title, category=category, **values)


def test_a_good_image_of_the_middle_and_the_surest_defect_are_chosen(category):
    scores = np.array([3.0, 1, 2, 5, 9, 7])
    assert anogan.representatives(assessed(category, scores=scores)) == [2, 4]


def test_film_and_search_show_what_the_detector_made(category):
    detector = SimpleNamespace(film=np.zeros((2, 8, 32, 32, 1)), film_epochs=[1, 9])
    figure = anogan.GeneratedSamples(detector, category.train.images).figure()
    titles = [ax.get_title("left") for ax in figure.axes if ax.get_title("left")]
    assert titles == ["epoch 1", "epoch 9", "good images"]

    class Searching(AnoGAN):
        def walk(self, image, moments):
            return np.stack([image] * len(moments)), np.arange(len(moments), 0, -1)

    detector = Searching(search=Search(steps=60))
    figure = anogan.search_figure(assessed(category, detector=detector), [0, 5])
    steps = ["step 0", "step 2", "step 10", "step 30", "step 60", "difference"]
    *panels, _ = figure.axes
    assert [ax.get_title("left") for ax in panels] == ["good", *steps, "hole", *steps]
    assert np.abs(figure.axes[6].images[0].get_array()).max() == 0
    with pytest.raises(TypeError, match="the subspace has no search"):
        anogan.search_figure(assessed(category, "subspace", detector=object()), [0])


def test_the_nearest_normal_image_is_called_so(category):
    one = assessed(
        category,
        heading="AnoGAN",
        scores=np.arange(6.0),
        counterparts=images(6, 3),
        anomaly_maps=images(6, 4)[..., 0],
        counterpart_name=AnoGAN.counterpart_name,
        map_scale=MapScale(),
    )
    figure = reconstructions(one, [0, 3])
    assert [ax.get_title("left") for ax in figure.axes[:3]] == [
        "image",
        "nearest normal image",
        "anomaly map",
    ]
    np.testing.assert_allclose(figure.axes[4].images[0].get_array(), one.counterparts[3, ..., 0])


def test_what_is_not_fitted_or_stored_is_said():
    with pytest.raises(ValueError, match="no samples before it is fitted"):
        anogan.GeneratedSamples(AnoGAN(), images(2)).figure()
    with pytest.raises(ValueError, match="detector must be stored"):
        anogan.without_search(AnoGAN())


def test_collapse_is_said_where_there_is_one():
    measured = {"samples": 0.2, "samples_nearest": 0.06, "data": 0.25, "data_nearest": 0.1}
    collapsed = SimpleNamespace(collapse="It has collapsed.", diversity=measured)
    assert anogan.GeneratedSamples(collapsed, images(2)).findings() == ["It has collapsed."]
    fine = SimpleNamespace(collapse=None, diversity=measured)
    [sentence] = anogan.GeneratedSamples(fine, images(2)).findings()
    assert "not collapsed" in sentence and "80 %" in sentence and "60 %" in sentence


def test_the_gain_of_the_search_is_that_on_good_test_images(category):
    near, far = (
        assessed(
            category,
            title,
            counterparts=category.test.images + offset,
            scores=np.array(scores, float),
            detection=SimpleNamespace(auroc=auroc_estimate(scores, LABELS)),
        )
        for title, offset, scores in (
            ("search", 0.01, [1, 2, 3, 4, 5, 6]),
            ("one pass", 0.1, [6, 5, 4, 3, 2, 1]),
        )
    )
    gain = anogan.SearchGain(near, far)
    [sentence] = gain.findings()
    assert (
        "by 0.010" in sentence
        and "by 0.100" in sentence
        and "1.000 [0.292, 1.000; too few images] with the search" in sentence
        and "0.000 [0.000, 0.708; too few images] without" in sentence
    )
    table = gain.table()
    assert table["mean difference from good test images"].tolist() == pytest.approx([0.01, 0.1])
    # The interval is that of the detectors' own tables.
    assert table["image AUROC"].tolist() == [str(one.detection.auroc) for one in (near, far)]


def test_trainings_are_drawn(category):
    history = pd.DataFrame(
        {"epoch": [1, 2], "loss": [3.0, 2], "generator": [1.0, 2], "discriminator": [2.0, 1]}
    )
    encoder = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "val_loss": [2.0, 1.0]})
    detector = SimpleNamespace(history=history, encoder_history=encoder)
    figures = anogan.anogan_figures(detector)
    assert list(figures) == ["training", "training-encoder"]
    titles = [ax.get_title("left") for ax in figures["training"].axes]
    assert titles == ["generator", "discriminator"]
    none = SimpleNamespace(history=history, encoder_history=encoder[:0])
    assert list(anogan.anogan_figures(none)) == ["training"]
