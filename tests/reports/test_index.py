"""The index over runs that may be damaged or hostile."""

import json
import re
from urllib.parse import unquote

import pytest

from adhelpers.metrics import Estimate
from adhelpers.reports.index import write_index
from adhelpers.reports.summary import SUMMARY_KEYS, write_summary


def summary(**parts):
    return dict.fromkeys(SUMMARY_KEYS) | parts


HOSTILE = '"><img src=x onerror=alert(1)>'


def make_run(results, notebook, category, files=(), **parts):
    folder = results / notebook / category
    folder.mkdir(parents=True)
    write_summary(folder / "summary.json", summary(**parts))
    for file in files:
        (folder / file).write_text("x")
    return folder


def test_the_index_shows_the_figures_of_each_run(tmp_path, assert_self_contained):
    folder = make_run(
        tmp_path,
        "01_screw",
        "screw",
        ["report.html", "gallery.html", "samples.csv", "01_screw.ipynb"],
        detector="VAE-GAN",
        image_auroc=Estimate(0.975, 0.951, 0.99),
        pixel_auroc={"value": 0.5, "low": None, "high": None},
        threshold={"value": 1, "rule": "G-mean", "uses_test_labels": True},
        confusion={"tp": 1, "fp": 3, "tn": 38, "fn": 0},
        jaccard={"LIME": {"mean": 0.213}, "SHAP": 0.3, "noise": {"mean": None}},
        seconds={"training": 60.2, "audit": 3},
    )
    (folder / "summary_subspace.json").write_text(json.dumps(summary(detector="subspace")))
    page = assert_self_contained(write_index(tmp_path).read_text())
    text = re.sub(r"\s+", " ", page.text)
    for part in (
        "VAE-GAN",
        "0.975 [0.951, 0.990]",
        "0.500",
        "G-mean *",
        "3 of 41",
        "LIME 0.21",
        "SHAP 0.30",
        "noise –",
        "63",
    ):
        assert part in text
    assert "subspace" in text
    files = ["report.html", "gallery.html", "01_screw.ipynb", "samples.csv"]
    assert page.attributes("a", "href") == [f"./01_screw/screw/{file}" for file in files] * 2
    assert all((tmp_path / address).is_file() for address in page.attributes("a", "href"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"threshold": 3}',
        "\udcff",
        json.dumps(summary(seconds={"a": "x"})),
        json.dumps(summary(confusion={})),
        json.dumps(summary(image_auroc=3)),
        json.dumps(summary(image_auroc={"value": "x"})),
        json.dumps(summary(jaccard=["LIME"])),
    ],
)
def test_a_damaged_summary_gets_a_row_that_says_so(tmp_path, content):
    make_run(tmp_path, "01_screw", "nut", detector="fine")
    folder = make_run(tmp_path, "01_screw", "screw")
    (folder / "summary.json").write_text(content, errors="surrogateescape")
    text = write_index(tmp_path).read_text()
    assert "summary.json cannot be read" in text and "fine" in text


def test_missing_summaries_failed_runs_and_partial_folders(tmp_path, Page):
    folder = tmp_path / "01_screw" / "screw"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("x")
    (folder / "01_screw.failed.ipynb").write_text("x")
    (tmp_path / "01_screw" / ".partial-x").mkdir()
    (tmp_path / "01_screw" / ".partial-x" / "summary.json").write_text("{")
    (tmp_path / "01_screw" / "empty").mkdir()
    page = Page(write_index(tmp_path).read_text())
    assert "no summary.json" in page.text and "Failed: the last run failed" in page.text
    assert "cannot be read" not in page.text and "empty" not in page.text
    assert page.attributes("a", "href") == [
        "./01_screw/screw/report.html",
        "./01_screw/screw/01_screw.failed.ipynb",
    ]


def test_a_run_without_anomalous_images_has_no_recall(tmp_path):
    make_run(tmp_path, "01_screw", "screw", confusion={"tp": 0, "fp": 1, "tn": 4, "fn": 0})
    assert "1 of 5" in write_index(tmp_path).read_text()


def test_shares_of_images_have_exact_intervals_and_few_images_are_no_certainty(tmp_path):
    shares = {"confusion": {"tp": 8, "fp": 1, "tn": 4, "fn": 2}, "trust_adjusted_recall": 0.5}
    make_run(tmp_path, "01_screw", "screw", **shares)
    shares = {"confusion": {"tp": 4, "fp": 0, "tn": 4, "fn": 0}, "trust_adjusted_recall": 1.0}
    make_run(tmp_path, "01_screw", "nut", **shares)
    text = write_index(tmp_path).read_text().replace("\N{NO-BREAK SPACE}", " ")
    # Clopper and Pearson's table for 8 and 5 of 10; 0.025^(1/4) for 4 of 4.
    assert "0.80 [0.44, 0.97] → 0.50 [0.19, 0.81]" in text
    few = "1.00 [0.40, 1.00; too few images]"
    assert f"{few} → {few}" in text


def test_an_empty_folder_has_an_index_too(tmp_path):
    assert "No runs yet" in write_index(tmp_path).read_text()


@pytest.mark.parametrize(
    "name",
    ['"><img src=x onerror=alert(1)>', "javascript:alert(1)", "a b#c?d%e&f", "{{ 7*7 }}", "<b>"],
)
def test_hostile_names_stay_text_and_links_still_lead_there(tmp_path, name, assert_self_contained):
    threshold = {"value": 1, "rule": HOSTILE, "uses_test_labels": False}
    make_run(
        tmp_path,
        name,
        name,
        ["report.html"],
        detector=HOSTILE,
        threshold=threshold,
        jaccard={HOSTILE: 0.5},
    )
    page = assert_self_contained(write_index(tmp_path).read_text())
    assert name in page.text and HOSTILE in page.text
    [address] = page.attributes("a", "href")
    assert (
        unquote(address) == f"./{name}/{name}/report.html"
        and (tmp_path / unquote(address)).is_file()
    )
    assert not re.search(r'[#?"<>:]', address.removesuffix("report.html"))
