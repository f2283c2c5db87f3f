"""The page of a leaderboard: whole, self-contained, and safe whatever the names."""

import math
import re
from urllib.parse import unquote

from adhelpers.reports import compare_runs

HOSTILE = '"><img src=x onerror=alert(1)>'


def without_script(text):
    """A page without the script that its policy allows, and without that permission."""
    text = re.sub(r" script-src 'sha256-[^']+';", "", text)
    return re.sub(r"<script>.*?</script>", "", text, flags=re.S)


def page_of(results, path, **options):
    return compare_runs([results.folder], **options).write(path)[0].read_text()


def test_the_page_shows_what_was_planted(planted, tmp_path, assert_self_contained):
    folder = planted.add(
        "best",
        "bolt",
        0.99,
        seed=2,
        shortcut={
            "name": "noise",
            "auroc": 0.93,
            "separability": 0.93,
            "significant": True,
            "outside_defects": False,
        },
    )
    (folder / "report.html").write_text("x")
    page = assert_self_contained(without_script(page_of(planted, tmp_path / "board.html")))
    text = re.sub(r"\s+", " ", page.text)
    for part in (
        "41 runs of 4 detectors on 5 categories.",
        "0.963± 0.025",
        "noise",
        "AUROC 0.930, whole image",
        "Friedman and Nemenyi tests, 5 %",
        "of 6 pairs differ",
        "300",
    ):
        assert part in text
    (address,) = page.attributes("a", "href")
    assert (tmp_path / unquote(address)).resolve() == (folder / "report.html").resolve()
    assert "4 right reason" not in text and "12 right reason, 6 wrong reason, 6 missed" in "".join(
        page.attributes("div", "aria-label")
    )
    assert "Mean ranks, the best at the left: best 1.00" in page.attributes("img", "alt")[0]


def test_hostile_names_stay_text(results, tmp_path, assert_self_contained):
    for detector in ("a", HOSTILE):
        folder = results.add("x", "bolt", 0.9, name=str(len(detector)))
        results.change(
            folder,
            detector=detector,
            category=HOSTILE,
            verdicts={HOSTILE: 1},
            shortcut={"name": HOSTILE, "auroc": 0.5},
            parameters={HOSTILE: detector},
            threshold={"value": 1, "rule": HOSTILE, "uses_test_labels": False},
        )
    text = without_script(page_of(results, tmp_path / "board.html"))
    assert "<img src=x" not in text and "&lt;img src=x" in text
    assert_self_contained(text)


def test_half_of_a_pair_of_code_units_does_not_end_the_page(results, tmp_path):
    folder = results.add("x", "bolt", 0.9)
    results.change(folder, verdicts={"\ud800": 1})
    assert "\\ud800" in page_of(results, tmp_path / "board.html")


def test_what_is_not_comparable_is_marked_where_it_stands(results, tmp_path):
    for detector in ("a", "b"):
        results.add(detector, "bolt", 0.8)
    results.add("c", "bolt", 0.99, files={"test": "x", "train": "bolt train"})
    text = page_of(results, tmp_path / "board.html")
    marked = re.findall(r'title="not comparable: ([^"]+)"><span class="apart">([^<]+)</span>', text)
    assert ("other test images", "0.990") in marked
    assert len([value for _, value in marked if value == "0.990"]) == 2
    assert "<h2>What may not be compared</h2>" in text
    # The best figure of the category is the best of those that may be compared.
    assert "<b>0.800</b>" in text and "<b>0.990</b>" not in text


def test_figures_as_text():
    from adhelpers.reports.leaderboard.page import BoardFigure

    nothing = BoardFigure(math.nan, math.nan, 0, math.nan, math.nan, "")
    assert (str(nothing), nothing.spread, nothing.comparable) == ("–", "", False)
    one = BoardFigure(0.91234, math.nan, 1, 0.9, 0.95, "")
    assert (str(one), one.spread, one.comparable) == ("0.912", "[0.900, 0.950]", True)
    several = BoardFigure(0.9, 0.02, 3, math.nan, math.nan, "other test images")
    assert (str(several), several.spread) == ("0.900 ± 0.020", "± 0.020")
    assert not several.comparable
