import numpy as np
import pytest

from adhelpers._shared.progress import progress


@pytest.fixture
def status(tmp_path, monkeypatch):
    path = tmp_path / "status.txt"
    monkeypatch.setenv("ADHELPERS_STATUS_FILE", str(path))
    return path


def test_batch_runs_write_one_status_line_and_no_bar(status, capfd):
    assert list(progress([1, 2, 3], "LIME")) == [1, 2, 3]
    assert status.read_text() == "LIME 3/3"
    assert capfd.readouterr().err == ""


def test_arrays_are_counted_too(status):
    assert [int(item) for item in progress(np.arange(3), "images")] == [0, 1, 2]
    assert status.read_text() == "images 3/3"


def test_a_manual_bar_shows_its_note(status):
    with progress(total=5, description="training") as bar:
        bar.update(2)
        bar.set_postfix_str("loss 0.1")
    assert status.read_text() == "training 2/5 loss 0.1"


def test_a_status_file_that_cannot_be_written_does_not_stop_the_work(monkeypatch, tmp_path):
    monkeypatch.setenv("ADHELPERS_STATUS_FILE", str(tmp_path / "missing" / "status.txt"))
    assert list(progress(range(3), "x")) == [0, 1, 2]


def test_a_terminal_gets_a_bar_and_silence_when_asked(capfd, monkeypatch):
    monkeypatch.delenv("ADHELPERS_STATUS_FILE", raising=False)
    list(progress(range(3), "SHAP"))
    assert "SHAP" in capfd.readouterr().err
    list(progress(range(3), "SHAP", enabled=False))
    assert capfd.readouterr().err == ""
