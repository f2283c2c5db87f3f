"""Tests leave the project's own results and models alone, and a run that does not is noticed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adhelpers.runner import default_folder, start_run

PROJECT = Path(__file__).parents[1]


def test_a_run_without_folders_of_its_own_writes_elsewhere():
    run = start_run("x", {"category": "from_a_test", "results": "", "models": ""})
    assert run.results == default_folder("results") and run.models == default_folder("models")
    for folder in (run.destination, run.models):
        assert not folder.resolve().is_relative_to(PROJECT)


def test_without_the_variables_or_with_empty_ones_the_project_s_own_are_meant(monkeypatch):
    monkeypatch.setenv("ADHELPERS_RESULTS", "")
    monkeypatch.delenv("ADHELPERS_MODELS")
    assert default_folder("results") == PROJECT / "results"
    assert default_folder("models") == PROJECT / "models"


@pytest.mark.parametrize(
    "body, code, named",
    [
        ("pass", 0, ""),
        ("(here / 'results' / 'new').mkdir()", 1, "results/new"),
        ("(here / 'models' / 'a.txt').write_text('other')", 1, "models/a.txt"),
        ("(here / 'models' / 'a.txt').unlink()", 1, "models/a.txt"),
        ("(Path(os.environ['ADHELPERS_RESULTS'], 'x')).mkdir(parents=True)", 0, ""),
    ],
)
def test_a_test_that_writes_there_fails_the_whole(tmp_path, body, code, named):
    shutil.copy(PROJECT / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name in ("results", "models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("mine")
    head = "import os\nfrom pathlib import Path\nhere = Path(__file__).parent\n"
    (tmp_path / "test_it.py").write_text(f"{head}def test():\n    {body}\n")
    environment = {key: value for key, value in os.environ.items() if "XDIST" not in key}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:nbval"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code and "1 passed" in done.stdout, done.stdout + done.stderr
    assert str(tmp_path / named) in done.stdout if code else "changed" not in done.stdout
