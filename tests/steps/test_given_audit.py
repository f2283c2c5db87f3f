"""The audit of detectors from elsewhere, with the truth planted."""

from dataclasses import replace

import numpy as np
import pytest

from adhelpers.steps import (
    ExplainerSettings,
    assess_given,
    audit_given,
    audit_maps_alone,
    choose_counterpart,
    explain_given,
    find_shortcuts,
    plan_budget,
)
from adhelpers.steps.given import given_functions
from adhelpers.steps.localization import OWN_MAP

QUICK = ExplainerSettings(8, 17, 16, good_explained=2)
QUIET = {"show_progress": False}


def audited(category, **functions):
    given = given_functions(category, **functions)
    choice = choose_counterpart(assess_given(given), **QUIET)
    budget = plan_budget(choice.assessment, QUICK, repairs=choice.verifiable)
    explained = explain_given(choice, budget, **QUIET)
    return given, choice, audit_given(choice, explained, budget, **QUIET)


@pytest.fixture(scope="module")
def dotted(hazelnuts):
    """Grey discs; each defect is a bright dot, and each defective image has a tag in a corner."""
    test = hazelnuts.test
    rows, columns = np.mgrid[:64, :64] - 31.5
    disc = np.where(rows**2 + columns**2 < 26**2, 0.5, 0.1)[..., None].astype(np.float32)
    images, masks = np.tile(disc, (len(test), 1, 1, 1)), np.zeros_like(test.masks)
    random = np.random.default_rng(0)
    for index in np.flatnonzero(test.labels):
        row, column = random.integers(18, 40, 2)
        images[index, row : row + 6, column : column + 6] = 0.8
        masks[index, row : row + 6, column : column + 6] = True
        images[index, 1:6, 1:6] = 0.96
    noise = random.uniform(-0.02, 0.02, size=(40, 64, 64, 1)).astype(np.float32)
    images += noise[: len(images)]
    good = disc + noise

    def part(one, count):
        shapes = {"images": good[:count], "labels": np.zeros(count, int)}
        names = np.array([f"train/good/{index}.png" for index in range(count)])
        return replace(
            one, **shapes, types=np.full(count, "good"), names=names, masks=None,
            transforms=None, original_shapes=np.full((count, 2), 64),
        )  # fmt: skip

    return replace(
        hazelnuts,
        root=None,
        train=part(hazelnuts.train, 16),
        validation=part(hazelnuts.validation, 12),
        test=replace(test, images=images, masks=masks, transforms=None),
    )


def dot_map(images):
    grey = images.mean(axis=-1)
    return np.where(grey < 0.88, np.clip(grey - 0.4, 0, None), 0)


def tag_map(images):
    return np.clip(images.mean(axis=-1) - 0.4, 0, None) * (images.mean(axis=-1) > 0.88)


def test_a_detector_of_the_defect_is_right_and_one_of_the_tag_is_wrong(dotted):
    defective = dotted.test.labels == 1
    _, choice, audit = audited(dotted, anomaly_map=dot_map)
    assert choice.verifiable and set(audit.verdicts[defective]) <= {
        "right reason", "right reason, badly explained",
    }  # fmt: skip
    assert audit.explainer == "smallest repair" and OWN_MAP in audit.trust.verdicts
    assert set(audit.trust.verdicts[OWN_MAP][defective]) == {"right reason"}
    _, _, audit = audited(dotted, anomaly_map=tag_map)
    assert set(audit.verdicts[defective]) == {"wrong reason"}


def test_a_map_on_the_defect_beside_a_score_of_the_tag_deceives_who_has_only_maps(dotted):
    defective = dotted.test.labels == 1
    functions = {"anomaly_map": dot_map, "score": lambda images: tag_map(images).max(axis=(1, 2))}
    given, _, audit = audited(dotted, **functions)
    shortcuts = find_shortcuts(dotted)
    beside = audit_maps_alone(given, audit, shortcuts)
    assert set(audit.verdicts[defective]) == {"wrong reason"}
    assert set(beside.placed.verdicts[defective]) == {"right place"}
    assert beside.table().loc["wrong reason", "right place"] == defective.sum()
    assert beside.findings()[0].startswith(f"On 0 of {defective.sum()} flagged defective images")


def test_a_score_without_a_map_is_audited_and_has_nothing_to_compare(dotted):
    given, _, audit = audited(dotted, score=lambda images: dot_map(images).max(axis=(1, 2)))
    assert OWN_MAP not in audit.trust.verdicts and "photographs" not in audit.figures()
    assert set(audit.verdicts) <= {"right reason", "right reason, badly explained", "passed"}
    assert audit.summary_parts()["pixel_auroc"] is None
    panels = [ax.get_title("left") for ax in audit.strips.figure(0).axes]
    assert "anomaly map" not in panels
    beside = audit_maps_alone(given, audit, find_shortcuts(dotted))
    assert beside.table().empty and "gives no map" in beside.findings()[0]


def test_without_masks_no_reason_is_claimed(dotted):
    bare = replace(dotted, test=replace(dotted.test, masks=None))
    given, _, audit = audited(bare, anomaly_map=dot_map)
    assert set(audit.verdicts) == {"flagged, unverified", "passed"}
    beside = audit_maps_alone(given, audit, find_shortcuts(bare))
    assert set(beside.placed.verdicts) == {"flagged, unverified", "passed"}
    assert "No flag could be verified" in beside.findings()[0]
    assert "without masks of the defects" in beside.answer or "Not enough" in beside.answer


def test_where_every_repair_is_an_anomaly_no_flag_is_called_right_or_wrong(dotted):
    known = {one.tobytes() for one in (*dotted.train.images, *dotted.validation.images)}
    known |= {one.tobytes() for one in dotted.test.images[dotted.test.labels == 0]}

    def by_heart(images):
        return np.array([float(one.tobytes() not in known) for one in images])

    _, choice, audit = audited(dotted, score=by_heart, anomaly_map=dot_map)
    assert not choice.verifiable
    assert set(audit.verdicts) == {"flagged, not verifiable", "passed"}
    assert audit.trust.repair is None and not audit.strips.repaired
    assert any("repair proves nothing" in one for one in audit.findings())
