"""Files of a run: samples, summary, the report without code or network, the index over runs that may be damaged or hostile."""

import base64
import html.parser
import json
import re
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from adhelpers.metrics import Estimate
from adhelpers.reports.notebook_html import (
    SUMMARY_KEYS,
    notebook_to_html,
    versions,
    write_index,
    write_samples,
    write_summary,
)

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nnot decoded here").decode()
HOSTILE = '"><img src=x onerror=alert(1)>'


class Page(html.parser.HTMLParser):
    """All elements of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self._hidden = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._hidden = tag == "style"

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        self.text += "" if self._hidden else data

    def attributes(self, tag, name):
        return [
            attributes[name]
            for found, attributes in self.elements
            if found == tag and name in attributes
        ]


def assert_self_contained(text):
    page = Page(text)
    for tag, attributes in page.elements:
        assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form", "svg")
        assert not [
            name
            for name in attributes
            if name.startswith("on") or name in ("srcset", "background", "poster")
        ]
        assert attributes.get("src", "data:image/").startswith("data:image/")
        if tag != "a":
            assert "href" not in attributes
        assert not re.match(r"\s*(javascript|data|vbscript):", attributes.get("href", ""), re.I)
        assert "url(" not in attributes.get("style", "")
    for style in re.findall(r"<style>(.*?)</style>", text, re.S):
        assert "url(" not in style and "@import" not in style and "//" not in style
    policy = [
        attributes["content"]
        for tag, attributes in page.elements
        if tag == "meta" and "http-equiv" in attributes
    ]
    assert len(policy) == 1 and "default-src 'none'" in policy[0] and "script" not in policy[0]
    return page


def export(tmp_path, *cells, **options):
    nbformat.write(new_notebook(cells=list(cells)), tmp_path / "n.ipynb")
    return notebook_to_html(tmp_path / "n.ipynb", tmp_path / "report.html", **options).read_text(
        encoding="utf-8"
    )


def shown(tmp_path, data):
    return export(
        tmp_path, new_code_cell("secret_code()", outputs=[new_output("display_data", data)])
    )


def test_the_report_holds_text_and_results_but_no_code(tmp_path):
    text = export(
        tmp_path,
        new_markdown_cell("# Screws\n\nCan *it* be trusted?\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
        new_markdown_cell("## Training & more\n\n### Curves"),
        new_code_cell(
            "secret_code()",
            outputs=[
                new_output("stream", name="stdout", text="\x1b[31mAUROC 0.97\x1b[0m <b>\n"),
                new_output("execute_result", {"image/png": PNG, "text/plain": "<Figure size 1x1>"}),
                new_output(
                    "display_data",
                    {"text/html": pd.DataFrame({"type": ["a<b"]}).to_html(), "text/plain": "plain"},
                ),
            ],
        ),
        new_markdown_cell("## Training & more\n\nagain"),
    )
    page = assert_self_contained(text)
    assert "secret_code" not in text and "Figure size" not in text and "plain" not in page.text
    assert "<em>it</em>" in text and "<td>2</td>" in text and "<td>a&lt;b</td>" in text
    assert "<pre>AUROC 0.97 &lt;b&gt;</pre>" in text
    assert page.attributes("img", "src") == [f"data:image/png;base64,{PNG}"]
    assert page.attributes("img", "alt") == ["Figure in the section “Curves”"]
    assert "<title>Screws</title>" in text


def test_the_contents_lead_to_the_headings(tmp_path):
    text = export(
        tmp_path,
        new_markdown_cell("# T"),
        new_markdown_cell("## Same\n\n### Sub"),
        new_markdown_cell("## Same"),
    )
    page = Page(text)
    targets = [address.removeprefix("#") for address in page.attributes("a", "href")]
    ids = [attributes["id"] for tag, attributes in page.elements if tag in ("h2", "h3")]
    assert targets == ids and len(set(ids)) == 3


def test_a_title_may_be_given_and_is_escaped(tmp_path):
    assert "<title>&#34;&gt;&lt;img src=x onerror=alert(1)&gt;</title>" in export(
        tmp_path, title=HOSTILE
    )


@pytest.mark.parametrize(
    "source",
    [
        "<script>alert('pwned')</script>",
        "<script src='https://evil/x.js'>pwned</script>",
        "<iframe src='https://evil'>pwned</iframe>",
        "<img src='https://evil/pwned.png'>",
        "<img src='//evil/pwned.png'>",
        "<img src=x onerror='pwned()'>",
        "![x](https://evil/pwned.png)",
        "<style>body{background:url(https://evil/pwned)}</style>",
        "<a href='javascript:pwned()'>x</a>",
        "[x](javascript:pwned())",
        "<a href='data:text/html,pwned'>x</a>",
        "<div style='background:url(https://evil/pwned)'>x</div>",
        "<svg><script>pwned()</script></svg>",
        "<link rel=stylesheet href='https://evil/pwned.css'>",
        "<base href='https://evil/pwned'>",
        "<form action='https://evil'><input name=pwned></form>",
        "<scr<script>ipt>pwned()</script>",
        "<meta http-equiv=refresh content='0;pwned'>",
        "<math><mtext><table><mglyph><style><img src=x onerror=pwned()>",
    ],
)
def test_scripts_and_remote_parts_are_left_out(tmp_path, source):
    for cell in (
        new_markdown_cell(source),
        *(
            new_code_cell("", outputs=[new_output("display_data", {kind: source})])
            for kind in ("text/html", "text/markdown")
        ),
    ):
        text = export(tmp_path, cell)
        page = assert_self_contained(text)
        for tag, attributes in page.elements:
            assert not [value for value in attributes.values() if value and "pwned" in value]


def test_plain_text_and_names_are_escaped(tmp_path):
    for output in (
        new_output("stream", name="stdout", text=HOSTILE),
        new_output("stream", name="stderr", text=HOSTILE),
        new_output("display_data", {"text/plain": HOSTILE}),
        new_output("error", ename="E", evalue="v", traceback=[HOSTILE]),
    ):
        page = assert_self_contained(export(tmp_path, new_code_cell("", outputs=[output])))
        assert HOSTILE in page.text and not page.attributes("img", "src")


def test_links_to_papers_stay(tmp_path):
    page = Page(
        export(tmp_path, new_markdown_cell("[a](https://arxiv.org/abs/1) [b](gallery.html)"))
    )
    assert page.attributes("a", "href") == ["https://arxiv.org/abs/1", "gallery.html"]


def test_svg_becomes_an_image_that_cannot_run(tmp_path):
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    [source] = assert_self_contained(
        shown(tmp_path, {"image/svg+xml": svg, "text/plain": "x"})
    ).attributes("img", "src")
    assert source.startswith("data:image/svg+xml;charset=utf-8,%3Csvg")


def test_an_image_type_cannot_break_out_of_its_attribute(tmp_path):
    assert_self_contained(shown(tmp_path, {"image/png": HOSTILE}))


def test_widgets_and_empty_outputs_are_dropped(tmp_path):
    widget = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "1"},
        "text/plain": "HBox(children=…)",
    }
    text = shown(tmp_path, widget)
    assert "HBox" not in text and "model_id" not in text
    # HTML that is nothing but script falls back to the text beside it.
    assert "<pre>beside</pre>" in shown(
        tmp_path, {"text/html": "<script>x</script>", "text/plain": "beside"}
    )


def test_messages_are_folded(tmp_path):
    text = export(
        tmp_path, new_code_cell("", outputs=[new_output("stream", name="stderr", text="a warning")])
    )
    assert (
        '<details class="messages"><summary>Messages</summary><pre>a warning</pre></details>'
        in text
    )


def test_what_is_no_notebook_is_named(tmp_path):
    (tmp_path / "n.ipynb").write_text("{}")
    with pytest.raises(ValueError, match="n.ipynb is not a Jupyter notebook"):
        notebook_to_html(tmp_path / "n.ipynb", tmp_path / "report.html")
    with pytest.raises(FileNotFoundError):
        notebook_to_html(tmp_path / "none.ipynb", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_samples(tmp_path):
    frame = pd.DataFrame({"name": ["a,b.png", "ü.png"], "score": [0.25, np.nan]}, index=[4, 5])
    path = write_samples(tmp_path / "deep" / "samples.csv", frame)
    assert path.read_text(encoding="utf-8") == 'name,score\n"a,b.png",0.25\nü.png,\n'
    pd.testing.assert_frame_equal(pd.read_csv(path), frame.reset_index(drop=True))


def test_an_interrupted_write_keeps_the_old_samples(tmp_path):
    class Broken:
        def to_csv(self, path, **_):
            path.write_text("half")
            raise OSError(28, "No space left on device")

    write_samples(tmp_path / "samples.csv", pd.DataFrame({"a": [1]}))
    with pytest.raises(OSError):
        write_samples(tmp_path / "samples.csv", Broken())
    assert (tmp_path / "samples.csv").read_text() == "a\n1\n" and len(list(tmp_path.iterdir())) == 1


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


def make_run(results, notebook, category, files=(), **parts):
    folder = results / notebook / category
    folder.mkdir(parents=True)
    write_summary(folder / "summary.json", summary(**parts))
    for file in files:
        (folder / file).write_text("x")
    return folder


def test_the_index_shows_the_figures_of_each_run(tmp_path):
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


def test_missing_summaries_failed_runs_and_partial_folders(tmp_path):
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


def test_an_empty_folder_has_an_index_too(tmp_path):
    assert "No runs yet" in write_index(tmp_path).read_text()


@pytest.mark.parametrize(
    "name",
    ['"><img src=x onerror=alert(1)>', "javascript:alert(1)", "a b#c?d%e&f", "{{ 7*7 }}", "<b>"],
)
def test_hostile_names_stay_text_and_links_still_lead_there(tmp_path, name):
    from urllib.parse import unquote

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
