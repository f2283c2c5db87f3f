"""The answer of a run: who is audited, what is counted, and what is written."""

import json
from dataclasses import replace

import numpy as np
import pytest

from adhelpers.data import LEAK, Remark
from adhelpers.explainers import centre_prior, explain_images, residual_map
from adhelpers.runner import start_run
from adhelpers.steps import (
    Audit,
    answer_run,
    assess_detector,
    audit_localization,
    audit_trust,
    find_shortcuts,
)
from adhelpers.steps.explain import ExplainedImages


def _audit(assessment):
    """The audit with quick explainers under the names of the slow ones."""
    test = assessment.category.test
    makers = {"LIME": residual_map, "SHAP": residual_map, "residual map": centre_prior}
    explained = {
        name: explain_images(
            one,
            assessment.detector.score,
            test.images,
            assessment.counterparts,
            show_progress=False,
        )
        for name, one in makers.items()
    }
    images = ExplainedImages(explained, {})
    return Audit(
        images,
        audit_localization(assessment, explained),
        audit_trust(assessment, explained, show_progress=False),
    )


@pytest.fixture(scope="module")
def audit(assessed):
    return _audit(assessed)


@pytest.fixture(scope="module")
def shortcuts(hazelnuts):
    return find_shortcuts(hazelnuts)


def test_the_answer_rests_on_the_verdicts(audit, shortcuts, assessed):
    found = answer_run(audit, shortcuts, show_progress=False)
    main, verdicts = found.answer.main, list(audit.verdicts)
    assert (main.good, main.defective) == (4, 8)
    assert main.caused == sum(one.startswith("right reason") for one in verdicts)
    assert main.false_alarms == verdicts.count("false alarm")
    assert main.flagged == assessed.flags[assessed.category.test.labels == 1].sum()
    # Four good images are too few for any answer.
    assert found.answer.answer == "Not enough images to say"
    assert found.findings()[-1].startswith("Look first at: test/")
    kinds = [verdict for _, verdict in found.looks]
    assert len(kinds) == len(found.pictures) == 3 and "passed" not in kinds
    assert 1 <= len(found.found) <= 5


def _enough(assessment):
    """The same images, each three times, so that an answer is possible."""
    category, times = assessment.category, np.tile(np.arange(len(assessment.category.test)), 3)
    test = category.test.subset(times)
    return assess_detector("subspace", assessment.detector, replace(category, test=test))


def test_a_simpler_detector_goes_through_the_repair_test_too(assessed):
    many = _enough(assessed)
    audit, shortcuts = _audit(many), find_shortcuts(many.category)
    other = replace(many, title="other")
    found = answer_run(audit, shortcuts, other, show_progress=False)
    alone = answer_run(audit, shortcuts, show_progress=False)
    if alone.answer.answer == "Use it":
        # A detector that is the same is as good.
        assert (
            found.answer.answer == "Use the simpler one"
            and "with the other " in (found.findings()[0])
        )
    else:
        assert found.answer.answer == alone.answer.answer == "Do not trust it yet"


def test_leaked_test_images_forbid_trust(assessed):
    many = _enough(assessed)
    # The first two, each of which is there three times.
    remark = Remark(LEAK, tuple(many.category.test.names[:2]), "2 leak")
    leaking = replace(many, category=replace(many.category, remarks=(remark,)))
    found = answer_run(_audit(leaking), find_shortcuts(leaking.category), show_progress=False)
    assert found.answer.answer == "Do not trust it yet"
    assert "6 test images are also among the training images" in found.findings()[0]


def test_without_masks_no_flag_is_trusted(bare, detector, shortcuts):
    one = _enough(assess_detector("subspace", detector, bare))
    found = answer_run(_audit(one), find_shortcuts(one.category), one, show_progress=False)
    assert found.answer.answer == "Do not trust it yet" and "without masks" in found.findings()[0]
    assert found.answer.main.caused is None


def test_the_answer_is_written_and_begins_the_report(audit, shortcuts, tmp_path):
    run = start_run("test", {"category": "nut", "results": str(tmp_path), "models": str(tmp_path)})
    found = answer_run(audit, shortcuts, results=[shortcuts], show_progress=False)
    audit.write(run, shortcuts, found)
    written = json.loads((run.folder / "summary.json").read_text())["answer"]
    assert written["answer"] == found.answer.answer and written["findings"] == found.found
    assert written["findings"][0] == audit.trust.findings()[0]
    assert written["findings"][1] == shortcuts.findings()[0]
    names = audit.assessment.category.test.names.tolist()
    assert len(written["look_first"]) == 3
    for look in written["look_first"]:
        assert (run.folder / look["figure"]).is_file()
        assert look["verdict"] == audit.verdicts[names.index(look["name"])]
    assert (run.folder / "figures" / "verdicts.png").is_file()
