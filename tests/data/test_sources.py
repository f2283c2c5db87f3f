"""The published data sets: what is said of them, here and in the documentation."""

from pathlib import Path

from adhelpers.data.layouts.registry import LAYOUTS
from adhelpers.data.sources import FORM, LOGIN, OPEN, SOURCES, source_lines

PAGE = (Path(__file__).resolve().parents[2] / "docs/datasets.md").read_text(encoding="utf-8")


def test_every_published_layout_has_its_licence_and_page():
    published = {one.layout for one in SOURCES}
    assert set(LAYOUTS) - published == {"csv", "coco", "coco_splits", "folders"}
    assert published - set(LAYOUTS) == {"notebook 06"}
    for one in SOURCES:
        assert one.page.startswith("https://") and one.license and one.how
        assert one.asks in (FORM, LOGIN, OPEN)


def test_the_page_says_the_same():
    for one in SOURCES:
        row = f"| {one.title} | `{one.layout}` | {one.content} | {one.license} | "
        assert f"{row}[{one.asks}]({one.page}) | {one.paper} |" in PAGE, one.title


def test_lines_name_all_of_them():
    text = "\n".join(source_lines())
    assert all(one.title in text and one.page in text for one in SOURCES)
