"""The examples on the pages in docs/ work as they stand, and Sphinx builds the pages."""

import doctest
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [
    path
    for path in sorted((PROJECT / "docs").glob("*.md"))
    # test_architecture.py runs those of its page.
    if ">>> " in path.read_text(encoding="utf-8") and path.name != "architecture.md"
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_examples_of_a_page_work(path):
    failed, tried = doctest.testfile(str(path), module_relative=False)
    assert failed == 0 and tried > 0


def test_the_pages_are_built_without_a_warning_and_without_a_network(tmp_path):
    copied = tmp_path / "project"
    for name in ("docs", "notebooks"):
        shutil.copytree(
            PROJECT / name,
            copied / name,
            ignore=shutil.ignore_patterns("_build", "api", "__pycache__", ".ipynb_checkpoints"),
        )
    built = tmp_path / "html"
    command = ["-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [sys.executable, *command, str(copied / "docs"), str(built)],
        capture_output=True,
        text=True,
        cwd=copied,
    )
    assert done.returncode == 0, done.stderr
    for page in ("index", "audit", "api/adhelpers.metrics", "notebooks/01_screw"):
        text = (built / f"{page}.html").read_text(encoding="utf-8")
        assert "<h1>" in text
        # Nothing is fetched: no script, style or font from elsewhere.
        assert not re.search(r'(?:src|href)="(?:https?:)?//[^"]+\.(?:js|css|woff2?)', text)
    assert "optimal_jaccards" in (built / "api/adhelpers.metrics.html").read_text(encoding="utf-8")
