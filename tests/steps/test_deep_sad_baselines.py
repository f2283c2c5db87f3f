"""Deep SAD beside shallow methods: the table, the sentence, the simplest one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from adhelpers.data import semi_supervised
from adhelpers.metrics.intervals import Estimate
from adhelpers.steps.deep_sad_baselines import Baselines, compare_baselines
from adhelpers.steps.sample_answer import answer_samples


def test_baselines_stand_beside_deep_sad_on_both_inputs(digits):
    baselines = compare_baselines(digits.judged)
    table = baselines.results
    assert (
        len(table) == 9
        and table["method"][0] == "Deep SAD"
        and set(table["input"][1:]) == {"samples", "autoencoder's code"}
    )
    assert all(
        row["AUROC"].low <= row["AUROC"].value <= row["AUROC"].high for _, row in table.iterrows()
    )
    shown = baselines.table()
    assert shown["AUROC"].str[:5].astype(float).is_monotonic_decreasing
    category = semi_supervised(
        digits.labelled, **digits.settings.split | {"ratio_known_outlier": 0.0}
    )
    without = compare_baselines(replace(digits.judged, category=category)).results
    assert not without["method"].str.contains("known anomalies").any()


def test_a_simple_method_that_finds_as_many_anomalies_is_preferred(digits):
    judged, labels = digits.judged, digits.category.test.labels
    baselines = compare_baselines(judged)
    assert baselines.simplest_flags.shape == labels.shape
    lower = compare_baselines(judged, quantile=0.5).simplest_flags
    assert lower.sum() > baselines.simplest_flags.sum()
    perfect = replace(baselines, simplest_flags=labels == 1)
    preferred = answer_samples(judged, [], perfect)
    assert preferred.answer.answer == "Use the simpler one"
    assert "with the one-class SVM on the samples 646 of 646 anomalies" in preferred.answer.reason
    # One that flags everything is no alternative, and without one there is nothing to prefer.
    useless = replace(baselines, simplest_flags=np.ones(len(labels), bool))
    assert answer_samples(judged, [], useless).answer.answer == (
        answer_samples(judged).answer.answer
    )
    # Nothing tests what raised a flag on an image with a defect, whoever flags it.
    assert answer_samples(judged, [], perfect, of_defects=True).answer.main.caused is None


@pytest.mark.parametrize(
    "deep, other, said",
    [
        ((0.9, 0.88, 0.92), (0.8, 0.78, 0.82), "is above.*do not overlap"),
        ((0.9, 0.8, 0.95), (0.94, 0.9, 0.96), "is below.*intervals overlap"),
    ],
)
def test_the_sentence_on_baselines_follows_from_the_numbers(deep, other, said):
    table = pd.DataFrame(
        {
            "method": ["Deep SAD", "kernel density"],
            "input": ["samples", "samples"],
            "AUROC": [Estimate(*deep), Estimate(*other)],
        }
    )
    [sentence] = Baselines(table).findings()
    assert (
        pd.Series([sentence]).str.contains(said).all()
        and "kernel density on the samples" in sentence
    )
