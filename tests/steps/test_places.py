"""Flags that no repair can test: verdicts from places alone, and none where nothing is known."""

from dataclasses import replace

import numpy as np
import pytest

from adhelpers.audit import find_answer
from adhelpers.audit.answer import NOT_YET, USE_IT
from adhelpers.explainers import centre_prior, explain_images, noise
from adhelpers.explainers.batch import Explanations
from adhelpers.steps import find_shortcuts
from adhelpers.steps.answer import answer_run
from adhelpers.steps.audit import Audit
from adhelpers.steps.explain import ExplainedImages
from adhelpers.steps.localization import audit_localization
from adhelpers.steps.places import audit_places

MAP = "anomaly map"


def given_maps(assessed, maps):
    """An assessment of maps without a model that flags exactly what is defective."""
    scores = assessed.category.test.labels.astype(np.float32)
    threshold = replace(assessed.threshold, value=0.5)
    return replace(
        assessed, detector=None, scores=scores, anomaly_maps=maps, threshold=threshold,
        counterparts=assessed.category.test.images, has_counterparts=False,
    )  # fmt: skip


def explained(one):
    images = one.category.test.images
    found = {MAP: Explanations(one.anomaly_maps, [{}] * len(images), {}, 0.0)}
    for name, maker in (("centre prior", centre_prior), ("noise", noise)):
        found[name] = explain_images(maker, None, images, images, show_progress=False)
    return found


@pytest.fixture(scope="module")
def on_defects(assessed):
    return given_maps(assessed, assessed.category.test.masks.astype(np.float32))


def audited(one, **options):
    explanations = explained(one)
    trust = audit_places(one, explanations, explainers=[MAP], **options)
    return Audit(
        ExplainedImages(explanations, {}), audit_localization(one, explanations), trust, MAP
    )


def test_maps_on_the_defects_are_in_the_right_place_and_elsewhere_in_the_wrong_one(on_defects):
    audit = audited(on_defects, by_place=True)
    defective = on_defects.category.test.labels == 1
    assert set(audit.verdicts[defective]) == {"right place"}
    assert set(audit.verdicts[~defective]) == {"passed"}
    # Flags and scores are the same; only the maps lie elsewhere.
    elsewhere = given_maps(on_defects, 1 - on_defects.anomaly_maps)
    assert set(audited(elsewhere, by_place=True).verdicts[defective]) == {"wrong place"}


def test_the_answer_of_maps_counts_places_and_says_so(on_defects):
    shortcuts = replace(find_shortcuts(on_defects.category), probe=None, strongest=None)
    object.__setattr__(shortcuts, "outside_defects", lambda: "")
    enough = answer_run(audited(on_defects, by_place=True), shortcuts).answer
    main = replace(enough.main, good=20, defective=20, flagged=20, caused=20)
    assert enough.main.caused == 8 and "map on the defect" in main.wording.found
    assert find_answer(main).answer == USE_IT
    assert "without the model no repair was tested" in find_answer(main).reason
    # By the labels' own threshold the same flags prove nothing.
    none = replace(on_defects, reference_scores=on_defects.reference_scores[:0])
    none = replace(none, threshold=replace(none.threshold, uses_test_labels=True))
    fitted = answer_run(audited(none, by_place=True), shortcuts).answer.main
    assert fitted.fitted_to_test and not enough.main.fitted_to_test
    # The same flags of a detector to which every repair is an anomaly: nothing is known.
    blind = answer_run(audited(on_defects, by_place=False), shortcuts).answer
    assert blind.main.caused is None
    blind = find_answer(replace(blind.main, good=20, defective=20, flagged=20))
    assert blind.answer == NOT_YET and "keeps good images normal" in blind.reason


def test_the_audit_of_maps_has_its_tables_figures_and_strips(on_defects):
    audit = audited(on_defects, by_place=True)
    assert MAP in audit.table().index and "images above chance" in audit.table()
    assert list(audit.figures()) == ["score-against-jaccard", "photographs"]
    assert audit.samples()["verdict"].tolist() == audit.verdicts.tolist()
    assert audit.summary_parts()["trust_adjusted_recall"] is None or np.isnan(
        audit.summary_parts()["trust_adjusted_recall"]
    )
    panels = [ax.get_title("left") for ax in audit.strips.figure(0).axes]
    assert "defect repaired" not in panels and MAP in panels
    assert any("whose map is on the defect" in one for one in audit.findings())
    assert audit.verdict_table().loc["right place", "all"] == 8


def test_without_masks_nothing_is_known_of_places(on_defects):
    test = replace(on_defects.category.test, masks=None)
    bare = replace(on_defects, category=replace(on_defects.category, test=test))
    assert set(audited(bare, by_place=True).verdicts) == {"flagged, unverified", "passed"}
