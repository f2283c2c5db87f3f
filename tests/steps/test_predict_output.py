import csv

import pytest
from PIL import Image

from adhelpers.steps.predict_output import PredictionFolder


def test_rows_are_there_at_once_and_complete(tmp_path):
    with PredictionFolder(tmp_path / "a" / "new", ["file", "score"], False) as folder:
        folder.write_row(["a,b\n.png", 0.25])
        with (folder.path / "predictions.csv").open(newline="") as file:
            assert list(csv.reader(file)) == [["file", "score"], ["a,b\\n.png", "0.25"]]


def test_a_row_that_does_not_fit_on_the_disk_is_taken_back(tmp_path):
    class Full:
        """Half of a row, then the disk is full."""

        def __init__(self, file):
            self.file = file

        def write(self, row):
            return self.file.write(row[: len(row) // 2])

        def __getattr__(self, name):
            return getattr(self.file, name)

    with PredictionFolder(tmp_path / "new", ["file", "score"], False) as folder:
        folder.write_row(["a.png", 0.5])
        folder._file = Full(folder._file)
        with pytest.raises(OSError, match="predictions.csv"):
            folder.write_row(["long name.png", 0.5])
    assert (tmp_path / "new" / "predictions.csv").read_text() == "file,score\na.png,0.5\n"


def test_only_a_folder_of_its_own_is_written(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(NotADirectoryError, match="output: .*file is a file"):
        PredictionFolder(tmp_path / "file", ["file"], True).__enter__()
    with pytest.raises(ValueError, match=r"holds other files, such as thesis\.txt"):
        PredictionFolder(tmp_path / "full", ["file"], True).__enter__()
    assert (tmp_path / "full" / "thesis.txt").exists()


def test_an_earlier_run_is_replaced_only_when_that_is_asked_for(tmp_path):
    with PredictionFolder(tmp_path / "new", ["file"], False) as folder:
        folder.write_row(["a.png"])
        name = folder.write_overlay(7, tmp_path / "a b/ü?.png", Image.new("RGB", (8, 8)))
        assert name == "overlays/000007_ü_.jpg" and (folder.path / name).is_file()
        with pytest.raises(ValueError, match="earlier run; give another folder, or --overwrite"):
            PredictionFolder(tmp_path / "new", ["file"], False).__enter__()
        with pytest.raises(ValueError, match="another run is writing into"):
            PredictionFolder(tmp_path / "new", ["file"], True).__enter__()
    with PredictionFolder(tmp_path / "new", ["file"], True) as folder:
        assert [one.name for one in folder.path.iterdir()] == ["predictions.csv"]
    assert (tmp_path / "new" / "predictions.csv").read_text() == "file\n"
