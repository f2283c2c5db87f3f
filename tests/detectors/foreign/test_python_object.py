import sys

import numpy as np
import pytest
from sklearn.neighbors import LocalOutlierFactor

from adhelpers.detectors import Subspace, import_object, wrap_detector, wrap_functions


class Both:
    title = "both of them"

    def score(self, images):
        return images.max(axis=(1, 2, 3))

    def anomaly_map(self, images):
        return images.max(axis=-1)


def test_an_object_with_score_and_map(images):
    detector = wrap_detector(Both())
    assert detector.title == "both of them" and detector.has_map
    assert np.allclose(detector.score(images), images.max(axis=(1, 2, 3)))
    assert wrap_detector(detector) is detector
    assert wrap_detector(Both(), title="other").title == "other"


def test_a_detector_of_the_suite_keeps_its_score_and_counterpart():
    good = np.random.default_rng(0).uniform(size=(12, 32, 32, 1)).astype(np.float32)
    own = Subspace(n_components=3).fit(good[:8], good[8:])
    detector = wrap_detector(own)
    assert np.allclose(detector.score(good), own.score(good), rtol=1e-5)
    assert np.allclose(detector.counterpart(good), own.counterpart(good), atol=1e-6)
    assert detector.counterpart_name == own.counterpart_name
    larger = np.repeat(np.repeat(good, 2, axis=1), 2, axis=2)
    assert detector.anomaly_map(larger).shape == (12, 64, 64)


def test_a_function_is_what_it_returns(images):
    detector = wrap_detector(lambda given: (given.max(axis=(1, 2, 3)), given.mean(axis=-1)))
    assert np.allclose(detector.score(images), images.max(axis=(1, 2, 3))) and detector.has_map


def test_what_is_no_detector_is_refused():
    with pytest.raises(ValueError, match="int is no detector that is known: expected an object"):
        wrap_detector(3)
    with pytest.raises(ValueError, match="Both is a class: give an object of it"):
        wrap_detector(Both)
    rows = np.zeros((20, 4))
    with pytest.raises(ValueError, match="novelty=True"):
        wrap_detector(LocalOutlierFactor().fit(rows))
    with pytest.raises(ValueError, match="needs a function score"):
        wrap_functions()


def test_an_object_is_imported_by_its_name(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_for_test.py").write_text("class A:\n    inner = 5\n")
    (tmp_path / "broken_for_test.py").write_text("raise RuntimeError('not today')\n")
    assert import_object("mine_for_test:A.inner") == 5
    for name, message in (
        ("mine_for_test", "must have the form package.module:object"),
        (":object", "must have the form"),
        ("mine_for_test:B", "mine_for_test has no B: B is not there"),
        ("mine_for_test:A.other", "has no A.other: other is not there"),
        ("nowhere_for_test:A", "nowhere_for_test cannot be imported"),
        ("broken_for_test:A", r"cannot be imported \(not today\)"),
    ):
        with pytest.raises(ValueError, match=message):
            import_object(name)
    del sys.modules["mine_for_test"]
