from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from adhelpers.detectors.foreign.outputs import (
    Outputs,
    UnfitOutputs,
    as_maps,
    as_scores,
    find_outputs,
    kind_of,
    kinds_of,
    named_outputs,
)

TAKEN = (3, 8, 8)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((2,), "score"),
        ((2, 1), "score"),
        ((2, 1, 1, 1), "score"),
        ((2, 8, 8), "map"),
        ((2, 1, 4, 6), "map"),
        ((2, 4, 6, 1), "map"),
        ((2, 3, 8, 8), "reconstruction"),
        ((2, 3, 4, 4), None),
        ((2, 2), None),
        ((2, 512, 8, 8), None),
        ((1, 8, 8), None),
        ((), None),
    ],
)
def test_the_shape_says_what_an_output_is(shape, kind):
    assert kind_of(np.zeros(shape), 2, TAKEN) == kind


def test_one_image_may_come_without_an_axis_of_the_batch():
    assert kind_of(np.zeros((8, 8)), 1, TAKEN) == "map"
    assert kind_of(np.zeros(()), 1, TAKEN) == "score"
    assert as_maps(np.zeros((8, 8)), 1).shape == (1, 8, 8)
    assert as_scores(np.zeros(()), 1).shape == (1,)


def test_labels_and_masks_are_no_scores_and_maps():
    assert kind_of(np.zeros(2, bool), 2, TAKEN) is None
    assert kind_of(np.zeros((2, 8, 8), np.int64), 2, TAKEN) is None


def test_a_grey_image_like_the_input_is_a_map_unless_it_is_called_otherwise():
    array, taken = np.zeros((2, 1, 8, 8)), (1, 8, 8)
    assert kind_of(array, 2, taken) == "map"
    assert kind_of(array, 2, taken, grey="reconstruction") == "reconstruction"
    assert kinds_of({"recon": array}, 2, taken) == {"recon": "reconstruction"}


def test_known_names_decide_between_several():
    kinds = {"x": "score", "pred_score": "score", "pred_mask": "map", "heat": "map"}
    assert find_outputs(kinds) == Outputs(score="pred_score", map="heat")
    with pytest.raises(UnfitOutputs, match=r"could be the score \(a and b\): choose one"):
        find_outputs({"a": "score", "b": "score"})
    with pytest.raises(UnfitOutputs, match="choose one with map_output"):
        find_outputs({"a": "map", "b": "map"})


def test_names_that_are_asked_for_decide():
    kinds = {"a": "score", "b": "score", "c": "map", "d": None}
    assert find_outputs(kinds, output="b") == Outputs(score="b")
    assert find_outputs(kinds, output="c") == Outputs(map="c")
    assert find_outputs(kinds, output="b", map_output="c") == Outputs(score="b", map="c")
    with pytest.raises(UnfitOutputs, match="has no output 'e'"):
        find_outputs(kinds, output="e")
    with pytest.raises(UnfitOutputs, match="'d' what is not a score .*another shape or type"):
        find_outputs(kinds, output="d")
    with pytest.raises(UnfitOutputs, match="'a' what is not a map: it is a score"):
        find_outputs(kinds, output="b", map_output="a")


def test_nothing_that_fits_is_an_error():
    with pytest.raises(UnfitOutputs, match="has no output that is a score"):
        find_outputs({"logits": None})


def test_only_what_is_needed_is_asked_for():
    both = Outputs(score="s", map="m")
    assert both.needed(True, False).names == ["s"] and both.needed(False, True).names == ["m"]
    assert both.needed(True, True).names == ["s", "m"]
    assert Outputs(map="m").needed(True, False).names == ["m"]
    assert Outputs(reconstruction="r").needed(True, False).names == ["r"]


def test_what_a_function_returns_gets_names():
    array = np.zeros(2)
    assert list(named_outputs({"a": array})) == ["a"]
    assert list(named_outputs((array, array))) == ["output 0", "output 1"]
    assert list(named_outputs(array)) == ["output"]
    pair = namedtuple("pair", "first second")
    assert list(named_outputs(pair(array, array))) == ["first", "second"]
    batch = SimpleNamespace(pred_score=array, anomaly_map=array, gt_mask=array, pred_label=None)
    assert list(named_outputs(batch)) == ["pred_score", "anomaly_map"]
