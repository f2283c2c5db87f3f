"""The report of a notebook: without code, scripts or network, whatever the notebook holds."""

import base64
import io
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from adhelpers.reports.notebook_html import notebook_to_html

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nnot decoded here").decode()


def export(tmp_path, *cells, **options):
    nbformat.write(new_notebook(cells=list(cells)), tmp_path / "n.ipynb")
    return notebook_to_html(tmp_path / "n.ipynb", tmp_path / "report.html", **options).read_text(
        encoding="utf-8"
    )


HOSTILE = '"><img src=x onerror=alert(1)>'


def shown(tmp_path, data):
    return export(
        tmp_path, new_code_cell("secret_code()", outputs=[new_output("display_data", data)])
    )


def test_the_report_holds_text_and_results_but_no_code(tmp_path, assert_self_contained):
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
    assert "<p>AUROC 0.97 &lt;b&gt;</p>" in text
    assert page.attributes("img", "src") == [f"data:image/png;base64,{PNG}"]
    assert page.attributes("img", "alt") == ["Curves"]
    assert "<title>Screws</title>" in text


def test_remarks_on_the_data_are_in_a_box_under_the_title_only_where_there_are_any(tmp_path):
    cells = new_markdown_cell("# Screws"), new_markdown_cell("## Training")
    text = export(tmp_path, *cells, remarks=["2 files <b> are not used"])
    assert "<li>2 files &lt;b&gt; are not used</li>" in text
    assert text.index("Screws</h1>") < text.index("<aside") < text.index("<nav")
    assert "<aside" not in export(tmp_path, *cells)


def test_the_contents_lead_to_the_headings(tmp_path, Page):
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
def test_scripts_and_remote_parts_are_left_out(tmp_path, source, assert_self_contained):
    for cell in (
        new_markdown_cell(source),
        *(
            new_code_cell("", outputs=[new_output("display_data", {kind: source})])
            for kind in ("text/html", "text/markdown")
        ),
    ):
        text = export(tmp_path, cell)
        page = assert_self_contained(text)
        for _, attributes in page.elements:
            assert not [value for value in attributes.values() if value and "pwned" in value]


def test_plain_text_and_names_are_escaped(tmp_path, assert_self_contained):
    for output in (
        new_output("stream", name="stdout", text=HOSTILE),
        new_output("stream", name="stderr", text=HOSTILE),
        new_output("display_data", {"text/plain": HOSTILE}),
        new_output("error", ename="E", evalue="v", traceback=[HOSTILE]),
    ):
        page = assert_self_contained(export(tmp_path, new_code_cell("", outputs=[output])))
        assert HOSTILE in page.text and not page.attributes("img", "src")


def test_links_to_papers_stay(tmp_path, Page):
    page = Page(
        export(tmp_path, new_markdown_cell("[a](https://arxiv.org/abs/1) [b](gallery.html)"))
    )
    assert page.attributes("a", "href") == ["https://arxiv.org/abs/1", "gallery.html"]


def test_svg_becomes_an_image_that_cannot_run(tmp_path, assert_self_contained):
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    [source] = assert_self_contained(
        shown(tmp_path, {"image/svg+xml": svg, "text/plain": "x"})
    ).attributes("img", "src")
    assert source.startswith("data:image/svg+xml;charset=utf-8,%3Csvg")


def test_an_image_type_cannot_break_out_of_its_attribute(tmp_path, assert_self_contained):
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


def test_what_is_printed_is_text_and_what_a_test_checks_is_folded(tmp_path):
    def printed(source, text):
        outputs = [new_output("stream", name="stdout", text=text)]
        return export(tmp_path, new_code_cell(source, outputs=outputs))

    assert "<p>one &lt;b&gt;<br>two</p>" in printed("print(1)", "one <b>\ntwo\n")
    assert "<pre>a    1\nbb   2</pre>" in printed("print(1)", "a    1\nbb   2\n")
    folded = "<summary>Facts that a test checks</summary><pre>flagged: True</pre></details>"
    assert folded in printed("# NBVAL_CHECK_OUTPUT\nprint(1)", "flagged: True\n")


def test_the_caption_says_what_the_picture_shows(tmp_path, Page):
    def exported(**options):
        output = new_output("display_data", {"image/png": PNG}, **options)
        heading = new_markdown_cell("## Curves")
        return export(tmp_path, heading, new_code_cell("", outputs=[output]))

    text = exported(metadata={"image/png": {"alt": "Losses <against> the epoch"}})
    assert Page(text).attributes("img", "alt") == ["Losses <against> the epoch"]
    assert "<figcaption>Figure 1. Losses &lt;against&gt; the epoch</figcaption>" in text
    # Where nothing is said of it, the heading above.
    assert "<figcaption>Figure 1. Curves</figcaption>" in exported()


def test_only_a_wide_picture_is_wide(tmp_path):
    for width, wide in ((601, True), (600, False)):
        stream = io.BytesIO()
        Image.new("L", (width, 20)).save(stream, "PNG")
        picture = base64.encodebytes(stream.getvalue()).decode()
        assert ('<figure class="wide">' in shown(tmp_path, {"image/png": picture})) == wide


def test_only_long_cells_may_be_broken(tmp_path):
    frame = pd.DataFrame(
        {"a": ["0.66 [0.36, 0.89; exact bound]", "a sentence of many words, at last"]}
    )
    frame["b"] = [1, "x" * 35]
    text = shown(tmp_path, {"text/html": frame.to_html(), "text/plain": "x"})
    assert re.findall(r'class="long">(.*?)<', text) == ["x" * 35]


@pytest.mark.parametrize("root, told", [("rendered/0a1b", "rendered images"), ("parts", "parts")])
def test_rendered_images_are_called_that(tmp_path, root, told):
    text = export(tmp_path, summary=SUMMARY | {"data": {"root": root}})
    assert f"data: <b>{told}</b>" in text


def test_what_is_no_notebook_is_named(tmp_path):
    (tmp_path / "n.ipynb").write_text("{}")
    with pytest.raises(ValueError, match="n.ipynb is not a Jupyter notebook"):
        notebook_to_html(tmp_path / "n.ipynb", tmp_path / "report.html")
    with pytest.raises(FileNotFoundError):
        notebook_to_html(tmp_path / "none.ipynb", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


ANSWER = {
    "answer": "Do not trust it yet",
    "because": "Only 3 of 20 <b>defects</b> are flagged.",
    "figures": "Recall 0.15 [0.03, 0.38].",
    "findings": ["The first finding.", "The second finding."],
    "look_first": [
        {"name": "test/cut/<0>.png", "verdict": "missed", "figure": "figures/look-first-1.png"},
        {"name": "test/cut/1.png", "verdict": "missed", "figure": "figures/not-there.png"},
    ],
}
SUMMARY = {
    "category": "screw",
    "detector": "subspace",
    "data": {"root": "somewhere", "counts": {"test": {"good": 4, "cut": 20}}},
    "answer": ANSWER,
}


def test_a_report_begins_with_the_answer_and_folds_the_steps(tmp_path, assert_self_contained):
    (tmp_path / "figures").mkdir()
    for name in ("look-first-1", "verdicts"):
        (tmp_path / "figures" / f"{name}.png").write_bytes(base64.b64decode(PNG))
    text = export(
        tmp_path,
        new_markdown_cell("# Screws\n\nCan *it* be trusted?"),
        new_markdown_cell("## Training\n\nwords\n\n### Curves\n\nmore"),
        new_code_cell("x", outputs=[new_output("execute_result", {"image/png": PNG})]),
        remarks=["a remark"],
        summary=SUMMARY,
    )
    page = assert_self_contained(text)
    order = [
        text.index(one)
        for one in (
            "Screws</h1>",
            "subspace</b>",
            "<h2>Do not trust it yet</h2>",
            "Only 3 of 20 &lt;b&gt;defects",
            "Look first at",
            "test/cut/&lt;0&gt;.png: missed</figcaption>",
            "The first finding.",
            "Verdicts on the whole test set",
            "a remark",
            '<nav aria-label="Contents" class="beside">',
            "<summary>What this is about</summary>",
            "Can <em>it</em> be trusted?",
            "<summary>Training</summary>",
            "Curves</h3>",
        )
    ]
    assert order == sorted(order)
    # The strip that is there, the verdicts and the notebook's own figure.
    assert page.attributes("img", "alt") == [
        "test/cut/<0>.png: missed",
        "Verdicts by type",
        "Curves",
    ]
    assert "test images: <b>24</b>" in text and text.count("Screws</h1>") == 1
    targets = [address.removeprefix("#") for address in page.attributes("a", "href")]
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert len(targets) == 2 and set(targets) <= ids


def test_a_run_without_an_answer_is_not_folded(tmp_path):
    cells = new_markdown_cell("# Screws"), new_markdown_cell("## Training\n\nwords")
    for summary in (None, SUMMARY | {"answer": None}):
        text = export(tmp_path, *cells, summary=summary)
        assert "<summary>" not in text and "Training</h2>" in text


@pytest.mark.parametrize(
    "frame, kept",
    [
        (pd.DataFrame({"type": ["cut", "hole"]}), []),
        (pd.DataFrame({"type": ["cut", "hole"]}, index=["a", "b"]), ["a", "b"]),
        (pd.DataFrame({"type": ["cut", "hole"]}, index=[1, 0]), ["1", "0"]),
        # A named index says something, even where it counts.
        (pd.DataFrame({"type": ["cut"]}, index=pd.Index([0], name="label")), ["label", "0"]),
        (pd.DataFrame({"type": []}), []),
    ],
)
def test_tables_have_no_row_numbers(tmp_path, frame, kept):
    text = shown(tmp_path, {"text/html": frame.to_html(), "text/plain": "x"})
    heads = [head for head in re.findall(r"<th(?: [^>]*)?>(.*?)</th>", text, re.S) if head]
    assert heads == ["type", *kept]
    assert all(f"<td>{value}</td>" in text for value in frame["type"])


def test_what_is_not_known_is_a_dash_in_tables(tmp_path):
    frame = pd.DataFrame({"a": [np.nan, -1.5e-9], "b": ["cut", "NaN"], "c": [np.nan] * 2})
    text = shown(tmp_path, {"text/html": frame.to_html(), "text/plain": "x"})
    cells = re.findall(r"<td>(.*?)</td>", text)
    assert cells == ["–", "cut", "–", "-1.500000e-09", "NaN", "–"]
