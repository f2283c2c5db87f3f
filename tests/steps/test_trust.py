import numpy as np
import pandas as pd
import pytest

from adhelpers.data import load_category, render_category
from adhelpers.detectors import Subspace
from adhelpers.explainers import explain_images, noise, residual_map
from adhelpers.explainers.explanation import Explanation, versioned
from adhelpers.metrics import bounded_mean
from adhelpers.steps import (
    assess_detector,
    audit_trust,
    find_shortcuts,
    rules_page,
    score_dependence,
)
from adhelpers.steps.trust import _mean_of_hits, _not_by_chance, object_regions


class Perfect:
    """A detector that sees the difference to the same nut without its defect, and nothing else."""

    def __init__(self, category):
        self.clean = {image.tobytes(): image.copy() for image in category.test.images}
        for image, mask in zip(category.test.images, category.test.masks, strict=True):
            self.clean[image.tobytes()][mask] = np.median(image[~mask], axis=0)
        clean = [self.clean[image.tobytes()] for image in category.test.images]
        self.backgrounds = np.array([*clean, *category.validation.images])

    def counterpart(self, images):
        return np.array([self.clean.get(image.tobytes(), image) for image in images])

    def _difference(self, images):
        # A partly repaired image is unknown: its nearest clean one is its own.
        nearest = [
            self.backgrounds[np.abs(self.backgrounds - image).sum(axis=(1, 2, 3)).argmin()]
            for image in images
        ]
        return np.abs(images - np.array(nearest)).mean(axis=-1)

    def anomaly_map(self, images):
        return self._difference(images)

    def score(self, images):
        # A floor, because rounding in a repaired image is no reason to flag it.
        return np.maximum(self._difference(images).max(axis=(1, 2)), 0.01)


@pytest.fixture(scope="module", params=("none", "brightness"))
def nuts(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    render_category(
        root,
        "hazelnut",
        image_size=64,
        train_count=12,
        test_good_count=8,
        defect_count=2,
        seed=2,
        shortcut=request.param,
    )
    return load_category(root, "hazelnut", image_size=64, color="rgb")


def test_a_planted_shortcut_is_found_and_none_is_made_up(nuts):
    found = find_shortcuts(nuts)
    table = found.table()
    darker = (
        nuts.test.images[nuts.test.labels == 0].mean()
        < 0.9 * nuts.test.images[nuts.test.labels == 1].mean()
    )
    assert (table["shortcut"] == "yes").any() == darker
    assert found.strongest in found.statistics and len(found.validation_statistics) == len(
        nuts.validation
    )
    detector = Subspace(n_components=3).fit(nuts.train.images, nuts.validation.images)
    dependence = score_dependence(found, [assess_detector("subspace", detector, nuts)])
    assert list(dependence.table().index) == ["subspace"]
    name = found.strongest.replace("_", " ")
    assert f"Rank correlation of the score with {name}: " in dependence.findings()[0]
    assert found.findings() == found.probe.findings() and found.figure().axes


def test_a_perfect_detector_is_right_and_an_explainer_of_noise_is_not(nuts):
    detector = Perfect(nuts)
    assessed = assess_detector("perfect", detector, nuts)
    assert assessed.detection.auroc.value == 1
    explain = {"residual map": residual_map, "noise": noise}
    explanations = {
        name: explain_images(
            one, detector.score, nuts.test.images, assessed.counterparts, show_progress=False
        )
        for name, one in explain.items()
    }
    good = nuts.validation.images
    of_good = {
        name: explain_images(noise, detector.score, good, good, show_progress=False)
        for name in explain
    }
    audit = audit_trust(
        assessed,
        explanations,
        of_good,
        explainers=("residual map", "noise"),
        show_progress=False,
    )
    assert audit.repair.per_image["cleared"].all()
    right, badly = (audit.summaries[name].counts["all"] for name in ("residual map", "noise"))
    assert right["right reason"] >= 7 and badly["right reason, badly explained"] >= 7
    assert audit.summaries["noise"].trust_adjusted_recall == audit.summaries["noise"].recall == 1
    table = audit.localization
    assert (
        table.loc["residual map", "heatmap AUROC"] > 0.95
        and 0.3 < table.loc["noise", "heatmap AUROC"] < 0.7
    )
    assert table.loc["residual map", "relevance more than residual map"] == ""
    assert (
        table.loc["residual map", "deletion area, low is good"]
        < 0.2
        < table.loc["noise", "deletion area, low is good"]
    )
    assert len(audit.figure(("residual map", "noise")).axes[0].lines) == 2
    clean = audit.repaired_defects()
    assert len(clean) == 8 and all(score <= assessed.threshold.value for _, score in clean.values())
    parts = audit.summary_parts("noise")
    assert (
        parts["verdicts"]["right reason, badly explained"] == badly["right reason, badly explained"]
    )
    assert parts["trust_adjusted_recall"] == 1 and parts["chance"]["noise"]["images"] <= 8
    assert audit.verdict_table("noise").loc["passed", "good"] == 8
    assert "in 8 of 8 flagged defective images" in audit.findings(("residual map", "noise"))[0]


def test_where_a_shape_fits_in_a_few_places_only_chance_is_not_asked():
    nan = float("nan")
    chance = pd.DataFrame(
        # Never above chance, however good; above; not above; at the limit; no relevance at all.
        {"shifts": [1, 500, 500, 20, 1], "p_adjusted": [1.0, 0.01, 0.2, 0.2, nan]}
    )
    assert _not_by_chance(chance).tolist() == [True, True, False, False, False]


@versioned(1)
def corner_block(score, image, counterpart, *, seed=0):
    """A quarter of the image has the highest relevance, wherever the defect is."""
    heatmap = np.zeros(image.shape[:2], np.float32)
    heatmap[: image.shape[0] // 2, : image.shape[1] // 2] = 1
    heatmap[-1, -1] = -1
    return Explanation(heatmap, {})


def test_what_a_small_budget_cannot_show_is_too_coarse_and_not_bad(nuts):
    assessed = assess_detector("perfect", Perfect(nuts), nuts)
    block = explain_images(
        corner_block,
        assessed.detector.score,
        nuts.test.images,
        assessed.counterparts,
        show_progress=False,
    )
    # The same picture under the name of an explainer that has no budget is plainly wrong.
    audit = audit_trust(assessed, {"SHAP": block, "residual map": block}, show_progress=False)
    shap, plain = (audit.summaries[name] for name in ("SHAP", "residual map"))
    coarse = shap.count("right reason, explained too coarsely")
    assert coarse >= 4 and shap.count("right reason, badly explained") == 0
    assert plain.count("right reason, badly explained") == coarse
    assert shap.trust_adjusted_recall == plain.trust_adjusted_recall == 1
    sentence = next(one for one in audit.findings(["SHAP"]) if one.startswith("SHAP explains"))
    assert f", {coarse} too coarsely" in sentence


@pytest.mark.parametrize(
    "hits, expected",
    [
        ([1, 1, 0, 1, 1, 1, 0, 1, 1, 1], "0.80 [0.44, 0.97]"),
        ([1, 1, 1, 1], "1.00 [0.40, 1.00; too few images]"),
        # Ties give parts of a hit, which are no counts: the bound holds for any values in [0, 1].
        ([0.5] * 10, f"{bounded_mean(0.5, 10):.2f}"),
        ([], "n/a"),
    ],
)
def test_hits_are_a_share_of_images(hits, expected):
    assert f"{_mean_of_hits(pd.Series(hits, dtype=float)):.2f}" == expected


def test_without_masks_only_what_can_be_known_is_said(nuts):
    import dataclasses

    bare = dataclasses.replace(nuts, test=dataclasses.replace(nuts.test, masks=None))
    detector = Subspace(n_components=3).fit(nuts.train.images, nuts.validation.images)
    audit = audit_trust(assess_detector("subspace", detector, bare), {})
    assert audit.repair is None and set(audit.verdicts["SHAP"]) <= {
        "flagged, unverified",
        "missed",
        "false alarm",
        "passed",
    }
    assert audit.repaired_defects() == {} and not audit.figure().axes[0].lines
    assert "stays unknown" in audit.findings()[0]
    assert audit.summary_parts()["chance"] is None
    assert object_regions(bare).shape == (16, 64, 64)


def test_the_rules_are_shown_in_full():
    assert "..." not in rules_page().data and "right reason, badly explained" in rules_page().data


def test_tables_keep_numbers_as_numbers(nuts):
    detector = Perfect(nuts)
    assessed = assess_detector("perfect", detector, nuts)
    explanations = {
        name: explain_images(
            residual_map,
            detector.score,
            nuts.test.images,
            assessed.counterparts,
            show_progress=False,
        )
        for name in ("residual map",)
    }
    audit = audit_trust(assessed, explanations, explainers=("residual map",), show_progress=False)
    assert pd.api.types.is_float_dtype(audit.localization["J*, upper bound"])
    assert audit.localization["pointing game"].str.contains("[", regex=False).all()
    assert audit.localization["J at a threshold from good images"].isna().all()


def test_flags_on_images_whose_defect_is_not_in_the_mask_stay_unverified(
    partly_cut, detector, explained
):
    one = assess_detector("subspace", detector, partly_cut)
    trust = audit_trust(
        one, explained, explainers=("LIME", "SHAP"), reference="LIME", show_progress=False
    )
    hidden = ~partly_cut.test.mask_known
    assert set(trust.verdicts["SHAP"][hidden & one.flags]) == {"flagged, unverified"}
    assert not set(trust.repair.per_image.index) & set(np.flatnonzero(hidden))
    assert trust.chance["SHAP"]["p_adjusted"][hidden].isna().all()
    summary = trust.summaries["SHAP"]
    assert summary.unverified == int((hidden & one.flags).sum()) > 0
    assert "or up to" in summary.findings()[0] and "no defect in the mask" in summary.findings()[0]
