"""The gallery's file, parsed as a browser does: it loads nothing and runs no text as code."""

import base64
import hashlib
import re
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib.colors import to_rgb
from PIL import Image

from adhelpers.reports import Sample, sample_strip
from adhelpers.reports import style as _style
from adhelpers.reports.figures import VERDICT_COLORS
from adhelpers.reports.gallery import Card, figure_webp, write_gallery

HOSTILE = "<img src=x onerror=alert(1)>.png"


class Interval(NamedTuple):
    value: float
    low: float
    high: float


@pytest.fixture(scope="module")
def picture():
    buffer = BytesIO()
    Image.new("RGB", (8, 4), "white").save(buffer, format="webp")
    return buffer.getvalue()


def make_card(picture, **changes):
    values = {
        "name": "test/crack/000.png",
        "type": "crack",
        "index": 3,
        "score": 0.31685,
        "decision": "flagged",
        "correct": True,
        "jaccards": {"LIME": 0.25, "SHAP": None},
        "picture": picture,
    }
    return Card(**(values | changes))


def written(tmp_path, cards, **changes):
    values = {"title": "screw", "settings": {"seed": 0}, "tables": {}, "cards": cards}
    path = write_gallery(tmp_path / "gallery.html", **(values | changes))
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_a_card_for_each_image_with_its_facts(tmp_path, picture):
    cards = [
        make_card(picture),
        make_card(
            picture,
            name="test/good/000.png",
            type="good",
            index=4,
            score=0.1,
            decision="passed",
            jaccards={"LIME": None, "SHAP": float("nan")},
        ),
        make_card(
            picture,
            name="test/good/001.png",
            type="good",
            index=5,
            correct=False,
            badges=("right reason",),
            extra={"repair": 0.5},
        ),
    ]
    page = written(tmp_path, cards)
    articles = page.select("article.card")
    assert [article.bdi.text for article in articles] == [card.name for card in cards]
    facts = [re.sub(r"\s+", " ", article.select_one(".facts").text).strip() for article in articles]
    assert facts[0] == "crack flagged score 0.317 J* LIME 0.25 J* SHAP –"
    assert facts[1] == "good passed score 0.1 J* LIME – J* SHAP –"
    assert (
        facts[2]
        == "good flagged: false alarm right reason score 0.317 J* LIME 0.25 J* SHAP – repair 0.5"
    )
    for article, card in zip(articles, cards, strict=True):
        kind, data = article.img["src"].split(",", 1)
        assert kind == "data:image/webp;base64" and base64.b64decode(data) == card.picture
        assert card.name in article.img["alt"] and card.decision in article.img["alt"]
        assert article.select_one("button.enlarge img") is not None


def test_data_attributes_are_numbers_and_left_out_where_there_is_none(tmp_path, picture):
    page = written(
        tmp_path,
        [make_card(picture, score=np.float32(0.1)), make_card(picture, score=float("inf"))],
    )
    first, second = page.select("article.card")
    assert float(first["data-score"]) == float(np.float32(0.1)) and int(first["data-index"]) == 3
    assert float(first["data-jaccard0"]) == 0.25 and "data-jaccard1" not in first.attrs
    assert "data-score" not in second.attrs
    assert (first["data-type"], first["data-decision"], first["data-outcome"]) == (
        "crack",
        "flagged",
        "correct",
    )


def test_controls_offer_every_type_decision_and_explainer(tmp_path, picture):
    cards = [
        make_card(picture),
        make_card(picture, type="good"),
        make_card(picture, type="cut", jaccards={"residual map": 0.1}),
    ]
    page = written(tmp_path, cards)
    options = {
        select["data-filter"]: [option["value"] for option in select.select("option")]
        for select in page.select("[data-filter]")
    }
    assert options["type"] == ["", "good", "crack", "cut"]
    assert options["decision"] == ["", "flagged", "passed"]
    sorts = {option["value"]: option.text for option in page.select("#sort option")}
    assert sorts["jaccard2 up"] == "J* of residual map, lowest first" and {
        "order up",
        "index up",
        "score down",
        "score up",
    } <= set(sorts)
    assert all(select.find_parent("label") is not None for select in page.select("select"))
    # Without scripts the controls would do nothing, so the page shows them only once its script
    # runs.
    assert page.select_one("#controls").has_attr("hidden")


def test_no_reference_leaves_the_file(tmp_path, picture):
    text = str(written(tmp_path, [make_card(picture)], tables={"T": pd.DataFrame({"a": [1]})}))
    page = BeautifulSoup(text, "html.parser")
    assert (
        "http:" not in text
        and "https:" not in text
        and "@import" not in text
        and "url(" not in text
    )
    assert not page.select("link, iframe, object, embed, base, script[src], a[href]")
    assert all(image.get("src", "data:").startswith("data:") for image in page.select("img"))
    assert not [
        tag
        for tag in page.find_all(True)
        if any(name.startswith("on") or name == "style" for name in tag.attrs)
    ]


def test_the_policy_forbids_the_network_and_allows_only_the_gallerys_own_script(tmp_path, picture):
    page = written(tmp_path, [make_card(picture)])
    policy = page.select_one("meta[http-equiv=Content-Security-Policy]")["content"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    digest = base64.b64encode(hashlib.sha256(page.script.string.encode()).digest()).decode()
    assert (
        rules["default-src"] == "'none'"
        and rules["img-src"] == "data:"
        and rules["script-src"] == f"'sha256-{digest}'"
    )
    assert len(page.select("script")) == 1


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        '"><script>alert(1)</script>',
        "' onmouseover='alert(1)",
        "</script><b>",
        "{{ 7 * 7 }}",
        "a&amp;b",
    ],
)
def test_hostile_text_stays_text_everywhere(tmp_path, picture, text):
    card = make_card(
        picture, name=text, type=text, jaccards={text: 0.5}, badges=(text,), extra={text: text}
    )
    page = written(
        tmp_path,
        [card],
        title=text,
        settings={text: text},
        notes=[text],
        tables={text: pd.DataFrame({text: [text]}, index=pd.Index([text], name=text))},
    )
    article = page.select_one("article.card")
    assert article.bdi.text == text and article["data-type"] == text and text in article.img["alt"]
    assert (
        page.title.text == text and page.h1.text == text and page.select_one("p.note").text == text
    )
    assert page.select_one("#controls [data-filter=type] option:last-child")["value"] == text
    assert [cell.text for cell in page.select("table th, table td")] == [text] * 4
    assert len(page.select("script")) == 1 and len(page.select("img")) == 2
    assert not [name for tag in page.find_all(True) for name in tag.attrs if name.startswith("on")]


def test_a_file_name_that_is_not_utf8_is_written(tmp_path, picture):
    page = written(tmp_path, [make_card(picture, name="test/\udce9.png")])
    assert page.select_one("article bdi").text == "test/\\udce9.png"


def test_tables_show_numbers_estimates_words_and_dashes(tmp_path, picture):
    table = pd.DataFrame(
        {
            "estimate": [
                Interval(0.96812, 0.94, 0.99),
                Interval(0.8, float("nan"), float("nan")),
                None,
            ],
            "count": [97, 22, 31],
            "value": [1234.5678, np.inf, 0.00012345],
            "used": [True, False, None],
        },
        index=["image AUROC", "accuracy", "F1"],
    )
    page = written(
        tmp_path,
        [make_card(picture)],
        tables={"Detection": table, "Plain": pd.DataFrame({"a": ["b"]})},
    )
    assert [section.h2.text for section in page.select(".tables section")] == ["Detection", "Plain"]
    first, second = page.select("table")
    assert [[cell.text for cell in row.select("td")] for row in first.select("tbody tr")] == [
        ["image AUROC", "0.968 [0.94, 0.99]", "97", "1235", "yes"],
        ["accuracy", "0.8", "22", "–", "no"],
        ["F1", "–", "31", "0.000123", "–"],
    ]
    assert [cell.text for cell in second.select("th, td")] == ["a", "b"]
    assert [cell.get("class") for cell in first.select("thead th")] == [
        None,
        ["number"],
        ["number"],
        ["number"],
        None,
    ]
    two_levels = pd.DataFrame(
        {"n": [1]}, index=pd.MultiIndex.from_tuples([("test", "cut")], names=["split", "type"])
    )
    page = written(tmp_path, [make_card(picture)], tables={"Counts": two_levels})
    assert [cell.text for cell in page.select("table th, table td")] == [
        "split",
        "type",
        "n",
        "test",
        "cut",
        "1",
    ]


def test_tables_come_before_the_cards(tmp_path, picture):
    page = written(tmp_path, [make_card(picture)], tables={"Counts": pd.DataFrame({"n": [1]})})
    assert page.table.sourceline < page.article.sourceline


def test_a_run_without_cards_masks_or_tables_is_a_page_too(tmp_path, picture):
    assert "No test images." in written(tmp_path, [], settings={}).text
    page = written(tmp_path, [make_card(picture, jaccards={})])
    assert "Jaccard" not in page.main.text and len(page.select("#sort option")) == 4


def test_settings_of_any_kind_are_readable(tmp_path, picture):
    settings = {
        "splits": {"train": 0.8, "n": 3},
        "sizes": [256, 96],
        "crop": None,
        "nan": float("nan"),
    }
    page = written(tmp_path, [], settings=settings)
    assert [tag.text for tag in page.select("dd")] == ["train: 0.8, n: 3", "256, 96", "–", "–"]


def test_bad_cards_are_refused_by_name(picture):
    with pytest.raises(
        ValueError,
        match="decision of card 'test/crack/000.png' must be 'flagged' or 'passed'; it is 'unsure'",
    ):
        make_card(picture, decision="unsure")
    with pytest.raises(
        ValueError, match="picture of card 'test/crack/000.png' must be the bytes of a WebP"
    ):
        make_card(b"\xff\xd8\xff\xe0 a JPEG")


def test_styles_for_phone_print_and_dark(tmp_path, picture):
    page = written(tmp_path, [make_card(picture)])
    style = page.style.string
    assert (
        "prefers-color-scheme: dark" in style
        and "@media (max-width" in style
        and "break-inside: avoid" in style
    )
    assert (
        page.select_one("meta[name=viewport]")["content"].startswith("width=device-width")
        and page.html["lang"] == "en"
    )


def test_verdicts_have_the_colours_of_the_verdict_figure(tmp_path, picture):
    style = written(tmp_path, [make_card(picture)]).style.string
    for verdict, color in VERDICT_COLORS.items():
        assert f'[data-verdict="{verdict}"] .pill.verdict {{ border-color: {color}; }}' in style


def test_a_strip_is_small_and_keeps_the_colours_that_mean_something():
    random = np.random.default_rng(0)
    smooth = np.kron(random.random((16, 16)), np.ones((8, 8)))
    mask = np.zeros((128, 128), dtype=bool)
    mask[40:60, 40:90] = True
    heatmap = np.where(np.roll(mask, 10, axis=0), 1.0, -0.1)
    sample = Sample(
        smooth[..., None],
        {"LIME": heatmap, "SHAP": heatmap},
        smooth[..., None],
        smooth,
        mask=mask,
        score=0.5,
        name="test/crack/000.png",
        optimal={"LIME": (0.4, 0.5), "SHAP": (0.4, 0.5)},
    )
    figure = sample_strip(sample, threshold=0.4)
    content = figure_webp(figure)
    picture = Image.open(BytesIO(content))
    width, height = figure.get_size_inches()
    # The canvas cuts off a fraction of a pixel.
    assert abs(picture.width - 100 * width) <= 1 and abs(picture.height - 100 * height) <= 1
    assert picture.format == "WEBP" and len(content) < 40_000
    # Flat areas keep the colours that mean something, up to the loss of the format.
    seen = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    for color in (_style.OVERLAP, _style.GROUND_TRUTH, _style.EXPLANATION, "white"):
        meant = np.round(255 * np.array(to_rgb(color)))
        assert (np.abs(seen - meant).max(axis=1) <= 6).sum() > 50, color


def test_a_picture_shows_what_the_figure_shows_and_leaves_its_resolution():
    figure = _style.new_figure(2, 1)
    figure.figimage(np.kron(np.random.default_rng(0).random((5, 10)), np.ones((20, 20))))
    figure.set_dpi(72)
    full = BytesIO()
    figure.savefig(full, format="png", dpi=100)
    exact = np.asarray(Image.open(full).convert("RGB"), dtype=float)
    webp = Image.open(BytesIO(figure_webp(figure, dpi=100)))
    found = np.asarray(webp.convert("RGB"), dtype=float)
    assert found.shape == exact.shape and figure.get_dpi() == 72
    assert np.abs(found - exact).mean() < 4


def test_findings_after_the_first_three_are_folded(tmp_path):
    notes = [f"finding <{number}>" for number in range(5)]
    options = {"title": "t", "settings": {}, "tables": {}, "cards": []}
    text = write_gallery(tmp_path / "g.html", notes=notes, **options).read_text()
    fold = text.index("More findings")
    assert [text.index(f"finding &lt;{n}&gt;") < fold for n in range(5)] == [True] * 3 + [False] * 2
    few = write_gallery(tmp_path / "f.html", notes=notes[:3], **options).read_text()
    assert "More findings" not in few


def numbered(picture, count):
    return [
        make_card(picture, index=index, name=f"test/crack/{index:03}.png") for index in range(count)
    ]


def test_many_cards_are_spread_over_pages_that_name_each_other(tmp_path, picture):
    options = {"notes": ["a note"], "tables": {"T": pd.DataFrame({"a": [1]})}}
    first = written(tmp_path, numbered(picture, 650), **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gallery-2.html",
        "gallery-3.html",
        "gallery.html",
    ]
    pages = [first] + [
        BeautifulSoup((tmp_path / f"gallery-{number}.html").read_text("utf-8"), "html.parser")
        for number in (2, 3)
    ]
    names = [[card.bdi.text for card in page.select("article")] for page in pages]
    assert [len(one) for one in names] == [300, 300, 50]
    assert sum(names, []) == [f"test/crack/{index:03}.png" for index in range(650)]
    for number, page in enumerate(pages, start=1):
        for links in page.select("nav.pages"):
            others = {1: "gallery.html", 2: "gallery-2.html", 3: "gallery-3.html"}
            assert links.b.text == str(number) and links.b["aria-current"] == "page"
            del others[number]
            assert {int(link.text): link["href"] for link in links.select("a")} == others
        assert len(page.select("nav.pages")) == 2
        # Each page has all that it needs.
        assert page.select_one("style") and page.select_one("script")
        assert page.select_one("#controls") is not None
    assert ["a note" in page.text for page in pages] == [True, False, False]
    assert [len(page.select("table")) for page in pages] == [1, 0, 0]
    assert "Images 301 to 600 of 650" in pages[1].text


def test_three_hundred_cards_are_one_page_without_links(tmp_path, picture):
    page = written(tmp_path, numbered(picture, 300))
    assert len(page.select("article")) == 300 and not page.select("nav, a")
    assert [path.name for path in tmp_path.iterdir()] == ["gallery.html"]


def test_pages_of_a_longer_gallery_are_removed_and_nothing_else(tmp_path, picture):
    written(tmp_path, numbered(picture, 901))
    (tmp_path / "gallery-5.html").write_text("<p>somebody's own")
    written(tmp_path, numbered(picture, 301))
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"gallery.html", "gallery-2.html", "gallery-5.html"}
