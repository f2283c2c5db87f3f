"""The standard explainers: which apply, what is stored, and what the table says."""

import dataclasses

import numpy as np
import pytest

from adhelpers.detectors import Subspace, fit_or_load
from adhelpers.metrics import Threshold
from adhelpers.steps import ExplainerSettings, assess_detector, explain_detector
from adhelpers.steps.explain import standard_explainers

QUICK = ExplainerSettings(num_segments=8, lime_samples=17, shap_evaluations=20, good_explained=1)


@pytest.fixture(scope="module")
def stored(hazelnuts, tmp_path_factory):
    detector = fit_or_load(
        Subspace(n_components=5), hazelnuts, tmp_path_factory.mktemp("m"), show_progress=False
    )
    few = hazelnuts.test.subset([0, 5])
    return assess_detector("subspace", detector, dataclasses.replace(hazelnuts, test=few))


def test_occlusion_is_used_where_its_window_is_given_and_gradcam_where_it_applies(stored):
    explain = {"show_progress": False, "settings": QUICK}
    names = list(explain_detector(stored, **explain).test)
    usual = ["LIME", "SHAP", "residual map", "uniform", "centre prior", "noise"]
    assert names == [*usual, "smallest repair"]
    windowed = dataclasses.replace(QUICK, occlusion_window=32)
    assert "occlusion" in explain_detector(stored, windowed, show_progress=False).test
    asked = explain_detector(stored, explainers=("occlusion", "GradCAM"), **explain)
    assert list(asked.test) == ["occlusion"]
    with_forward = type("WithForward", (), {"forward": None})()
    assert list(standard_explainers(QUICK, with_forward))[-1] == "GradCAM"


def test_the_smallest_repair_makes_the_image_pass(stored):
    name, score = "smallest repair", stored.detector.score
    value = float(np.sort(stored.scores)[0] + np.sort(stored.scores)[1]) / 2
    # One of the two images is flagged.
    halfway = dataclasses.replace(stored, threshold=Threshold(value, "halfway", False))
    explained = explain_detector(halfway, QUICK, explainers=[name], show_progress=False)
    flags, regions = halfway.flags, explained.heatmaps[name] > 0
    assert regions.any(axis=(1, 2)).tolist() == flags.tolist()
    repaired = np.where(regions[..., None], halfway.counterparts, stored.category.test.images)
    passed = score(repaired) <= value
    details = explained.test[name].details
    assert passed.tolist() == [one["reached"] for one in details]
    assert all(one["evaluations"] <= QUICK.repair_evaluations for one in details)
    # Another threshold is another explanation.
    files = len(list((stored.detector.folder / "explanations").glob("*.arrays")))
    lower = dataclasses.replace(stored, threshold=Threshold(0.9 * value, "lower", False))
    explain_detector(lower, QUICK, explainers=[name], show_progress=False)
    assert len(list((stored.detector.folder / "explanations").glob("*.arrays"))) > files


def test_a_threshold_below_all_good_images_is_what_looks_normal_too(stored):
    low = dataclasses.replace(stored, threshold=Threshold(1e-6, "by hand", False))
    explained = explain_detector(low, QUICK, explainers=["smallest repair"], show_progress=False)
    assert not explained.test["smallest repair"].errors


def test_the_same_settings_find_what_was_stored(stored):
    first = explain_detector(stored, QUICK, explainers=["SHAP"], show_progress=False)
    files = sorted((stored.detector.folder / "explanations").glob("*.arrays"))
    again = explain_detector(stored, QUICK, explainers=["SHAP"], show_progress=False)
    assert sorted((stored.detector.folder / "explanations").glob("*.arrays")) == files != []
    np.testing.assert_array_equal(first.heatmaps["SHAP"], again.heatmaps["SHAP"])
    other = dataclasses.replace(QUICK, shap_evaluations=30)
    explain_detector(stored, other, explainers=["SHAP"], show_progress=False)
    assert len(list((stored.detector.folder / "explanations").glob("*.arrays"))) > len(files)


def test_the_table_counts_images_and_the_columns_hold_what_the_samples_say(stored):
    explained = explain_detector(stored, QUICK, explainers=["LIME", "noise"], show_progress=False)
    assert explained.table().loc["LIME", ["images", "good images"]].tolist() == [2, 1]
    assert list(explained.columns()) == ["r2_lime"] and len(explained.columns()) == 2
    assert "Every test image" in explained.findings()[0]


def test_an_image_that_cannot_be_explained_is_named(stored):
    broken = dataclasses.replace(stored, counterparts=stored.counterparts.copy())
    broken.counterparts[1] = np.nan
    explained = explain_detector(broken, QUICK, explainers=["residual map"], show_progress=False)
    assert "residual map: 1 of 2 images could not be explained" in explained.findings()[0]
    assert explained.table().loc["residual map", "could not be explained"] == 1
    assert explained.columns()["error_residual map"].tolist()[0] == ""


def test_without_good_images_there_are_no_good_explanations(stored):
    none = dataclasses.replace(QUICK, good_explained=0)
    explained = explain_detector(stored, none, explainers=["uniform"], show_progress=False)
    assert explained.good == {} and explained.table().loc["uniform", "good images"] == 0


def test_the_settings_are_those_of_the_parameters_of_the_same_name():
    settings = ExplainerSettings.from_parameters({"smoothing": 3.0, "epochs": 4})
    assert settings == ExplainerSettings(smoothing=3.0)
