import numpy as np
import onnxruntime
import pytest

from adhelpers.detectors import Subspace
from adhelpers.steps import export_detector


def test_a_stored_detector_is_exported(tmp_path):
    good = np.random.default_rng(0).uniform(size=(10, 16, 16, 1)).astype("float32")
    detector = Subspace(2).fit(good[:7], good[7:])
    detector.save(tmp_path / "stored")
    exported = export_detector(tmp_path / "stored", tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    scores = session.run(["score"], {"image": good})[0]
    np.testing.assert_allclose(scores, detector.score(good), rtol=1e-4)


def test_what_is_no_stored_detector_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        export_detector(tmp_path / "nothing", tmp_path / "a.onnx")
    with pytest.raises(FileNotFoundError, match="holds no manifest.json"):
        export_detector(tmp_path, tmp_path / "a.onnx")
