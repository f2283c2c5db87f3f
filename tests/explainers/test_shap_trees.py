"""shap's functions on trees without compiling: equal to shap's own, which are compiled."""

import contextlib
import sys

import numpy as np
import pytest
import shap
from hypothesis import given, settings
from hypothesis import strategies as st
from shap.explainers._partition import lower_credit as compiled_lower_credit
from shap.utils import make_masks as compiled_make_masks

from adhelpers.explainers import explain_with_shap
from adhelpers.explainers.shap_trees import lower_credit, make_masks, partition_tree, uncompiled

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])).filter(
    lambda shape: np.prod(shape) > 1
)


@given(SHAPES, st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_equal_to_shap(shape, seed):
    tree = partition_tree(shape)
    np.testing.assert_array_equal(tree, shap.maskers.Image(np.zeros(shape)).clustering)
    masks, expected = make_masks(tree), compiled_make_masks(tree)
    np.testing.assert_array_equal(masks.toarray(), expected.toarray())
    np.testing.assert_array_equal(masks.indices, expected.indices)
    count = len(tree) + 1
    values = np.random.default_rng(seed).normal(size=2 * count - 1)
    found, known = values.copy(), values.copy()
    lower_credit(2 * count - 2, 0.5, count, found, tree)
    compiled_lower_credit(2 * count - 2, 0.5, count, known, tree)
    # Not nearly equal: the same bits.
    np.testing.assert_array_equal(found, known)


def test_values_of_several_outputs_are_handed_down_apart():
    tree = partition_tree((3, 2, 1))
    values = np.random.default_rng(0).normal(size=(11, 2))
    together = values.copy()
    lower_credit(10, 0.0, 6, together, tree)
    for column in range(2):
        alone = values[:, column].copy()
        lower_credit(10, 0.0, 6, alone, tree)
        np.testing.assert_array_equal(together[:, column], alone)


@pytest.mark.parametrize("shape", [(6, 5, 1), (4, 4, 3)])
def test_an_explanation_is_the_same_with_shap_as_it_is(shape, monkeypatch):
    draws = np.random.default_rng(0)
    image, counterpart = draws.random((2, *shape), dtype=np.float32)
    weights = draws.random(shape)

    def score(images):
        return np.exp((weights * images).max(axis=(1, 2, 3)))

    ours = explain_with_shap(score, image, counterpart, max_evaluations=50)
    monkeypatch.setattr("adhelpers.explainers.shap.uncompiled", contextlib.nullcontext)
    theirs = explain_with_shap(score, image, counterpart, max_evaluations=50)
    np.testing.assert_array_equal(ours.heatmap, theirs.heatmap)


def test_shap_is_left_as_it_was_and_other_versions_without_a_name_work(monkeypatch):
    partition = sys.modules["shap.explainers._partition"]
    before = partition.lower_credit, partition.make_masks
    with pytest.raises(KeyError), uncompiled():
        assert partition.lower_credit is lower_credit
        raise KeyError
    assert (partition.lower_credit, partition.make_masks) == before
    monkeypatch.delattr(partition, "lower_credit")
    with uncompiled():
        assert not hasattr(partition, "lower_credit")
