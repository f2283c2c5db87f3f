"""A page of results that no notebook has made."""

import json
import re

import pandas as pd
import pytest
from matplotlib.figure import Figure

from adhelpers.reports import results_to_html


def test_the_page_has_findings_tables_and_pictures(tmp_path):
    summary = {"answer": None, "data": {"remarks": [{"sentence": "An image is doubtful."}]}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    table = pd.DataFrame({"count": [3]}, index=["right <b>reason</b>"])
    sections = {"Verdicts": [table, Figure()], "Empty": [pd.DataFrame()]}
    page = results_to_html(tmp_path, "mine", ["It is <script>alert(1)</script> fine."], sections)
    html = page.read_text(encoding="utf-8")
    assert (
        page.name == "report.html" and re.search("<h1[^>]*>mine</h1>", html) and "Verdicts" in html
    )
    assert "An image is doubtful." in html and html.count("data:image/png") == 1
    assert "Verdicts" in html
    assert "<script>alert" not in html and "Empty" not in html
    names = ["report.html", "results.ipynb", "summary.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_folder_without_a_summary_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"summary\.json"):
        results_to_html(tmp_path, "mine", [], {})
