"""The semi-supervised split: counts against the equations, disjoint sets, helpful errors."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adhelpers.data import LabelledSamples, check_split, semi_supervised
from adhelpers.data.semi_supervised import SplitCounts, split_counts


def labelled(counts, test_each=5, shape=(4, 4, 1), good=None):
    """``counts`` samples of each class to train with, and a few to test on, all different."""
    names = good or [str(kind) for kind in range(len(counts))]
    classes = np.concatenate([np.repeat(names, counts), np.repeat(names, test_each)])
    samples = (
        np.arange(len(classes), dtype=np.float32).reshape(-1, *[1] * len(shape))
        / len(classes)
        * np.ones(shape, np.float32)
    )
    is_test = np.arange(len(classes)) >= sum(counts)
    return LabelledSamples(
        "numbers",
        samples,
        classes,
        np.array([f"sample/{index}" for index in range(len(classes))]),
        is_test,
        None,
        "abc",
    )


def numbers(images):
    return {name.split("/")[1] for name in images.names}


def test_the_published_counts():
    assert split_counts(5923, 0.0, 0.01, 0.1) == SplitCounts(
        unlabelled_normal=5923, unlabelled_outlier=658, known_normal=0, known_outlier=66
    )


@given(
    normal=st.integers(1, 10000),
    known_normal=st.integers(0, 60),
    known_outlier=st.integers(0, 35),
    pollution=st.integers(0, 90),
)
def test_the_counts_solve_the_four_equations(normal, known_normal, known_outlier, pollution):
    a, b, p = known_normal / 100, known_outlier / 100, pollution / 100
    # Rows: all normal samples are used; shares of known normal and known outliers in all; share of
    # outliers in the unlabelled.
    system = [[1, 1, 0, 0], [1 - a, -a, -a, -a], [-b, -b, -b, 1 - b], [0, -p, 1 - p, 0]]
    solved = np.linalg.solve(np.array(system, float), [normal, 0, 0, 0])
    found = split_counts(normal, a, b, p)
    for value, count in zip(
        solved,
        (
            found.known_normal,
            found.unlabelled_normal,
            found.unlabelled_outlier,
            found.known_outlier,
        ),
        strict=True,
    ):
        assert count == pytest.approx(np.floor(value + 1e-6), abs=1e-9)


@pytest.mark.parametrize(
    "ratios, message",
    [
        ((1, 0, 0), "ratio_known_normal must be from 0 to below 1, not 1"),
        ((0, -0.1, 0), "ratio_known_outlier"),
        ((0, 0, 1.5), "ratio_pollution"),
        ((0.6, 0.5, 0), "their sum must stay below 1"),
    ],
)
def test_ratios_that_contradict_are_refused(ratios, message):
    with pytest.raises(ValueError, match=message):
        split_counts(100, *ratios)


def test_labelled_unlabelled_validation_and_test_samples_are_different_ones():
    source = labelled([100, 40, 40])
    category = semi_supervised(
        source,
        "0",
        "1",
        ratio_known_normal=0.1,
        ratio_known_outlier=0.1,
        ratio_pollution=0.2,
        validation_fraction=0.2,
        seed=3,
    )
    counts, known, train = category.counts, category.known, category.train
    assert (
        counts == split_counts(80, 0.1, 0.1, 0.2)
        and len(category.validation) == 20
        and len(category.test) == 15
    )
    assert (
        len(numbers(train))
        == len(train)
        == sum(
            (
                counts.unlabelled_normal,
                counts.unlabelled_outlier,
                counts.known_normal,
                counts.known_outlier,
            )
        )
    )
    assert not numbers(train) & numbers(category.validation) and not numbers(train) & numbers(
        category.test
    )
    for told, truth, count in (
        (0, 0, counts.unlabelled_normal),
        (0, 1, counts.unlabelled_outlier),
        (1, 0, counts.known_normal),
        (-1, 1, counts.known_outlier),
    ):
        assert ((known == told) & (train.labels == truth)).sum() == count > 0
    assert set(train.types[known == -1]) == {"1"} and set(
        train.types[(known == 0) & (train.labels == 1)]
    ) == {"1", "2"}
    assert set(category.validation.types) == {"good"} and (category.validation.labels == 0).all()
    assert (category.test.labels == (category.test.types != "good")).all()
    # What is told is not what is true: unlabelled outliers are told as 0.
    assert set(known) == {-1, 0, 1}


def test_the_inventory_tells_what_the_detector_is_told():
    table = semi_supervised(
        labelled([100, 40, 40]), "0", "1", ratio_known_outlier=0.1, ratio_pollution=0.2
    ).inventory()
    assert table["samples"].tolist() == [90, 22, 0, 12, 10, 5, 10]
    assert table["classes"].tolist() == ["good", "1, 2", "–", "1", "good", "good", "1, 2"]
    assert table["the detector is told"].tolist() == [
        "nothing",
        "nothing",
        "normal",
        "anomalous",
        "normal",
        "nothing",
        "nothing",
    ]


def test_the_same_seed_draws_the_same_and_another_does_not():
    source = labelled([60, 40, 40, 40])
    first, again, other = (
        semi_supervised(source, "0", ratio_known_outlier=0.1, seed=seed) for seed in (0, 0, 1)
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint and numbers(
        first.train
    ) == numbers(again.train) != numbers(other.train)
    # Runs of other seeds are compared, those of other normal classes are not.
    assert first.files == other.files and sorted(first.files) == ["test", "train"]
    assert semi_supervised(source, "1", seed=0).files != first.files
    drawn = {
        semi_supervised(source, "0", ratio_known_outlier=0.1, seed=seed).settings[
            "known_outlier_class"
        ]
        for seed in range(12)
    }
    assert drawn == {"1", "2", "3"}
    assert (
        semi_supervised(source, "0", ratio_known_outlier=0.05, seed=0).fingerprint
        != first.fingerprint
    )


def test_normal_and_known_classes_can_be_several():
    category = semi_supervised(
        labelled([60, 40, 40, 40]), "0, 2", "1,3", ratio_known_outlier=0.2, validation_fraction=0
    )
    assert category.counts.unlabelled_normal == 100 and len(category.validation) == 0
    assert set(category.train.types[category.known == -1]) == {"1", "3"} and set(
        category.test.types
    ) == {"good", "1", "3"}
    two = semi_supervised(
        labelled([60, 40, 40, 40]), "0", n_known_outlier_classes=2, ratio_known_outlier=0.2
    )
    assert len(two.settings["known_outlier_class"].split(", ")) == 2
    assert (
        semi_supervised(labelled([30, 20], good=["bad", "good"])).settings["normal_class"] == "good"
    )


def test_vectors_are_brought_to_the_training_samples_scale():
    source = labelled([50, 30], shape=(3,))
    source.samples[:, 1] = 4
    category = semi_supervised(source, "0", validation_fraction=0)
    np.testing.assert_allclose(category.train.images[:, 0].mean(), 0, atol=1e-5)
    np.testing.assert_allclose(category.train.images[:, 0].std(), 1, rtol=1e-5)
    assert (category.test.images[:, 1] == 0).all() and category.test.images[-1, 0] > 1


def test_too_few_samples_are_refused_with_the_ratio_that_works():
    source = labelled([100, 10, 30])
    with pytest.raises(
        ValueError,
        match="asks for 22 known outliers beside 90 normal samples, but class 1 has 10 to train "
        "with: at most 0.108 works",
    ) as caught:
        semi_supervised(source, "0", "1", ratio_known_outlier=0.2)
    assert "more known classes" in str(caught.value)
    semi_supervised(source, "0", "1", ratio_known_outlier=0.108)
    with pytest.raises(ValueError, match="asks for 11"):
        semi_supervised(source, "0", "1", ratio_known_outlier=0.109)
    with pytest.raises(
        ValueError,
        match="ratio_pollution 0.5 asks for 90 unlabelled outliers beside 5 known ones.*"
        "40 outliers in all.*at most 0.296 works",
    ):
        semi_supervised(source, "0", "1", ratio_known_outlier=0.03, ratio_pollution=0.5)
    semi_supervised(source, "0", "1", ratio_known_outlier=0.03, ratio_pollution=0.296)
    with pytest.raises(ValueError, match="ratio_pollution"):
        semi_supervised(source, "0", "1", ratio_known_outlier=0.03, ratio_pollution=0.297)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"normal_class": "7"}, "normal_class: there is no class '7'; the classes are 0, 1"),
        ({"known_outlier_class": "0"}, "known_outlier_class: there is no class '0'"),
        ({"n_known_outlier_classes": 5}, "n_known_outlier_classes must be from 0 to 1"),
        ({"validation_fraction": 1}, "validation_fraction must be from 0 to below 1"),
        ({"normal_class": "0,1"}, "no other class"),
        ({"n_known_outlier_classes": 0, "ratio_known_outlier": 0.1}, r"class \(none\) has 0"),
    ],
)
def test_wrong_choices_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        semi_supervised(labelled([30, 20]), **{"normal_class": "0", **arguments})


def table(column, classes="ab" * 10):
    """A table of one column, whose first 12 rows can be trained with."""
    classes = np.array(list(classes))
    names = np.array([f"row/{index}" for index in range(20)])
    samples = np.asarray(column, np.float64)[:, None]
    is_test = np.arange(20) >= 12
    return LabelledSamples("t", samples, classes, names, is_test, None, "abc", (), ("width",))


def test_a_test_value_too_far_from_training_to_compute_with_is_named():
    column = np.arange(20.0)
    column[17] = 1e20
    with pytest.raises(ValueError, match=r"column 'width' holds 1e\+20 in row/17: 2\.\de\+19 stan"):
        semi_supervised(table(column), "a", validation_fraction=0)
    column[17] = -1e14
    category = semi_supervised(table(column), "a", validation_fraction=0)
    assert np.isfinite(category.test.images).all() and category.remarks == ()


def test_a_column_that_one_value_makes_constant_is_named():
    column = 1 + np.arange(20) / 100
    column[4] = 1e30
    (remark,) = semi_supervised(table(column), "a", validation_fraction=0).remarks
    assert remark.kind == "table_precision" and remark.files == ("width",)


def test_a_column_that_is_constant_in_training_is_not_divided_by_what_rounding_leaves():
    column = np.full(20, 0.1)
    column[15] = 0.6
    source = table(np.arange(20))
    two = np.column_stack([source.samples, column])
    source = replace(source, samples=two, columns=("width", "height"))
    category = semi_supervised(source, "a", validation_fraction=0)
    assert np.abs(category.train.images[:, 1]).max() < 1e-12
    assert category.test.images[:, 1].max() == pytest.approx(0.5)


def test_a_ratio_of_less_than_one_sample_is_named():
    category = semi_supervised(labelled([10, 10]), "0", ratio_known_outlier=0.05)
    assert category.counts.known_outlier == 0
    (remark,) = category.remarks
    assert remark.kind == "ratio_without_samples"
    assert remark.sentence.startswith("ratio_known_outlier 0.05 of 9 training samples is less")
    assert semi_supervised(labelled([20, 10]), "0", ratio_known_outlier=0.06).remarks == ()


def test_training_samples_that_are_all_the_same_are_refused():
    with pytest.raises(ValueError, match="all 12 training samples are the same"):
        semi_supervised(table([1.0] * 19 + [2.0], "a" * 12 + "ab" * 4), "a", validation_fraction=0)


def test_what_is_possible_is_known_without_making_the_sets():
    source, given = labelled([20, 2]), {"normal_class": "0", "ratio_known_outlier": 0.2}
    with pytest.raises(ValueError) as made:
        semi_supervised(source, **given)
    with pytest.raises(ValueError) as checked:
        check_split(source, **given)
    assert str(made.value) == str(checked.value) and "asks for 4" in str(made.value)
    check_split(source, normal_class="0", ratio_known_outlier=0.1)
