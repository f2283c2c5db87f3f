import numpy as np

from adhelpers.steps import assess_detector, audit_localization


def test_explanations_in_the_wrong_place_are_counted_and_listed(hazelnuts, assessed, located):
    test = hazelnuts.test
    uniform_jaccard = test.masks.mean(axis=(1, 2))[test.labels == 1]
    np.testing.assert_allclose(
        located.jaccards["uniform"][test.labels == 1], uniform_jaccard, rtol=1e-6
    )
    assert np.isnan(located.jaccards["uniform"][test.labels == 0]).all()
    table = located.wrong_place_table(("LIME", "uniform"))
    flagged = assessed.flags & (test.labels == 1)
    missed = (located.jaccards["uniform"] < 0.2) & flagged
    assert set(table["image"]) == set(
        test.names[missed | ((located.jaccards["LIME"] < 0.2) & flagged)]
    )
    assert table["missed by"].str.contains("uniform").sum() == missed.sum() > 0
    assert not table.isna().any().any()
    sentence = located.findings(baselines=("uniform",))[-1]
    assert (
        f"Of {assessed.detection.confusion['tp']} flagged" in sentence
        and f"{len(located.wrong_place['SHAP'])} by SHAP" in sentence
    )


def test_the_surest_flags_with_the_least_to_do_with_the_defect_come_first(located):
    table = located.wrong_place_table(("LIME", "uniform"))
    least = table[["J* LIME", "J* uniform"]].min(axis=1)
    assert (np.diff(table["score"] / (least + 1e-9)) <= 0).all()


def test_without_masks_every_jaccard_is_unknown(bare, detector, explained):
    audit = audit_localization(assess_detector("subspace", detector, bare), explained)
    assert np.isnan(audit.jaccards["SHAP"]).all() and audit.wrong_place_table().empty
    assert "no masks" in audit.findings()[0]
    assert audit.summary_parts()["jaccard"] is None


def test_the_figures_show_a_dot_for_each_defective_image(located):
    assert located.figure().axes and located.explainer_figure().axes
    assert list(located.table().index) == ["LIME", "SHAP", "uniform"]


def test_images_whose_defect_is_not_in_the_mask_are_counted_apart(
    partly_cut, detector, assessed, explained
):
    audit = audit_localization(
        assess_detector("subspace", detector, partly_cut), explained, cutoff=0.2
    )
    hidden = ~partly_cut.test.mask_known
    assert np.isnan(audit.jaccards["SHAP"][hidden]).all()
    flagged = assessed.flags & (partly_cut.test.labels == 1)
    count, more = int((flagged & ~hidden).sum()), int((flagged & hidden).sum())
    assert more > 0
    sentence = audit.findings(baselines=("uniform",))[-1]
    assert (
        f"Of {count} flagged defective images whose defect is in the mask ({more} more" in sentence
    )
