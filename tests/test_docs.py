"""The examples on the pages in docs/ work as they stand."""

import doctest
from pathlib import Path

import pytest

PAGES = [
    path
    for path in sorted((Path(__file__).resolve().parents[1] / "docs").glob("*.md"))
    # test_architecture.py runs those of its page.
    if ">>> " in path.read_text(encoding="utf-8") and path.name != "architecture.md"
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_examples_of_a_page_work(path):
    failed, tried = doctest.testfile(str(path), module_relative=False)
    assert failed == 0 and tried > 0
