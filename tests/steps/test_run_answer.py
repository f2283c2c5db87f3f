"""The answer of a run as it is shown and written."""

import pandas as pd
from matplotlib.figure import Figure

from adhelpers.audit import Decisions, find_answer
from adhelpers.steps.run_answer import RunAnswer


def _answer(pictures):
    main = Decisions("subspace", good=12, false_alarms=1, defective=12, flagged=12, caused=12)
    verdicts = pd.DataFrame(
        {"cut": [9, 1, 0], "hole": [2, 0, 0], "good": [0, 0, 12], "all": [11, 1, 12]},
        index=["right reason", "missed", "passed"],
    )
    looks = [("a.png", "missed"), ("b.png", "right reason")]
    return RunAnswer(find_answer(main), verdicts, looks, pictures, ["One.", "Two."])


def test_what_is_written_and_shown_agree():
    pictures = [Figure(), Figure()]
    answer = _answer(pictures)
    assert answer.findings()[-1] == "Look first at: a.png (missed); b.png (right reason)."
    figures = answer.figures()
    assert list(figures) == ["verdicts", "look-first-1", "look-first-2"]
    assert [figures["look-first-1"], figures["look-first-2"]] == pictures
    parts = answer.summary_parts()
    assert [one["figure"] for one in parts["answer"]["look_first"]] == [
        "figures/look-first-1.png",
        "figures/look-first-2.png",
    ]
    assert parts["answer"]["findings"] == ["One.", "Two."]


def test_the_column_of_all_types_is_not_counted_twice():
    answer = _answer([])
    assert answer.summary_parts()["verdicts"] == {"right reason": 11, "missed": 1, "passed": 12}
    names = [text.get_text() for text in answer.figure().axes[0].get_yticklabels()]
    assert sorted(names) == ["cut", "good", "hole"]


def test_vectors_have_no_pictures_and_are_named_all_the_same():
    answer = _answer([])
    assert list(answer.figures()) == ["verdicts"]
    assert answer.summary_parts()["answer"]["look_first"] == []
    assert answer.findings()[-1].startswith("Look first at: a.png")
