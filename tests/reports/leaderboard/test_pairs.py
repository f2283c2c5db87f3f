"""DeLong's test between the runs of two detectors, from the scores that they have left."""

import numpy as np
import pytest

from adhelpers.metrics import compare_aurocs
from adhelpers.reports.leaderboard.cells import make_cells
from adhelpers.reports.leaderboard.pairs import compare_pairs
from adhelpers.reports.leaderboard.runs import read_runs

LABELS = np.repeat([0, 1], [10, 10])
SCORES = np.random.default_rng(0).normal(size=(4, 20)) + np.array([[2], [1.5], [0], [1]]) * LABELS


def pairs_of(results):
    return compare_pairs(make_cells(read_runs([results.folder]).runs))


def test_images_are_paired_by_their_names_whatever_the_order(results):
    first, second = (results.add(name, "bolt", 0.9) for name in ("a", "b"))
    results.scores(first, SCORES[0], LABELS)
    results.scores(second, SCORES[2], LABELS)
    expected = compare_aurocs(SCORES[0], SCORES[2], LABELS)
    lines = (second / "samples.csv").read_text().splitlines()
    (second / "samples.csv").write_text("\n".join([lines[0], *lines[:0:-1]]))
    pairs, problems = pairs_of(results)
    (row,) = pairs.to_dict("records")
    assert problems == [] and (row["first"], row["second"]) == ("a", "b")
    assert row["difference"] == pytest.approx(expected.difference.value)
    assert row["p_value"] == row["p_corrected"] == pytest.approx(expected.p_value)


def test_seeds_are_compared_by_the_mean_of_their_aurocs(results):
    for detector, rows in (("a", (0, 1)), ("b", (2,))):
        for seed, row in enumerate(rows):
            results.scores(results.add(detector, "bolt", 0.9, seed=seed), SCORES[row], LABELS)
    (row,) = pairs_of(results)[0].to_dict("records")
    expected = compare_aurocs(SCORES[:2], SCORES[2:3], LABELS)
    assert row["p_value"] == pytest.approx(expected.p_value)
    assert row["low"] == pytest.approx(expected.difference.low)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no samples.csv beside it"),
        ("name,score\na,1\n", "samples.csv cannot be read"),
        ("name,label,score\na,0,x\n", "samples.csv cannot be read"),
        ("", "samples.csv cannot be read"),
        ("name,label,score\na,0,1\na,1,2\n", "has a name twice, or a score that is no number"),
        ("name,label,score\na,0,\nb,1,2\n", "has a name twice, or a score that is no number"),
    ],
)
def test_scores_that_cannot_be_used_are_named(results, content, problem):
    for index, name in enumerate(("a", "b", "c")):
        results.scores(results.add(name, "bolt", 0.9), SCORES[index], LABELS)
    samples = results.folder / "05_ocsvm/bolt@c-0/samples.csv"
    samples.unlink() if content is None else samples.write_text(content)
    pairs, problems = pairs_of(results)
    assert len(pairs) == 1 and set(pairs["second"]) == {"b"}
    assert len(problems) == 1 and problem in problems[0]
    assert problems[0].startswith("05_ocsvm/bolt@c-0/summary.json: ")


def test_scores_of_other_images_are_no_pair(results):
    results.scores(results.add("a", "bolt", 0.9), SCORES[0], LABELS)
    results.scores(results.add("b", "bolt", 0.9), SCORES[1][:-1], LABELS[:-1])
    pairs, problems = pairs_of(results)
    assert pairs.empty and problems == ["bolt: not all detectors have scores of the same images"]


def test_detectors_of_different_categories_are_no_pair(results):
    results.scores(results.add("a", "bolt", 0.9), SCORES[0], LABELS)
    results.scores(results.add("b", "nut", 0.9), SCORES[1], LABELS)
    pairs, problems = pairs_of(results)
    assert pairs.empty and problems == [] and "p_corrected" in pairs
