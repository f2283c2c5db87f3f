import numpy as np
import pytest

from adhelpers.detectors import read_record
from adhelpers.steps import assess_detector
from adhelpers.steps.reference import photograph_size, typical_distance


def test_an_assessed_detector_keeps_its_threshold_and_what_good_images_are_like(hazelnuts, stored):
    record = read_record(stored.detector.folder)
    assert record["threshold"] == stored.threshold.as_dict()
    np.testing.assert_allclose(record["scores"], stored.good_scores, rtol=1e-6)
    # With so few validation images the training images are scored as well, held out.
    assert len(stored.held_out_scores) == len(hazelnuts.train)
    # The score has chosen the subspace, so that it cannot be another.
    assert record["scoring"] == {}
    statistics = record["statistics"]
    good = len(hazelnuts.train) + len(hazelnuts.validation)
    assert [len(statistics[name]) for name in ("light", "sharpness", "size")] == [good] * 3
    # Training images are known by heart: their distances would make every new image strange.
    assert len(statistics["distance"]) == len(hazelnuts.validation)
    assert statistics["light"][0] == pytest.approx(hazelnuts.train.images[0].mean(), rel=1e-5)
    assert set(statistics["size"]) == {64.0}


def test_another_rule_takes_the_place_of_the_first(hazelnuts, stored):
    other = assess_detector("subspace", stored.detector, hazelnuts, rule="gmean")
    assert read_record(stored.detector.folder)["threshold"]["uses_test_labels"]
    assess_detector("subspace", stored.detector, hazelnuts)
    assert read_record(stored.detector.folder)["threshold"] != other.threshold.as_dict()


def test_a_detector_that_is_not_stored_keeps_nothing(hazelnuts, detector, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assess_detector("subspace", detector, hazelnuts)
    assert not list(tmp_path.iterdir())


def test_a_defect_changes_no_typical_distance():
    anomaly_map = np.full((10, 10), 0.2)
    anomaly_map[:4, :4] = 9
    assert typical_distance(anomaly_map) == pytest.approx(0.2)
    assert photograph_size((30, 120, 3)) == 60
