"""The answer: every row of the rule, what would fool it, and that better is never worse."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adhelpers.audit import Answer, Decisions, Wording, find_answer
from adhelpers.audit.answer import ANSWERS, AnswerCriteria, answer_rules

GREAT = Decisions("VAE-GAN", good=20, false_alarms=1, defective=40, flagged=39, caused=38)
# From bad to good; "not enough images" stands beside them.
RANK = {"Do not trust it yet": 0, "Use the simpler one": 1, "Use it": 2}


@pytest.mark.parametrize(
    "changes, options, expected, reason",
    [
        ({}, {}, "Use it", "38 of 40 defects are flagged because of the defect, and 1 of 20"),
        ({"good": 9, "false_alarms": 0}, {}, "Not enough images to say", "10 test images of each"),
        ({"defective": 0, "flagged": 0, "caused": None}, {}, "Not enough images to say", "needs"),
        ({}, {"leaks": 1}, "Do not trust it yet", "1 test image is also among the training"),
        ({}, {"shortcut": "noise 0.91"}, "Use it", "38 of 40"),
        (
            {},
            {"shortcut": "noise 0.91", "proves_skill": False},
            "Do not trust it yet",
            "noise 0.91 alone tells good from defective",
        ),
        ({"caused": None}, {}, "Do not trust it yet", "without masks"),
        # All is right, by a threshold that knows the answers.
        ({"fitted_to_test": True}, {}, "Do not trust it yet", "chosen with the test labels"),
        # All are flagged, but not for the defect: recall alone would be fooled.
        ({"flagged": 40, "caused": 29}, {}, "Do not trust it yet", "only 29 of 40"),
        ({"flagged": 40, "caused": 30}, {}, "Use it", "30 of 40"),
        ({"false_alarms": 3}, {}, "Do not trust it yet", "3 of 20 good images are flagged"),
        # A detector that flags everything finds all defects.
        ({"false_alarms": 20, "flagged": 40, "caused": 40}, {}, "Do not trust it yet", "20 of 20"),
    ],
)
def test_every_row_decides_where_it_should(changes, options, expected, reason):
    found = find_answer(replace(GREAT, **changes), **options)
    assert found.answer == expected and reason in found.findings()[0]
    assert answer_rules().loc[found.rule, "answer"] == expected
    assert found.table()["decided"].tolist().index("←") == found.rule


@pytest.mark.parametrize(
    "simpler, expected",
    [
        # As good, and as good with fewer false alarms.
        ({}, "Use the simpler one"),
        ({"false_alarms": 0}, "Use the simpler one"),
        ({"caused": 37}, "Use it"),
        # More defects, but also more false alarms: none dominates.
        ({"caused": 39, "false_alarms": 2}, "Use it"),
        # More false alarms than the criteria allow.
        ({"false_alarms": 3}, "Use it"),
        ({"caused": None}, "Use it"),
    ],
)
def test_the_simpler_one_must_be_at_least_as_good(simpler, expected):
    other = replace(GREAT, title="linear subspace", **simpler)
    found = find_answer(GREAT, other)
    assert found.answer == expected
    assert ("linear subspace" in found.findings()[0]) == (expected == "Use the simpler one")


def test_the_simpler_one_is_better_than_one_that_fails():
    failing = replace(GREAT, caused=10)
    other = replace(GREAT, title="linear subspace", caused=31)
    assert find_answer(failing, other).answer == "Use the simpler one"
    assert find_answer(failing, replace(other, caused=29)).answer == "Do not trust it yet"
    # What is wrong with the test set holds for the simpler one as well.
    assert find_answer(failing, other, leaks=2).answer == "Do not trust it yet"


@st.composite
def _decisions(draw):
    good, defective = draw(st.integers(0, 30)), draw(st.integers(0, 30))
    flagged = draw(st.integers(0, defective))
    return Decisions(
        "main",
        good,
        draw(st.integers(0, good)),
        defective,
        flagged,
        draw(st.none() | st.integers(0, flagged)),
    )


@st.composite
def _situations(draw):
    main = draw(_decisions())
    simpler = None
    if draw(st.booleans()):
        flagged = draw(st.integers(0, main.defective))
        simpler = Decisions(
            "simpler",
            main.good,
            draw(st.integers(0, main.good)),
            main.defective,
            flagged,
            draw(st.integers(0, flagged)),
        )
    options = {
        "shortcut": draw(st.sampled_from(["", "noise 0.91"])),
        "proves_skill": draw(st.booleans()),
        "leaks": draw(st.integers(0, 1)),
        "criteria": AnswerCriteria(
            draw(st.integers(1, 12)), draw(st.floats(0.1, 1)), draw(st.floats(0, 0.9))
        ),
    }
    return main, simpler, options


@given(_situations())
def test_better_decisions_never_make_the_answer_worse(situation):
    main, simpler, options = situation
    before = find_answer(main, simpler, **options)
    assert before.answer in ANSWERS and isinstance(before, Answer)
    better = []
    if main.caused is not None and main.caused < main.flagged:
        better.append(replace(main, caused=main.caused + 1))
    if main.caused is not None and main.flagged < main.defective:
        better.append(replace(main, caused=main.caused + 1, flagged=main.flagged + 1))
    if main.false_alarms:
        better.append(replace(main, false_alarms=main.false_alarms - 1))
    assume(better)
    for one in better:
        after = find_answer(one, simpler, **options)
        if before.answer == "Not enough images to say":
            assert after.answer == before.answer
        else:
            assert RANK[after.answer] >= RANK[before.answer]


@given(_situations())
def test_a_used_detector_meets_the_criteria(situation):
    main, simpler, options = situation
    found, criteria = find_answer(main, simpler, **options), options["criteria"]
    if found.answer == "Use it":
        assert main.caused / main.defective >= criteria.recall
        assert main.false_alarms / main.good <= criteria.false_alarms
        assert min(main.good, main.defective) >= criteria.images and not options["leaks"]
    if found.answer == "Use the simpler one":
        assert criteria.met_by(simpler)


def test_what_is_just_enough_is_enough():
    # 14 of 50 are 28 %, and 29 of 100 are 29 %, though 0.28 * 50 > 14 and 0.29 * 100 < 29.
    main = Decisions("maps", good=100, false_alarms=29, defective=50, flagged=14, caused=14)
    criteria = AnswerCriteria(recall=0.28, false_alarms=0.29)
    assert find_answer(main, criteria=criteria).answer == "Use it"
    failing = replace(main, caused=13)
    assert find_answer(failing, criteria=criteria).answer == "Do not trust it yet"
    assert find_answer(failing, main, criteria=criteria).answer == "Use the simpler one"
    too_many = replace(main, false_alarms=30)
    assert find_answer(too_many, criteria=criteria).answer == "Do not trust it yet"
    assert find_answer(failing, too_many, criteria=criteria).answer == "Do not trust it yet"
    # One image of each kind.
    one, lax = Decisions("maps", 1, 0, 1, 1, 1), AnswerCriteria(1, recall=1, false_alarms=0.5)
    assert find_answer(one, criteria=lax).answer == "Use it"
    for worse in (replace(one, caused=0), replace(one, false_alarms=1)):
        assert find_answer(worse, criteria=lax).answer == "Do not trust it yet"
    assert find_answer(one, criteria=lax).table()["when"][0].startswith("fewer than 1 good")
    assert not criteria.met_by(Decisions("maps", good=0, false_alarms=0, defective=0, flagged=0))


def test_the_answer_reads_as_sentences():
    unmasked = replace(GREAT, title="linear subspace", caused=None)
    found = find_answer(unmasked)
    assert found.figures()[0].startswith("Linear subspace: recall 0.97 [0.87, 1.00], false alarms")
    assert found.as_dict()["because"].startswith("Without masks of the defects no one can say")
    assert found.as_dict()["because"].endswith("a start.")
    assert found.table().columns.tolist() == ["decided", "answer", "when"]


def test_the_figures_have_exact_intervals():
    figures = find_answer(GREAT, shortcut="noise 0.91").figures()[0]
    # Clopper and Pearson for 39, 38 of 40 and 1 of 20.
    assert "recall 0.97 [0.87, 1.00]" in figures
    assert "0.95 [0.83, 0.99]" in figures and "1 of 20 (0.05 [0.00, 0.25])" in figures
    assert "shortcut outside the defects: noise 0.91" in figures
    assert "It rests on 20 good and 40 defective test images." in figures
    assert set(find_answer(GREAT).as_dict()) == {"answer", "because", "figures"}
    nothing = find_answer(Decisions("maps", 0, 0, 0, 0))
    assert "nan" not in " ".join(nothing.findings())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: replace(GREAT, caused=40), "VAE-GAN: false alarms are part"),
        (lambda: replace(GREAT, false_alarms=21), "false alarms are part"),
        (lambda: replace(GREAT, flagged=41), "part of the flags"),
        (
            lambda: find_answer(GREAT, replace(GREAT, good=21)),
            "simpler must be tested on",
        ),
        (lambda: find_answer(GREAT, leaks=-1), "leaks"),
        (lambda: AnswerCriteria(images=0), "images"),
        (lambda: AnswerCriteria(recall=0), "recall"),
        (lambda: AnswerCriteria(recall=1.01), "recall"),
        (lambda: AnswerCriteria(false_alarms=1), "false_alarms"),
    ],
)
def test_bad_counts_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_anomalies_without_a_place_need_no_masks_and_are_not_called_defects():
    words = Wording("anomalies are flagged", "normal samples are flagged", "samples", places=False)
    one = Decisions("Deep SAD", 50, 4, 60, 55, 55, words)
    found = find_answer(one)
    assert found.as_dict()["because"] == (
        "55 of 60 anomalies are flagged, and 4 of 50 normal samples are flagged."
    )
    assert "defect" not in " ".join(found.findings()) and "shortcut" not in found.figures()[0]
    assert found.answer == "Use it"
    missed = find_answer(replace(one, flagged=20, caused=20))
    assert missed.findings()[0] == "Do not trust it yet: only 20 of 60 anomalies are flagged."
