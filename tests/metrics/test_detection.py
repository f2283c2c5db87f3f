"""Detection figures against scikit-learn, pair counting, and by hand; what must always hold."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, norm

from adhelpers import metrics
from adhelpers.metrics import Threshold, detection, detection_report, image_auroc
from adhelpers.metrics.detection import average_precision

two_classes = st.lists(
    st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40
).filter(lambda pairs: len({label for _, label in pairs}) == 2)
decisions = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


def scores_and_labels(pairs):
    return np.array([score for score, _ in pairs], dtype=float), np.array(
        [label for _, label in pairs], dtype=int
    )


@given(two_classes)
def test_auroc_counts_pairs(pairs):
    scores, labels = scores_and_labels(pairs)
    difference = scores[labels == 1][:, None] - scores[labels == 0]
    assert image_auroc(scores, labels) == pytest.approx(
        (difference > 0).mean() + (difference == 0).mean() / 2, abs=1e-12
    )


@given(two_classes)
def test_ranking_figures_are_those_of_scikit_learn(pairs):
    scores, labels = scores_and_labels(pairs)
    assert image_auroc(scores, labels) == pytest.approx(
        sklearn.metrics.roc_auc_score(labels, scores), abs=1e-12
    )
    assert average_precision(scores, labels) == pytest.approx(
        sklearn.metrics.average_precision_score(labels, scores), abs=1e-12
    )


@given(two_classes)
def test_ranking_figures_survive_monotone_maps_and_auroc_is_turned_by_negation(pairs):
    scores, labels = scores_and_labels(pairs)
    mapped = np.exp(scores / 2) - 7
    assert image_auroc(mapped, labels) == image_auroc(scores, labels)
    assert average_precision(mapped, labels) == average_precision(scores, labels)
    assert image_auroc(-scores, labels) == pytest.approx(1 - image_auroc(scores, labels), abs=1e-12)
    assert image_auroc(scores, 1 - labels) == pytest.approx(
        1 - image_auroc(scores, labels), abs=1e-12
    )


@given(two_classes, st.randoms(use_true_random=False))
def test_ranking_figures_do_not_depend_on_the_order(pairs, random):
    scores, labels = scores_and_labels(pairs)
    shuffled = scores_and_labels(random.sample(pairs, len(pairs)))
    assert image_auroc(*shuffled) == pytest.approx(image_auroc(scores, labels), abs=1e-12)
    assert average_precision(*shuffled) == pytest.approx(
        average_precision(scores, labels), abs=1e-12
    )


def test_equal_scores_tell_nothing():
    labels = [0, 0, 0, 1]
    assert image_auroc([2.0] * 4, labels) == 0.5
    assert average_precision([2.0] * 4, labels) == 0.25


@given(decisions)
def test_decision_figures_are_those_of_scikit_learn(pairs):
    flags, labels = (np.array(column) for column in zip(*pairs, strict=True))
    counts = metrics.confusion(flags, labels)
    tn, fp, fn, tp = sklearn.metrics.confusion_matrix(labels, flags, labels=[False, True]).ravel()
    assert counts == {"tp": tp, "fp": fp, "tn": tn, "fn": fn}
    assert metrics.accuracy(flags, labels) == pytest.approx(
        sklearn.metrics.accuracy_score(labels, flags)
    )
    if labels.any():
        assert metrics.f1_score(flags, labels) == pytest.approx(
            sklearn.metrics.f1_score(labels, flags, zero_division=0)
        )
    if labels.any() and not labels.all():
        recalls = sklearn.metrics.recall_score(labels, flags, average=None, zero_division=0)
        assert detection.g_mean(flags, labels) == pytest.approx(np.sqrt(recalls[0] * recalls[1]))


def test_decision_figures_by_hand():
    # tp 3, fn 1, fp 1, tn 4
    flags = [True, True, True, False, True, False, False, False, False]
    labels = [1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert metrics.accuracy(flags, labels) == pytest.approx(7 / 9)
    assert metrics.f1_score(flags, labels) == pytest.approx(6 / 8)
    assert detection.g_mean(flags, labels) == pytest.approx(np.sqrt(3 / 4 * 4 / 5))


def test_recall_by_type_leaves_good_out():
    types = ["good", "hole", "crack", "hole", "crack", "crack"]
    assert detection.recall_by_type([True, True, False, False, True, True], types) == {
        "crack": pytest.approx(2 / 3),
        "hole": 0.5,
    }


def test_figures_that_need_a_class_refuse_to_go_without():
    with pytest.raises(ValueError, match="no anomalous image"):
        metrics.f1_score([True, False], [0, 0])
    for labels, missing in (([0, 0], "no anomalous"), ([1, 1], "no good")):
        with pytest.raises(ValueError, match=missing):
            detection.g_mean([True, False], labels)
        for figure in (image_auroc, average_precision, metrics.auroc_estimate):
            with pytest.raises(ValueError, match=missing):
                figure([0.1, 0.2], labels)


@pytest.fixture
def example_set():
    random = np.random.default_rng(3)
    types = np.array(["good"] * 41 + ["crack"] * 60 + ["hole"] * 19)
    labels = (types != "good").astype(int)
    scores = np.round(random.normal(size=len(types)) + 1.2 * labels, 1).astype(np.float32)
    return scores, labels, types


def test_report_values_are_those_of_the_single_figures(example_set):
    scores, labels, types = example_set
    threshold = Threshold(0.8, "by hand", uses_test_labels=False)
    flags = threshold.flag(scores)
    report = detection_report(scores, labels, types, threshold, resamples=50)
    assert report.auroc.value == image_auroc(scores, labels)
    assert report.average_precision.value == average_precision(scores, labels)
    assert report.accuracy.value == pytest.approx(metrics.accuracy(flags, labels))
    assert report.f1.value == pytest.approx(metrics.f1_score(flags, labels))
    assert report.g_mean.value == pytest.approx(detection.g_mean(flags, labels))
    assert {name: estimate.value for name, estimate in report.recall.items()} == pytest.approx(
        detection.recall_by_type(flags, types)
    )
    assert report.confusion == metrics.confusion(flags, labels)
    assert report.images == {"good": 41, "crack": 60, "hole": 19}
    assert report.threshold == threshold


def test_findings_of_a_report_name_counts_threshold_and_the_hardest_type(example_set):
    scores, labels, types = example_set
    threshold = Threshold(0.8, "by hand", uses_test_labels=False)
    report = detection_report(scores, labels, types, threshold, resamples=50)
    ranking, decisions, hardest = report.findings()
    assert ranking == (
        f"Image AUROC {report.auroc}, average precision {report.average_precision}, on 79 "
        "anomalous and 41 good images."
    )
    found, alarms = report.confusion["tp"], report.confusion["fp"]
    assert decisions == (
        f"The threshold (by hand) flags {found} of 79 anomalous and {alarms} of 41 good images: "
        f"accuracy {report.accuracy}, F1 {report.f1}."
    )
    worst = min(report.recall, key=lambda name: report.recall[name].value)
    assert hardest.startswith(f"The type with the lowest recall is {worst}: {report.recall[worst]}")
    seen = detection_report(
        scores, labels, labels.astype(str), Threshold(0.8, "tuned", True), resamples=50
    )
    assert len(seen.findings()) == 2 and "so these figures are optimistic" in seen.findings()[1]


def test_report_intervals_are_those_of_the_plain_bootstrap(example_set):
    scores, labels, types = example_set
    flags = scores > 0.85
    report = detection_report(scores, labels, types, 0.85, resamples=200, seed=4)

    def plain(function, *arrays):
        drawn = metrics.bootstrap(function, *arrays, resamples=200, seed=4, stratify=types)
        return pytest.approx(tuple(drawn), abs=1e-12)

    assert tuple(report.auroc) == plain(sklearn.metrics.roc_auc_score, labels, scores)
    assert tuple(report.average_precision) == plain(
        sklearn.metrics.average_precision_score, labels, scores
    )
    assert tuple(report.f1) == plain(metrics.f1_score, flags, labels)
    assert tuple(report.g_mean) == plain(detection.g_mean, flags, labels)


def test_all_intervals_of_a_report_have_the_confidence_asked_for(example_set):
    narrow, wide = (
        detection_report(*example_set, 0.85, resamples=200, confidence=confidence)
        for confidence in (0.5, 0.95)
    )
    for name in ("auroc", "average_precision", "accuracy", "f1", "g_mean"):
        inner, outer = getattr(narrow, name), getattr(wide, name)
        assert outer.low < inner.low < inner.high < outer.high, name
    assert narrow.recall["hole"].low > wide.recall["hole"].low


def test_shares_of_a_report_have_exact_intervals(example_set):
    scores, labels, types = example_set
    flags = scores > 0.85
    report = detection_report(scores, labels, types, 0.85, resamples=50)
    # Clopper and Pearson's ends are quantiles of beta distributions.
    for estimate, right in [
        (report.accuracy, flags == labels),
        (report.recall["crack"], flags[types == "crack"]),
        (report.recall["hole"], flags[types == "hole"]),
    ]:
        hits, total = int(right.sum()), len(right)
        assert tuple(estimate) == pytest.approx(
            (
                hits / total,
                beta.ppf(0.025, hits, total - hits + 1),
                beta.ppf(0.975, hits + 1, total - hits),
            )
        )


def test_nothing_perfect_is_certain():
    types = ["good"] * 6 + ["cut"] * 4 + ["hole"] * 4
    report = detection_report(np.arange(14), np.repeat([0, 1], [6, 8]), types, 5.5)
    assert str(report.auroc) == "1.000 [0.541, 1.000; exact bound]"
    assert str(report.recall["cut"]) == "1.000 [0.398, 1.000; too few images]"
    assert str(report.accuracy) == "1.000 [0.768, 1.000]"
    for estimate in (report.average_precision, report.f1, report.g_mean):
        assert str(estimate) == "1.000 [n/a]"
    few = detection_report(np.arange(8), np.repeat([0, 1], [4, 4]), ["good"] * 4 + ["cut"] * 4, 3.5)
    assert str(few.auroc) == "1.000 [0.398, 1.000; too few images]"
    assert few.auroc.as_dict() == {"value": 1.0, "low": pytest.approx(0.3976, abs=1e-4), "high": 1}
    assert str(few.f1) == "1.000 [n/a; too few images]"
    assert str(few.accuracy) == "1.000 [0.631, 1.000; too few images]"


def test_every_image_auroc_has_one_interval(example_set):
    scores, labels, types = example_set
    report = detection_report(scores, labels, types, 0.85, seed=4)
    assert metrics.auroc_estimate(scores, labels, types, seed=4) == report.auroc
    assert metrics.auroc_estimate([scores, scores], labels, types, seed=4) == report.auroc
    # Types of one image are joined: the interval is not that of images which never move.
    alone = [kind if kind == "good" else f"{kind} {index}" for index, kind in enumerate(types)]
    spread = metrics.auroc_estimate(scores, labels, alone, seed=4)
    assert spread.high - spread.low > 0.8 * (report.auroc.high - report.auroc.low)


def test_a_difference_of_aurocs_is_that_of_images_drawn_together(example_set):
    scores, labels, types = example_set
    other = np.random.default_rng(5).normal(size=len(scores)) + labels

    def difference(first, second, labels):
        return image_auroc(first, labels) - image_auroc(second, labels)

    drawn = metrics.bootstrap(
        difference, scores, other, labels, resamples=200, seed=4, confidence=0.8, stratify=types
    )
    found = metrics.auroc_difference(
        scores, other, labels, types, resamples=200, confidence=0.8, seed=4
    )
    assert tuple(found) == pytest.approx(tuple(drawn), abs=1e-12)
    turned = metrics.auroc_difference(
        other, scores, labels, types, resamples=200, confidence=0.8, seed=4
    )
    assert tuple(turned) == pytest.approx((-found.value, -found.high, -found.low), abs=1e-12)
    # Without types images are drawn within their label.
    assert metrics.auroc_difference(scores, other, labels) == metrics.auroc_difference(
        scores, other, labels, labels.astype(str)
    )
    assert str(metrics.auroc_difference(scores, 2 * scores, labels)) == "0.000 [n/a]"


def test_a_difference_that_no_resample_moves_has_a_bound():
    labels = np.repeat([0, 1], [6, 8])
    perfect, useless = np.arange(14), np.zeros(14)
    # An AUROC of 1 less one of 0.5. Halved and moved the difference is 0.75, and from six pairs
    # without a common image its bound is that of a mean.
    bound = metrics.bounded_mean(0.75, 6)
    found = metrics.auroc_difference(perfect, useless, labels)
    assert tuple(found) == pytest.approx((0.5, 2 * bound.low - 1, 2 * bound.high - 1))
    assert found.note == "exact bound"
    found = metrics.auroc_difference(perfect, -perfect, labels, confidence=0.8)
    assert found.low == pytest.approx(2 * 0.1 ** (1 / 6) - 1)
    # Four good images are too few for a bootstrap, though its resamples would differ.
    mixed = np.array([0, 3, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7.0])
    few = metrics.auroc_difference(mixed, -mixed, np.repeat([0, 1], [4, 8]))
    bound = metrics.bounded_mean((1 + few.value) / 2, 4)
    assert tuple(few) == pytest.approx((few.value, 2 * bound.low - 1, 2 * bound.high - 1))
    assert few.note == "too few images"
    same = metrics.auroc_difference(mixed, mixed, np.repeat([0, 1], [4, 8]))
    assert str(same) == "0.000 [n/a; too few images]"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"resamples": 1}, "resamples"),
        ({"confidence": 1}, "confidence"),
        ({"labels": [0, 0, 0, 0]}, "no anomalous"),
        ({"types": ["good"]}, "types"),
        ({"second": [1, 2, 3]}, "4"),
    ],
)
def test_a_difference_of_aurocs_refuses_bad_input(change, message):
    arguments = {"first": [1, 2, 3, 4], "second": [4, 3, 2, 1], "labels": [0, 0, 1, 1]}
    with pytest.raises(ValueError, match=message):
        metrics.auroc_difference(**arguments | change)


def test_intervals_of_figures_are_of_95_percent_and_1000_resamples(example_set):
    scores, labels, types = example_set
    said = {"resamples": 1000, "confidence": 0.95, "seed": 0}
    assert metrics.auroc_estimate(scores, labels) == metrics.auroc_estimate(scores, labels, **said)
    assert detection_report(scores, labels, types, 0.8) == detection_report(
        scores, labels, types, 0.8, **said
    )
    pair = (scores, -scores, labels)
    assert metrics.auroc_difference(*pair) == metrics.auroc_difference(*pair, **said)


def coverage(true, good, bad, cases, random):
    """How often the interval holds the true AUROC of two normal distributions."""
    found = []
    labels = np.repeat([0, 1], [good, bad])
    for _ in range(cases):
        scores = random.normal(size=good + bad) + labels * np.sqrt(2) * norm.ppf(true)
        found.append(metrics.auroc_estimate(scores, labels, resamples=200))
    held = np.mean([one.low <= true <= one.high for one in found])
    perfect = [one for one in found if one.value == 1]
    return held, [one.low <= true for one in perfect]


@pytest.mark.parametrize("good, bad", [(6, 8), (12, 10), (4, 20)])
@pytest.mark.parametrize("true", [0.9, 0.95, 0.99])
def test_the_interval_of_an_auroc_holds_the_true_one(true, good, bad):
    held, perfect = coverage(true, good, bad, 300, np.random.default_rng(14))
    # Where all pairs are right, the bound is exact and holds the true AUROC nearly always.
    assert held >= 0.91 and np.mean(perfect) >= 0.975


def test_auroc_interval_has_the_width_that_delong_gives(example_set):
    scores, labels, types = example_set
    wins = scores[labels == 1][:, None] - scores[labels == 0]
    wins = (wins > 0) + (wins == 0) / 2
    deviation = np.sqrt(
        wins.mean(axis=1).var(ddof=1) / len(wins) + wins.mean(axis=0).var(ddof=1) / wins.shape[1]
    )
    interval = detection_report(scores, labels, types, 0.8, resamples=4000).auroc
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * deviation, rel=0.12)


def test_report_table_has_a_row_for_each_figure(example_set):
    table = detection_report(*example_set, 0.8, resamples=50).table()
    assert table.index.tolist() == [
        "image AUROC",
        "average precision",
        "accuracy",
        "F1",
        "G-mean",
        "recall: crack",
        "recall: hole",
    ]
    assert table["images"].tolist() == [120] * 5 + [60, 19]
    assert (table.low <= table.value).all() and (table.value <= table.high).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"scores": [1, 1, 1, 1]}, "every image the same score"),
        ({"scores": [1, 2, np.nan, 4]}, "index 2"),
        ({"labels": [1, 1, 1, 1]}, "no good image"),
        ({"labels": [0, 0, 0, 0]}, "no anomalous image"),
        ({"labels": [0, 0, 1]}, "each of the 4 images"),
        ({"types": ["good"] * 4}, "good holds good and anomalous"),
        ({"types": ["good"]}, "types"),
        ({"resamples": 0}, "resamples"),
        ({"threshold": np.nan}, "finite"),
    ],
)
def test_report_refuses_bad_input(change, message):
    arguments = {
        "scores": [1, 2, 3, 4],
        "labels": [0, 0, 1, 1],
        "types": ["good", "good", "a", "b"],
        "threshold": 2.5,
    }
    with pytest.raises(ValueError, match=message):
        detection_report(**arguments | change)
