"""The index over runs that may be damaged or hostile."""

import base64
import hashlib
import io
import json
import os
import re
import sys
import zlib
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adhelpers.metrics import Estimate
from adhelpers.reports.index import write_index
from adhelpers.reports.summary import SUMMARY_KEYS, write_summary


def summary(**parts):
    return dict.fromkeys(SUMMARY_KEYS) | parts


HOSTILE = '"><img src=x onerror=alert(1)>'


def without_script(text):
    """A page without the script that its policy allows, and without that permission."""
    text = re.sub(r" script-src 'sha256-[^']+';", "", text)
    return re.sub(r"<script>.*?</script>", "", text, flags=re.S)


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
    page = assert_self_contained(without_script(write_index(tmp_path).read_text()))
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
        json.dumps(summary(detector={"name": "x"})),
        json.dumps(summary(confusion={"tp": 10**400, "fp": 0, "tn": 0, "fn": 1})),
        json.dumps(summary(confusion={"tp": "1", "fp": "2", "tn": "3", "fn": "4"})),
        json.dumps(summary(verdicts={"missed": [1]})),
        json.dumps(summary(verdicts={"missed": 3, "passed": -1})),
        json.dumps(summary(answer="Use it")),
        json.dumps(summary(answer={"answer": 3})),
        "[" * 100_000,
        "9" * 5_000,
    ],
)
def test_a_damaged_summary_gets_a_row_that_says_so(tmp_path, content):
    make_run(tmp_path, "01_screw", "nut", detector="fine")
    folder = make_run(tmp_path, "01_screw", "screw")
    (folder / "summary.json").write_text(content, errors="surrogateescape")
    text = write_index(tmp_path).read_text()
    assert "summary.json cannot be read" in text and "fine" in text


def test_a_row_begins_with_the_answer_and_a_bar_of_verdicts(tmp_path):
    answer = {"answer": "Use it", "because": "It <finds> all.", "look_first": [], "findings": []}
    verdicts = {"right reason": 3, "missed": 1, "passed": 0, "odd": 4}
    make_run(tmp_path, "01_screw", "nut", answer=answer, verdicts=verdicts)
    make_run(tmp_path, "02_old", "nut", answer=None, verdicts=None)
    text = write_index(tmp_path).read_text()
    cell = text[text.index('class="answer use"') :].split("</td>")[0]
    assert "It &lt;finds&gt; all." in cell and ">Use it" in cell
    assert 'aria-label="3 right reason, 1 missed, 4 odd"' in cell
    assert re.findall(r"width: ([\d.]+)%; background: (#\w+)", cell) == [
        ("37.50", "#009E73"),
        ("12.50", "#8A2D00"),
        ("50.00", "#444444"),
    ]
    assert 'class="answer none"' in text


def test_a_summary_from_before_the_answer_still_has_its_figures(tmp_path):
    folder = make_run(tmp_path, "01_screw", "nut", detector="fine", seed=7)
    old = json.loads((folder / "summary.json").read_text())
    del old["answer"], old["name"]
    (folder / "summary.json").write_text(json.dumps(old))
    text = write_index(tmp_path).read_text()
    assert "fine" in text and "seed 7" in text and "cannot be read" not in text


def test_the_legend_names_each_colour_that_is_there(tmp_path, Page):
    make_run(tmp_path, "01_screw", "nut", verdicts={"missed": 1, "passed": 0, "odd": 4})
    text = write_index(tmp_path).read_text()
    legend = text[text.index('class="soft legend"') :].split("</p>")[0]
    assert re.findall(r"background: (#\w+)\"></i>([^<]+)<", legend) == [
        ("#8A2D00", "missed"),
        ("#444444", "other"),
    ]


def save(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def pictures(text):
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    return [Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB") for one in sources]


def with_look(figure):
    looks = [{"name": "a", "verdict": "missed", "figure": figure}]
    return {"answer": "Use it", "because": "x", "look_first": looks}


def test_a_run_has_a_small_picture_of_the_first_strip_else_of_its_images(tmp_path):
    folder = make_run(tmp_path, "01_screw", "nut", answer=with_look("figures/look-first-1.png"))
    (folder / "summary_other.json").write_text(json.dumps(summary()))
    save(folder / "figures" / "images.png", Image.new("RGB", (640, 400), "lime"))
    (small,) = pictures(write_index(tmp_path).read_text())
    assert small.size == (320, 200) and small.getpixel((9, 9)) == (0, 255, 0)
    # Of a long strip the beginning: 2.5 times as wide as high.
    strip = Image.new("RGB", (4000, 400), "blue")
    strip.paste("red", (0, 0, 1000, 400))
    save(folder / "figures" / "look-first-1.png", strip)
    (small,) = pictures(write_index(tmp_path).read_text())
    assert small.size == (320, 128)
    assert {small.getpixel((x, 60)) for x in (0, 160, 319)} == {(255, 0, 0)}


def test_a_thumbnail_has_at_most_20_kilobytes_whatever_the_picture(tmp_path):
    folder = make_run(tmp_path, "01_screw", "nut")
    noise = np.random.default_rng(0).integers(0, 256, (400, 640, 3), dtype=np.uint8)
    save(folder / "figures" / "images.png", Image.fromarray(noise))
    text = write_index(tmp_path).read_text()
    (source,) = re.findall(r"base64,([^\"]+)\"", text)
    assert 5_000 < len(base64.b64decode(source)) <= 20_000


@pytest.mark.parametrize(
    "figure", ["../secret.png", "figures/../../secret.png", "/secret.png", "figures/no\0.png", 3]
)
def test_a_summary_cannot_name_a_picture_elsewhere(tmp_path, figure):
    save(tmp_path / "01_screw" / "secret.png", Image.new("RGB", (20, 10)))
    make_run(tmp_path, "01_screw", "nut", detector="fine", answer=with_look(figure))
    text = write_index(tmp_path).read_text()
    assert pictures(text) == [] and "fine" in text and "cannot be read" not in text


@pytest.mark.parametrize("damage", ["text", "cut", "huge", "folder", "jpeg"])
def test_a_damaged_picture_leaves_the_row(tmp_path, damage):
    folder = make_run(tmp_path, "01_screw", "nut", detector="fine")
    path = folder / "figures" / "images.png"
    save(path, Image.effect_noise((200, 200), 50))
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "jpeg":
        Image.new("RGB", (20, 10)).save(path, "JPEG")
    else:
        size = (8_000).to_bytes(4, "big")
        header = b"IHDR" + size + size + content[24:29]
        huge = content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]
        path.write_bytes({"text": b"x", "cut": content[:2_000], "huge": huge}[damage])
    text = write_index(tmp_path).read_text()
    assert pictures(text) == [] and "fine" in text and "cannot be read" not in text


def test_only_the_script_that_sorts_may_run(tmp_path):
    make_run(tmp_path, "01_screw", "nut", detector="</script><script>alert(1)</script>")
    text = write_index(tmp_path).read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text and "alert" not in script


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 0.0, 10**400, 1e308, float("nan"), float("inf"), "\ud800", HOSTILE])
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["value", "low", "high", "tp", "fp", "tn", "fn", "mean", "auroc"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(parts=st.dictionaries(st.sampled_from(SUMMARY_KEYS), VALUES, min_size=1, max_size=5))
def test_no_summary_ends_the_index_or_hides_another_row(tmp_path_factory, parts):
    results = tmp_path_factory.mktemp("results")
    make_run(results, "01_screw", "nut", detector="fine")
    folder = make_run(results, "01_screw", "screw")
    (folder / "summary.json").write_text(json.dumps(summary(**parts)))
    page = write_index(results).read_text(encoding="utf-8")
    assert page.count("<tr>") == 3 and "fine" in page and HOSTILE not in page


def test_confusions_without_images_are_zero_of_zero(tmp_path):
    make_run(tmp_path, "01_screw", "screw", confusion=dict.fromkeys(("tp", "fp", "tn", "fn"), 0))
    page = write_index(tmp_path).read_text()
    assert "0 of 0" in page and "cannot be read" not in page


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_names_that_are_not_utf_8_are_escaped_and_their_links_lead_there(tmp_path, Page):
    name = os.fsdecode(b"scr\xffew")
    make_run(tmp_path, name, name, ["report.html"], detector="fine")
    page = Page(write_index(tmp_path).read_text(encoding="utf-8"))
    assert r"scr\xffew" in page.text and "fine" in page.text
    [address] = page.attributes("a", "href")
    assert (tmp_path / unquote(address, errors="surrogateescape")).is_file()


def test_files_that_are_no_files_are_not_read(tmp_path):
    make_run(tmp_path, "01_screw", "nut", detector="fine")
    folder = make_run(tmp_path, "01_screw", "screw")
    (folder / "summary_a.json").symlink_to("nowhere")
    (folder / "summary_b.json").mkdir()
    os.mkfifo(folder / "summary_c.json")
    with (folder / "summary_d.json").open("w") as file:
        file.truncate(10**11)
    os.utime(folder / "summary.json", (10**14, 10**14))
    text = write_index(tmp_path).read_text()
    assert [f"summary_{one}.json cannot be read" in text for one in "abcd"] == [True] * 4
    assert "fine" in text and text.count("<tr>") == 7


def test_a_folder_that_cannot_be_looked_into_gets_a_row(tmp_path, monkeypatch):
    make_run(tmp_path, "01_screw", "nut", detector="fine")
    make_run(tmp_path, "01_screw", "screw")
    is_dir = Path.is_dir

    def refuse(path):
        if path.name == "screw":
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", refuse)
    text = write_index(tmp_path).read_text()
    assert "the folder cannot be read (Permission denied)" in text and "fine" in text


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
    page = assert_self_contained(without_script(write_index(tmp_path).read_text()))
    assert name in page.text and HOSTILE in page.text
    [address] = page.attributes("a", "href")
    assert (
        unquote(address) == f"./{name}/{name}/report.html"
        and (tmp_path / unquote(address)).is_file()
    )
    assert not re.search(r'[#?"<>:]', address.removesuffix("report.html"))
