"""The answers of the runs that have no audit by masks of each flag: a classifier, Deep SAD."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from adhelpers._shared.arrays import Flags, Integers
from adhelpers.audit import REASONS, Decisions, Wording, find_answer
from adhelpers.data import LEAK

from .assess import leaked_images
from .classifier_audit import ExplanationAudit
from .classifier_data import Task
from .deep_sad import SampleAssessment
from .deep_sad_baselines import SIMPLEST, Baselines
from .deep_sad_figures import explain_samples
from .findings import HasFindings, leading_findings
from .run_answer import RunAnswer

_CLASSIFIER = Wording(
    found="faults are recognised because of the fault",
    alarms="good images are taken for faulty",
    unknown="nothing in these images can be repaired, so no one can say what its decisions rest on",
)
_SAMPLES = Wording(
    found="anomalies are flagged",
    alarms="normal samples are flagged",
    samples="test samples",
    places=False,
)
_DEFECTS = Wording(unknown="what raised its flags was not tested: this run repairs no defects")


def answer_classifier(
    audit: ExplanationAudit, task: Task, results: Sequence[HasFindings] = ()
) -> RunAnswer:
    """Answer whether a classifier can be used: by faults recognised because of the fault.

    The first class counts as good. A fault is flagged where its class is right.

    Parameters
    ----------
    audit : ExplanationAudit
    task : Task
        Whose test images were decided about.
    results : sequence
        Of which the findings below the answer come, the weightiest first.

    Returns
    -------
    RunAnswer
    """
    decisions = audit.decisions
    images, reasons = decisions.images, decisions.reasons
    wrong_class, other_reason, right_reason = REASONS
    faulty = images.labels != 0
    caused, other = (int((reasons[faulty] == one).sum()) for one in (right_reason, other_reason))
    wording = _CLASSIFIER
    if images.defects is None:
        alarms = f"images of class {images.class_names[0]} are taken for another"
        wording = Wording(_CLASSIFIER.found, alarms, unknown=_CLASSIFIER.unknown)
    main = Decisions(
        "classifier",
        good=int((~faulty).sum()),
        false_alarms=int(decisions.wrong[~faulty].sum()),
        defective=int(faulty.sum()),
        flagged=caused + other,
        caused=caused if decisions.has_reasons else None,
        wording=wording,
    )
    shortcut = "cannot be told"
    if decisions.has_reasons:
        rests = f"{other} of {caused + other} right decisions on faults rest on one"
        shortcut = rests if other else ""
    leaked = {name for remark in task.remarks if remark.kind == LEAK for name in remark.files}
    leaks = int(np.isin(images.names, sorted(leaked)).sum())
    found = find_answer(main, shortcut=shortcut, leaks=leaks)
    certainty = decisions.probabilities.max(axis=1)
    order = (other_reason, wrong_class, right_reason)
    chosen = _first_of_each(reasons, order, certainty)
    looks = [(str(images.names[index]), str(reasons[index])) for index in chosen]
    pictures = [audit.decision_figure(index) for index in chosen]
    classes = np.asarray(images.class_names)[images.labels]
    counts = _count(reasons, (right_reason, other_reason, wrong_class), classes)
    return RunAnswer(found, counts, looks, pictures, leading_findings(results))


def answer_samples(
    assessment: SampleAssessment,
    results: Sequence[HasFindings] = (),
    baselines: Baselines | None = None,
    *,
    of_defects: bool = False,
) -> RunAnswer:
    """Answer whether Deep SAD can be used.

    A digit of another class is an anomaly as a whole, so a flag on it is for its sake, and no mask
    is asked for. An image with a defect is flagged for the defect or for something beside it;
    nothing here tests which.

    Parameters
    ----------
    assessment : SampleAssessment
    results : sequence
        Of which the findings below the answer come, the weightiest first.
    baselines : Baselines, optional
        Whose simplest method Deep SAD is compared with.
    of_defects : bool
        Whether the anomalies are images with a defect, as in a folder of categories.

    Returns
    -------
    RunAnswer
    """
    test, flags, scores = assessment.category.test, assessment.flags, assessment.scores
    anomalous = test.labels == 1
    main, simpler = _decided(assessment.title, flags, anomalous, of_defects), None
    if baselines is not None and baselines.simplest_flags is not None:
        simpler = _decided(SIMPLEST, baselines.simplest_flags, anomalous, of_defects)
    shortcut = "not looked for" if of_defects else ""
    leaks = int(leaked_images(assessment.category).sum())
    found = find_answer(main, simpler, shortcut=shortcut, leaks=leaks)
    flagged_kind = "flagged, unverified" if of_defects else "found"
    kinds = np.where(
        anomalous,
        np.where(flags, flagged_kind, "missed"),
        np.where(flags, "false alarm", "passed"),
    )
    # The highest score of those that are flagged, the lowest of the missed.
    weight = np.where(kinds == "missed", -scores, scores)
    chosen = _first_of_each(kinds, ("false alarm", "missed", flagged_kind), weight)
    looks = [(str(test.names[i]), f"{kinds[i]}, {test.types[i]}") for i in chosen]
    pictures = []
    if test.images.ndim == 4:
        pictures = [explain_samples(assessment, np.array([index])) for index in chosen]
    counts = _count(kinds, (flagged_kind, "missed", "false alarm", "passed"), test.types)
    return RunAnswer(found, counts, looks, pictures, leading_findings(results))


def _decided(title: str, flags: Flags, anomalous: Flags, of_defects: bool) -> Decisions:
    """What flags mean, where the anomalies are whole samples or images with a defect."""
    flagged = int(flags[anomalous].sum())
    return Decisions(
        title,
        good=int((~anomalous).sum()),
        false_alarms=int(flags[~anomalous].sum()),
        defective=int(anomalous.sum()),
        flagged=flagged,
        caused=None if of_defects else flagged,
        wording=_DEFECTS if of_defects else _SAMPLES,
    )


def _count(kinds: ArrayLike, order: Sequence[str], types: ArrayLike) -> pd.DataFrame:
    """How many of each type are of each kind: a row for each kind."""
    types = np.asarray(types).astype(str)
    return pd.crosstab(np.asarray(kinds), types).reindex(list(order), fill_value=0)


def _first_of_each(kinds: ArrayLike, order: Sequence[str], weight: ArrayLike) -> Integers:
    """Of each kind that there is the index with the largest weight."""
    kinds, weight = np.asarray(kinds), np.asarray(weight)
    members = (np.flatnonzero(kinds == kind) for kind in order)
    return np.array([one[weight[one].argmax()] for one in members if len(one)], dtype=np.int64)
