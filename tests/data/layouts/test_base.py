"""What all layouts have in common: division, and what is wrong with numbers of images."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adhelpers.data.layouts.base import OPEN, TEST, TRAIN, VALIDATION, listing, one_class, too_few
from adhelpers.data.reading import Entry


def entry(name, kind="good", split=OPEN, masks=()):
    return Entry(split, kind, name, Path(name), masks)


def made(*entries, problems=()):
    return listing("x", entries, problems, [], good="more good ones", defective="more defects")


@settings(deadline=None)
@given(st.integers(4, 60), st.integers(1, 9), st.randoms())
def test_good_images_are_divided_by_name_and_defective_ones_tested(good, bad, random):
    entries = [entry(f"{index:03}") for index in range(good)]
    entries += [entry(f"b{index}", "cut") for index in range(bad)]
    expected = made(*entries)
    random.shuffle(entries)
    found = made(*entries)
    assert found == expected and found.problems == []
    tested = [int(one.name) for one in found.of(TEST) if one.type == "good"]
    assert tested == list(range(2, good, 5))
    assert len(found.of(TRAIN)) == good - len(tested) >= 3
    assert sum(one.type == "cut" for one in found.of(TEST)) == bad


def test_defective_images_are_never_trained_on_nor_held_out():
    found = made(
        *(entry(str(index), split=TRAIN) for index in range(3)),
        entry("v", split=VALIDATION),
        entry("bad", "cut", TRAIN),
        entry("worse", "cut", VALIDATION),
        entry("t", split=TEST),
        entry("d", "cut", TEST),
    )
    assert [one.split for one in found.entries] == [TRAIN] * 3 + [VALIDATION] + [TEST] * 2
    assert [(one.kind, one.files) for one in found.remarks] == [
        ("training_defects", ("bad", "worse"))
    ]


def test_a_defect_without_a_mask_is_named_where_others_have_one():
    good = [entry(str(index)) for index in range(4)]
    assert made(*good, entry("a", "cut"), entry("b", "cut")).remarks == []
    (remark,) = made(*good, entry("a", "cut", masks=(Path("m"),)), entry("b", "cut")).remarks
    assert (remark.kind, remark.files) == ("mask_missing", ("b",))


@pytest.mark.parametrize(
    "splits, text",
    [
        ([TRAIN, TRAIN, TEST], "good images to train on: 2; at least three are needed"),
        ([TRAIN, VALIDATION, VALIDATION, TEST], "good images to train on: 3; at least three"),
        ([TRAIN] * 3, "there are no images to test on"),
    ],
)
def test_too_few_images(splits, text):
    (problem,) = too_few([entry(str(index), split=one) for index, one in enumerate(splits)])
    assert problem.startswith(text)


def test_two_to_train_on_and_one_that_is_held_out_are_enough():
    splits = (TRAIN, TRAIN, VALIDATION, TEST)
    assert too_few([entry(str(index), split=one) for index, one in enumerate(splits)]) == []


def test_one_class_alone_in_the_test():
    good, bad = entry("g", split=TEST), entry("b", "cut", TEST)
    assert one_class([good, bad], "", "") == one_class([], "", "") == []
    assert one_class([bad], "add good", "")[0].endswith("without both classes; add good")
    assert one_class([good], "", "add bad", "exam")[0].startswith("exam holds no anomalous images")
