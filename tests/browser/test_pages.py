"""The gallery and the index as a person uses them, in a real browser."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from adhelpers.reports import (
    SUMMARY_KEYS,
    Card,
    compare_runs,
    image_grid,
    write_gallery,
    write_index,
)
from adhelpers.reports.gallery import figure_webp

HOSTILE = "test/crack/<img src=x onerror=document.title='broken'>.png"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    picture = figure_webp(image_grid(np.zeros((3, 16, 16))))
    kinds = ["good", "crack", "hole"]
    cards = [
        Card(
            HOSTILE if index == 4 else f"test/{kinds[index % 3]}/{index}.png",
            kinds[index % 3],
            index,
            (7 * index) % 12 / 12,
            "flagged" if index % 2 else "passed",
            (index % 3 > 0) == bool(index % 2),
            {"SHAP": index / 20 if index % 3 else None},
            picture,
            verdict=("right reason" if index % 2 else "missed")
            if index % 3
            else ("false alarm" if index % 2 else "passed"),
        )
        for index in range(12)
    ]
    path = tmp_path_factory.mktemp("pages") / "gallery.html"
    return write_gallery(
        path,
        title="Nuts",
        settings={"seed": 0},
        tables={"Counts": pd.DataFrame({"type": kinds, "images": 4})},
        cards=cards,
    )


def becomes(page, expression, value):
    """Wait until an expression has a value; the pages' policy forbids Playwright's own polling."""
    for _ in range(100):
        if page.evaluate(expression) == value:
            return
        page.wait_for_timeout(100)
    assert page.evaluate(expression) == value


def shown(page, key):
    return page.eval_on_selector_all(
        ".card:not([hidden])", f"cards => cards.map(card => card.dataset.{key})"
    )


def test_filters_by_type_decision_outcome_and_verdict(open_page, gallery):
    open_file, trouble = open_page
    page = open_file(gallery)
    assert page.locator("#count").inner_text() == "12 of 12 images"
    for key, value, count in (
        ("type", "crack", 4),
        ("decision", "flagged", 6),
        ("verdict", "right reason", 4),
        ("outcome", "missed", 4),
    ):
        page.select_option(f"[data-filter={key}]", value)
        assert (
            shown(page, key) == [value] * count
            and page.locator("#count").inner_text() == f"{count} of 12 images"
        )
        page.select_option(f"[data-filter={key}]", "")
    page.select_option("[data-filter=type]", "good")
    page.select_option("[data-filter=verdict]", "right reason")
    assert shown(page, "index") == [] and page.locator("#none").is_visible()
    assert trouble == []


def test_sorts_by_score_and_jaccard_with_what_has_none_last(open_page, gallery):
    open_file, trouble = open_page
    page = open_file(gallery)
    page.select_option("#sort", "score down")
    scores = [float(value) for value in shown(page, "score")]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 12
    page.select_option("#sort", "jaccard0 up")
    values = shown(page, "jaccard0")
    assert values[8:] == [None] * 4 and [float(value) for value in values[:8]] == sorted(
        float(value) for value in values[:8]
    )
    assert trouble == []


def test_a_picture_is_enlarged_and_leafed_through_by_mouse_and_keyboard(open_page, gallery):
    open_file, trouble = open_page
    page = open_file(gallery)
    page.locator(".enlarge").nth(1).click()
    assert (
        page.locator("#viewer").is_visible()
        and page.locator("#viewer-position").inner_text() == "2 of 12"
    )
    page.keyboard.press("ArrowRight")
    assert page.locator("#viewer-position").inner_text() == "3 of 12"
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert page.locator("#viewer-position").inner_text() == "12 of 12"
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    # Back where the reader was, and from there Enter opens it again.
    page.keyboard.press("Enter")
    assert page.locator("#viewer-position").inner_text() == "12 of 12"
    assert trouble == []


def test_a_hostile_file_name_stays_text(open_page, gallery):
    open_file, trouble = open_page
    page = open_file(gallery)
    assert page.locator(".card bdi").nth(4).inner_text() == HOSTILE
    page.locator(".enlarge").nth(4).click()
    assert page.locator("#viewer-name").inner_text() == HOSTILE
    assert page.title() != "broken" and page.locator("img[src=x]").count() == 0 and trouble == []


@pytest.mark.parametrize("scheme", ("light", "dark"))
def test_a_phone_shows_all_of_it_without_scrolling_sideways(open_page, gallery, scheme):
    open_file, trouble = open_page
    page = open_file(
        gallery,
        viewport={"width": 390, "height": 844},
        is_mobile=True,
        has_touch=True,
        color_scheme=scheme,
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in ground[4:-1].split(",")[:3]) / 3
    assert (brightness > 128) == (scheme == "light") and trouble == []


def test_a_strip_shows_that_it_goes_on_beyond_the_edge_until_its_end_is_reached(open_page, gallery):
    open_file, trouble = open_page
    shaded = "document.querySelectorAll('.card .strip.more').length"
    wide = open_file(gallery)
    wide.wait_for_timeout(200)
    assert wide.evaluate(shaded) == 0
    page = open_file(gallery, viewport={"width": 390, "height": 844}, is_mobile=True)
    becomes(page, shaded, 12)
    first = page.locator(".card .strip").first
    # The sign lies over the visible end of the picture, and adds nothing to its length.
    sizes = first.evaluate("s => [s.scrollWidth, s.querySelector('img').clientWidth]")
    assert sizes[0] == sizes[1] > 390
    first.evaluate("s => { s.scrollLeft = s.scrollWidth }")
    becomes(page, shaded, 11)
    assert trouble == []


def test_the_index_warns_of_a_shortcut_and_keeps_hostile_folders_text(open_page, tmp_path):
    summary = dict.fromkeys(SUMMARY_KEYS) | {
        "notebook": "01_screw",
        "detector": "VAE-GAN",
        "image_auroc": {"value": 0.99, "low": 0.98, "high": 1.0},
        "confusion": {"tp": 9, "fn": 1, "tn": 10, "fp": 0},
        "shortcut": {
            "name": "mean_brightness",
            "auroc": 0.0,
            "separability": 1.0,
            "significant": True,
        },
        "verdicts": {"right reason": 4, "wrong reason": 5},
        "trust_adjusted_recall": 0.4,
        "seconds": {"training": 3.0},
    }
    folder = tmp_path / "01_screw" / "<b onclick=x>screw"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    write_index(tmp_path)
    open_file, trouble = open_page
    page = open_file(tmp_path / "index.html")
    text = page.locator("tbody tr").inner_text()
    recall = "0.90 [0.55, 1.00] → 0.40 [0.12, 0.74]".replace(", ", ",\N{NO-BREAK SPACE}")
    for part in ("<b onclick=x>screw", "mean brightness 1.00", recall):
        assert part in text
    page.locator("summary", has_text="more").click()
    assert "5 wrong reason" in page.locator("tbody tr").inner_text()
    assert page.locator("td.bad", has_text="mean brightness").count() == 1
    assert page.locator("td b[onclick]").count() == 0 and trouble == []


@pytest.fixture
def index(tmp_path):
    """Runs whose order differs by each column, one without figures, one that failed."""
    answers = {"b": "Do not trust it yet", "a": "Use it", "c": "Use the simpler one", "none": None}
    for name, auroc, alarms in (("b", 0.9, 2), ("a", 0.75, 10), ("c", 0.8, 1), ("none", None, 0)):
        folder = tmp_path / "01_screw" / name
        folder.mkdir(parents=True)
        answer = {"answer": answers[name], "because": "Because.", "look_first": []}
        shortcut = {"name": f"{'zyx'['bac'.index(name)]} blur", "auroc": auroc} if auroc else None
        summary = dict.fromkeys(SUMMARY_KEYS) | {
            "answer": answer if answers[name] else None,
            "image_auroc": {"value": auroc, "low": auroc, "high": auroc},
            "confusion": {"tp": 9, "fn": 1, "tn": 20 - alarms, "fp": alarms} if auroc else None,
            "shortcut": shortcut,
        }
        (folder / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "01_screw" / "a" / "01_screw.failed.ipynb").write_text("x")
    return write_index(tmp_path)


def test_a_click_on_a_columns_name_sorts_the_index(index, open_page):
    open_file, trouble = open_page
    page = open_file(index)

    def order():
        return [text.strip() for text in page.locator("td[data-column=category]").all_inner_texts()]

    assert order() == ["a", "a", "b", "c", "none"]
    # What has no value, such as the failed run of a, stays at the end.
    for name, expected in (
        ("Answer", ["a", "c", "b"]),
        ("Image AUROC", ["a", "c", "b"]),
        ("False alarms", ["c", "b", "a"]),
        ("Shortcut", ["a", "c", "b"]),
    ):
        head = page.get_by_role("button", name=name)
        head.click()
        assert order()[:3] == expected and set(order()[3:]) == {"a", "none"}
        head.click()
        assert order()[:3] == expected[::-1] and set(order()[3:]) == {"a", "none"}
        assert page.locator("th[aria-sort=descending]").inner_text().startswith(name)
    assert page.locator("th[aria-sort]").count() == 1 and trouble == []


def test_a_click_sorts_one_table_of_the_leaderboard_and_leaves_the_others(tmp_path, open_page):
    for name, figures in {"b": (0.9, 0.6), "a": (0.75, 0.8), "none": (None, 0.7)}.items():
        for category, auroc in zip(("nut", "bolt"), figures, strict=True):
            folder = tmp_path / name / category
            folder.mkdir(parents=True)
            summary = dict.fromkeys(SUMMARY_KEYS) | {
                "detector": name,
                "category": category,
                "data": {"fingerprint": category},
                "image_auroc": {"value": auroc, "low": None, "high": None},
            }
            (folder / "summary.json").write_text(json.dumps(summary))
    open_file, trouble = open_page
    page = open_file(compare_runs([tmp_path]).write(tmp_path / "board.html")[0])

    def order(table):
        cells = page.locator("table").nth(table).locator("td[data-column=detector]")
        return [text.strip() for text in cells.all_inner_texts()]

    before = order(-1)
    head = page.locator("table").first.get_by_role("button", name="nut")
    head.click()
    assert order(0) == ["a", "b", "none"]
    head.click()
    assert order(0) == ["b", "a", "none"] and order(-1) == before
    page.locator("table").first.get_by_role("button", name="bolt").click()
    assert order(0) == ["b", "none", "a"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and trouble == []


@pytest.mark.parametrize("width", [400, 1280])
def test_the_index_fits_the_page_whatever_the_names(tmp_path, open_page, width):
    long = "x" * 200
    figure = {"value": 0.123, "low": 0.1, "high": 0.2}
    folder = tmp_path / long / long
    folder.mkdir(parents=True)
    summary = dict.fromkeys(SUMMARY_KEYS) | {
        **dict.fromkeys(("image_auroc", "pixel_auroc", "aupro", "aupimo"), figure),
        "answer": {"answer": "Not enough images to say", "because": long, "look_first": []},
        "detector": long,
        "threshold": {"value": 1, "rule": long, "uses_test_labels": True},
        "confusion": {"tp": 900, "fn": 1, "tn": 1000, "fp": 100},
        "trust_adjusted_recall": 0.5,
        "shortcut": {"name": long, "auroc": 0.9, "significant": True},
        "verdicts": {long: 3},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "figures").mkdir()
    Image.new("RGB", (800, 320)).save(folder / "figures" / "images.png")
    open_file, trouble = open_page
    page = open_file(write_index(tmp_path), viewport={"width": width, "height": 900})
    date = page.locator("td.date").inner_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d\s\d\d:\d\d", date)
    page.locator("summary", has_text="more").click()
    for element in ("document.documentElement", "document.querySelector('.scroll')"):
        assert page.evaluate(f"{element}.scrollWidth - {element}.clientWidth") <= 0
    assert page.locator(".thumbnail").bounding_box()["width"] == 160 and trouble == []


def test_cards_stand_as_they_were_given_until_they_are_sorted(open_page, tmp_path):
    picture = figure_webp(image_grid(np.zeros((1, 16, 16))))
    cards = [
        Card(f"test/{index}.png", "good", index, 0.1, "passed", True, {}, picture, verdict="passed")
        for index in (2, 0, 1)
    ]
    path = write_gallery(tmp_path / "g.html", title="t", settings={}, tables={}, cards=cards)
    open_file, trouble = open_page
    page = open_file(path)
    assert shown(page, "index") == ["2", "0", "1"]
    page.select_option("#sort", "index up")
    assert shown(page, "index") == ["0", "1", "2"] and trouble == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_long_gallery_is_left_through_to_the_next_page_and_back(open_page, tmp_path, width):
    picture = figure_webp(image_grid(np.zeros((1, 16, 16))))
    cards = [
        Card(f"test/{index}.png", "good", index, 0.1, "passed", True, {}, picture, verdict="passed")
        for index in range(305)
    ]
    path = write_gallery(tmp_path / "g#1.html", title="t", settings={}, tables={}, cards=cards)
    open_file, trouble = open_page
    page = open_file(path, viewport={"width": width, "height": 800})
    assert page.locator("#count").inner_text() == "300 of 300 images"
    for element in page.locator("nav.pages >> nth=0").locator("a, b").all():
        assert min(element.bounding_box()[side] for side in ("width", "height")) >= 44
    page.locator("nav.pages >> nth=1").locator("a", has_text="2").click()
    assert shown(page, "index") == [str(index) for index in range(300, 305)]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("nav.pages >> nth=0").locator("a", has_text="1").click()
    assert len(shown(page, "index")) == 300
    assert [one for one in trouble if not one.startswith(tmp_path.as_uri())] == []
