import json

import pytest

from adhelpers.detectors import parsed_record, read_record, record_text, update_record


@pytest.fixture
def stored(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    return tmp_path


def test_parts_are_added_and_the_others_stay(stored):
    assert read_record(stored) is None
    update_record(stored, category="screw", reading={"image_size": [8, 8]})
    before = (stored / "record.json").stat().st_mtime_ns
    update_record(stored, reading={"image_size": (8, 8)})
    assert (stored / "record.json").stat().st_mtime_ns == before, "equal parts are written again"
    update_record(stored, scores=[0.5])
    assert read_record(stored) == {
        "category": "screw",
        "reading": {"image_size": [8, 8]},
        "scores": [0.5],
    }


def test_nothing_is_written_where_no_model_is_stored(tmp_path):
    update_record(tmp_path, category="screw")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no JSON", "holds no record"),
        ("[1]", "another version"),
        (json.dumps({"format": 99}), "another version of adhelpers wrote: run the notebook"),
        (record_text({"threshold": 0.5}).replace("0.5", "0.4"), "was changed by hand"),
    ],
)
def test_a_record_that_is_none_is_refused_and_then_written_anew(text, message, stored):
    with pytest.raises(ValueError, match=f"part.onnx holds .*{message}|{message}"):
        parsed_record(text, "part.onnx")
    (stored / "record.json").write_text(text)
    with pytest.raises(ValueError, match=r"record\.json holds"):
        read_record(stored)
    update_record(stored, category="screw")
    assert read_record(stored) == {"category": "screw"}
