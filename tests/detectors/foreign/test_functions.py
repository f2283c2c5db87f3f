import numpy as np
import pytest

from adhelpers.detectors import wrap_functions


def test_only_the_function_that_is_needed_is_called(images):
    calls = []

    def score(given):
        calls.append("score")
        return given.max(axis=(1, 2, 3))

    def anomaly_map(given):
        calls.append("map")
        return given.max(axis=-1)

    detector = wrap_functions(score, anomaly_map, examples=images)
    calls.clear()
    assert np.allclose(detector.score(images), images.max(axis=(1, 2, 3)))
    assert calls == ["score"]
    detector.anomaly_map(images)
    assert calls == ["score", "map"]


def test_a_score_or_a_map_alone_is_enough(images):
    only = wrap_functions(score=lambda given: given.mean(axis=(1, 2, 3))[:, None])
    assert not only.has_map and only.score(images).shape == (4,)
    only = wrap_functions(anomaly_map=lambda given: given[:, ::2, ::2].mean(axis=-1))
    assert only.anomaly_map(images).shape == (4, 16, 16)


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ({}, "your detector needs a function score, anomaly_map or both"),
        ({"score": 3}, "score must be a function, not a int"),
        (
            {"score": lambda given: given[..., 0]},
            "must return one number for each image from its function score",
        ),
        ({"anomaly_map": lambda given: given.mean(axis=(1, 2, 3))}, "not a map: it is a score"),
        ({"score": lambda given: "high"}, "returns a str|another shape or type"),
        ({"score": lambda given: None}, "returns a NoneType, which is no array"),
    ],
)
def test_functions_that_return_something_else_are_refused(functions, message):
    with pytest.raises(ValueError, match=message):
        wrap_functions(**functions)
