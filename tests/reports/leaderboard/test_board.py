"""Leaderboards of planted runs: means, ranks, tests, and what may not be compared."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from adhelpers.metrics import compare_aurocs
from adhelpers.reports import compare_runs


def test_means_deviations_and_ranks_are_the_planted_ones(planted):
    board = compare_runs([planted.folder])
    table = board.table().set_index(["detector", "category"])
    assert table.shape[0] == 20 and board.problems == []
    cell = table.loc[("good", "grid")]
    assert cell["image_auroc"] == pytest.approx(0.86)
    assert cell["image_auroc_sd"] == pytest.approx(np.std([0.85, 0.87], ddof=1))
    assert (cell["image_auroc_runs"], cell["seeds"]) == (2, "0 1")
    assert cell["recall"] == 0.75 and cell["trust_adjusted_recall"] == 0.5
    assert cell["seconds"] == 4 and cell["peak_memory"] == 300 * 2**20
    assert cell["verdicts"] == "right reason 8; wrong reason 4; missed 4"
    assert math.isnan(cell["aupimo"]) and cell["image_auroc_mark"] == ""

    assert board.ranked_detectors == ["best", "fair", "good", "poor"]
    assert board.ranked.ranks.tolist() == [1, 3, 2, 4]
    # Five categories that agree: chi square 15 by the formula, n (k - 1).
    assert board.ranked.statistic == pytest.approx(15)
    assert board.ranked.p_value == pytest.approx(stats.chi2.sf(15, 3))
    matrix = board.matrix("image_auroc")
    assert list(matrix.rows) == ["best", "good", "fair", "poor"]
    assert matrix.means["best"] == (pytest.approx(0.91), 5)
    assert matrix.best() == ["0.950", "0.930", "0.910", "0.890", "0.870"]
    found = board.findings()
    assert found[0] == "40 runs of 4 detectors on 5 categories."
    assert found[1] == "Highest mean image AUROC over all categories: best, 0.910."
    assert found[2].startswith("The ranked detectors differ over 5 categories (Friedman, statistic")
    # The critical difference of 4 detectors on 5 categories is 2.1: only 1 and 4 are apart.
    assert "; best is better than poor." in found[2] and "a rough one" in found[2]
    assert board.figure().axes


def test_pairs_have_delongs_p_values(planted):
    pairs = compare_runs([planted.folder]).pairs
    assert len(pairs) == 5 * 6
    read = {
        (name, seed): pd.read_csv(planted.folder / f"05_ocsvm/bolt@{name}-{seed}/samples.csv")
        for name in ("best", "poor")
        for seed in (0, 1)
    }
    first, second = (
        np.stack([read[name, seed]["score"] for seed in (0, 1)]) for name in ("best", "poor")
    )
    expected = compare_aurocs(first, second, read["best", 0]["label"])
    row = pairs[(pairs.category == "bolt") & (pairs["first"] == "best") & (pairs.second == "poor")]
    assert row.difference.item() == expected.difference.value
    assert row.p_value.item() == expected.p_value
    of_bolt = pairs[pairs.category == "bolt"]
    assert (of_bolt.p_corrected >= of_bolt.p_value).all()
    smallest = of_bolt.p_value.min()
    assert of_bolt.p_corrected.min() == pytest.approx(min(1, 6 * smallest))


def test_other_test_images_are_marked_and_in_no_mean_and_no_test(planted):
    for seed in (0, 1):
        planted.add("best", "bolt", 1.0, seed=seed, files={"test": "easier", "train": "bolt train"})
    board = compare_runs([planted.folder])
    figure = board.matrix("image_auroc").rows["best"][0]
    assert str(figure) == "1.000 ± 0.000" and figure.problem == "other test images"
    matrix = board.matrix("image_auroc")
    assert matrix.means["best"] == (pytest.approx(0.90), 4)
    assert matrix.mean_text("best") == "0.900 (4 of 5)" and matrix.best()[0] == "0.900"
    # Four categories are left to rank.
    assert board.ranked_categories == ["cable", "grid", "pill", "tile"]
    assert not ((board.pairs.category == "bolt") & (board.pairs["first"] == "best")).any()
    assert "Highest mean image AUROC over all categories: good, 0.860." in board.findings()
    assert board.findings()[-1].startswith("1 cell of 20 holds figures that may not be compared")
    assert board.cells.remarks == ["best on bolt: other test images. This concerns all figures."]


def test_detectors_with_gaps_do_not_take_the_ranking_from_the_others(planted):
    planted.add("lonely", "bolt", 0.99)
    board = compare_runs([planted.folder])
    assert board.ranked_detectors == ["best", "fair", "good", "poor"]
    assert len(board.ranked_categories) == 5
    matrix = board.matrix("image_auroc")
    assert matrix.mean_text("lonely") == "0.990 (1 of 5)" and list(matrix.rows)[-1] == "lonely"
    assert matrix.best_mean() == "0.910"


def test_another_metric_can_rank(planted):
    board = compare_runs([planted.folder], "trust_adjusted_recall", "wilcoxon")
    # All have the same: nothing differs.
    assert board.ranked.p_value == 1
    assert "are not shown to differ over 5 categories" in board.findings()[2]
    board = compare_runs([planted.folder], "aupimo")
    assert board.ranked is None and board.figure() is None
    assert board.why_not == (
        "There is no ranking over categories: it needs 3 detectors with a comparable AUPIMO on 3 "
        "categories; of the 4 detectors on 5 categories too many lack it, or it may not be "
        "compared."
    )
    with pytest.raises(ValueError, match="metric must be one of image_auroc, pixel_auroc"):
        compare_runs([planted.folder], "auroc")
    with pytest.raises(ValueError, match="post_hoc must be one of nemenyi, wilcoxon"):
        compare_runs([planted.folder], post_hoc="tukey")


def test_one_run_is_a_leaderboard_that_says_why_it_has_no_ranking(results, tmp_path):
    folder = results.add("only", "bolt", 0.9)
    for place in (results.folder, folder, folder / "summary.json", folder.parent):
        board = compare_runs([place])
        assert board.findings() == [
            "1 run of 1 detector on 1 category.",
            "There is no ranking over categories: it needs 3 detectors with a comparable image "
            "AUROC on 3 categories, and there is 1 detector on 1 category.",
        ]
        assert board.pairs.empty
    figure = board.matrix("image_auroc").rows["only"][0]
    assert str(figure) == "0.900" and figure.spread == "[0.800, 1.000]"
    page, _, _, latex = board.write(tmp_path / "board.html")
    assert "it needs 3 detectors" in page.read_text() and r"\textbf{0.900}" in latex.read_text()


def test_files_that_cannot_be_read_are_named_on_the_page(planted, tmp_path):
    (planted.folder / "05_ocsvm/bolt@best-0/summary.json").write_text("{")
    (planted.folder / "05_ocsvm/bolt@best-1/samples.csv").write_text("name,score\na,x\n")
    board = compare_runs([planted.folder])
    assert len(board.problems) == 2
    assert board.problems[0].startswith("05_ocsvm/bolt@best-0/summary.json: cannot be read")
    assert "samples.csv cannot be read" in board.problems[1]
    assert board.matrix("image_auroc").rows["best"][0].runs == 1
    text = board.write(tmp_path / "board.html")[0].read_text()
    assert "bolt@best-0/summary.json: cannot be read" in text and "<h2>Not read</h2>" in text


def test_page_table_and_latex_lie_side_by_side(planted, tmp_path):
    written = compare_runs([planted.folder]).write(tmp_path / "out" / "board.html")
    assert [path.name for path in written] == [
        "board.html",
        "board.csv",
        "board_pairs.csv",
        "board.tex",
    ]
    table = pd.read_csv(written[1])
    assert len(pd.read_csv(written[2])) == 5 * 6 and set(table["notebook"]) == {"05_ocsvm"}
    assert len(table) == 20 and table["image_auroc"].max() == 0.95
    latex = written[3].read_text()
    assert re.search(r"best & \\textbf{0.950} \$\\pm\$ 0.014 & .* & \\textbf{0.910} & 1.00 ", latex)
    with pytest.raises(ValueError, match=r"output must be a file \.html"):
        compare_runs([planted.folder]).write(tmp_path / "board.pdf")
