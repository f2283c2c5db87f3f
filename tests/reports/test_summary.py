"""``samples.csv`` and ``summary.json``: what is written, what is refused, nothing half-written."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from adhelpers.metrics import Estimate
from adhelpers.reports.summary import SUMMARY_KEYS, versions, write_samples, write_summary


def test_samples(tmp_path):
    frame = pd.DataFrame({"name": ["a,b.png", "ü.png"], "score": [0.25, np.nan]}, index=[4, 5])
    path = write_samples(tmp_path / "deep" / "samples.csv", frame)
    assert path.read_text(encoding="utf-8") == 'name,score\n"a,b.png",0.25\nü.png,\n'
    pd.testing.assert_frame_equal(pd.read_csv(path), frame.reset_index(drop=True))


def test_an_interrupted_write_keeps_the_old_samples(tmp_path, monkeypatch):
    def broken(self, path, **_):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    write_samples(tmp_path / "samples.csv", pd.DataFrame({"a": [1]}))
    monkeypatch.setattr(pd.DataFrame, "to_csv", broken)
    with pytest.raises(OSError):
        write_samples(tmp_path / "samples.csv", pd.DataFrame({"a": [2]}))
    assert (tmp_path / "samples.csv").read_text() == "a\n1\n" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+a.png", "-b.png", "@SUM(A1)", "\t=1+1", "\r=1", "\x00=1", "-0.5 [-1, 0]", "＝1+1"],
)
def test_a_text_that_a_spreadsheet_would_compute_has_an_apostrophe_in_front(tmp_path, text):
    kinds = pd.Categorical([text, "good"])
    frame = pd.DataFrame({"name": [text, "good"], "kind": kinds, text: [-0.5, 2.0]})
    before = frame.copy()
    found = pd.read_csv(write_samples(tmp_path / "samples.csv", frame), lineterminator="\n")
    assert found["name"].tolist() == found["kind"].tolist() == [f"'{text}", "good"]
    assert found.columns[2] == f"'{text}" and found.iloc[:, 2].tolist() == [-0.5, 2.0]
    pd.testing.assert_frame_equal(frame, before)


def test_numbers_stay_numbers(tmp_path):
    frame = pd.DataFrame({"small": np.array([-0.1, 7], np.float32), "text": ["-0.5", "+1e-5"]})
    frame["flag"], frame["mixed"] = [True, False], [-3, "=3"]
    text = write_samples(tmp_path / "samples.csv", frame).read_text()
    assert text == "small,text,flag,mixed\n-0.1,-0.5,True,-3\n7.0,+1e-5,False,'=3\n"


def summary(**parts):
    return dict.fromkeys(SUMMARY_KEYS) | parts


def test_a_summary_turns_estimates_and_arrays_into_json(tmp_path):
    written = write_summary(
        tmp_path / "s.json",
        summary(
            image_auroc=Estimate(0.9, 0.8, float("inf")),
            jaccard={"LIME": np.array([0.5, np.nan])},
            verdicts=pd.Series({"missed": 2}),
            trust_adjusted_recall=np.float64("nan"),
            parameters={"root": tmp_path, "flag": np.bool_(True)},
        ),
    )
    assert written == json.loads((tmp_path / "s.json").read_text(), parse_constant=pytest.fail)
    assert written["image_auroc"] == {"value": 0.9, "low": 0.8, "high": None}
    assert written["jaccard"] == {"LIME": [0.5, None]} and written["verdicts"] == {"missed": 2}
    assert written["trust_adjusted_recall"] is None and written["parameters"] == {
        "root": str(tmp_path),
        "flag": True,
    }


def test_a_summary_needs_exactly_its_keys(tmp_path):
    short = summary(extra=1)
    del short["aupro"]
    with pytest.raises(ValueError, match=r"missing keys \['aupro'\], unknown keys \['extra'\]"):
        write_summary(tmp_path / "s.json", short)
    with pytest.raises(
        ValueError, match="threshold must be None or hold exactly value, rule, uses_test_labels"
    ):
        write_summary(tmp_path / "s.json", summary(threshold=0.5))
    assert not (tmp_path / "s.json").exists()


def test_versions_come_without_imports():
    found = versions()
    assert found["numpy"] == np.__version__ and found["python"] == sys.version.split()[0]
    assert set(found) == {
        "python",
        "adhelpers",
        "tensorflow",
        "keras",
        "numpy",
        "scikit-image",
        "scikit-learn",
        "lime",
        "shap",
    }
