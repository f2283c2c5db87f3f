"""The example of notebook 08: the file and the maps are of one detector."""

import numpy as np

from adhelpers.detectors import OnnxDetector, read_maps
from adhelpers.steps.given_example import write_example


def test_the_file_and_the_maps_say_the_same(hazelnuts, tmp_path):
    file, maps = write_example(hazelnuts, tmp_path)
    detector = OnnxDetector(file)
    stored = read_maps(maps, hazelnuts.test, reference=hazelnuts.validation)
    test = hazelnuts.test.images
    np.testing.assert_allclose(stored.scores, detector.score(test), rtol=2e-3)
    np.testing.assert_allclose(stored.maps, detector.anomaly_map(test), atol=2e-3)
    assert len(stored.reference_scores) == len(hazelnuts.validation)
