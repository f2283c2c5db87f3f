"""The contest by hand: who wins, what is claimed, and that all look at the same images."""
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from adhelpers.feature_study import Contest, published_sentences, run_contest
from adhelpers.metrics import compare_aurocs

LABELS = np.repeat([0, 1], 20)
TYPES = np.where(LABELS == 1, "spot", "good")


@pytest.fixture(scope="module")
def contest():
    random = np.random.default_rng(0)
    blind = random.normal(size=(2, 40))
    return Contest({"blind": blind, "sharp": np.stack([LABELS + 0.01 * random.normal(size=40)] * 2)}, LABELS, TYPES, 0)


def test_the_best_is_on_top_and_the_others_are_tested_against_it(contest):
    table = contest.table()
    assert contest.ranked[0] == "sharp" and list(table.index) == ["sharp", "blind"]
    assert table.loc["sharp", "image AUROC, mean over seeds"] == "1.000 [1.000, 1.000]"
    expected = compare_aurocs(contest.scores["blind"], contest.scores["sharp"], LABELS)
    assert table.loc["blind", "p, paired and corrected"] == f"{expected.p_value:.3g}"


def test_claims_are_judged_by_the_paired_test(contest):
    won, held, refuted = contest.sentences([("sharp", "blind"), ("blind", "sharp")])
    assert won.startswith("sharp has the highest AUROC") and "blind" in won
    assert "holds on these images" in held and "is refuted on these images" in refuted
    same = Contest({"a": contest.scores["blind"], "b": contest.scores["blind"]}, LABELS, TYPES, 0)
    assert "neither shown nor refuted" in same.sentences([("a", "b")])[1]


def test_worse_than_chance_is_said():
    table = pd.DataFrame({"auroc": [0.2, 0.6], "follows brightness": [-0.9, 0.1]}, index=["low", "high"])
    best, follows = published_sentences(table)
    assert "best on high" in best and "Below 0.5" in best and "-0.90" in follows


def test_all_must_see_the_same_images():
    one, other = (SimpleNamespace(test=SimpleNamespace(names=names)) for names in (["a"], ["b"]))
    with pytest.raises(ValueError, match="same test images"):
        run_contest({"x": (None, one), "y": (None, other)}, "", [0])
    with pytest.raises(ValueError, match="at least one number"):
        run_contest({"x": (None, one)}, "", [])
