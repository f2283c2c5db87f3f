"""The LaTeX table: names are text, the best is bold."""

import math
import re

import pytest

from adhelpers.reports.leaderboard.latex import latex_table, latex_text
from adhelpers.reports.leaderboard.page import BoardFigure, BoardMatrix


def figure(mean, deviation=math.nan, problem=""):
    return BoardFigure(mean, deviation, 1, math.nan, math.nan, problem)


def test_the_table_is_as_expected():
    matrix = BoardMatrix(
        "image AUROC",
        ["bolt", "nut_1"],
        {
            "A_1": [figure(0.9, 0.01), figure(0.5)],
            "B & C": [figure(0.95, problem="other test images"), figure(math.nan)],
        },
        {"A_1": (0.7, 2), "B & C": (math.nan, 0)},
        {"A_1": 1.0},
    )
    assert latex_table(matrix).splitlines() == [
        r"% \usepackage{booktabs}",
        r"\begin{tabular}{lcccc}",
        r"\toprule",
        r"Detector & bolt & nut\_1 & Mean & Rank \\",
        r"\midrule",
        r"A\_1 & \textbf{0.900} $\pm$ 0.010 & \textbf{0.500} & \textbf{0.700} & 1.00 \\",
        r"B \& C & 0.950$^\dagger$ & -- & -- & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"% $^\dagger$: not comparable with the others of its category",
    ]


@pytest.mark.parametrize("character", list('\\&%$#_{}~^<>|"'))
def test_no_character_of_a_name_is_a_command(character):
    text = latex_text(f"a{character}b")
    assert text != f"a{character}b"
    # What is left is letters and commands of this module alone.
    assert re.fullmatch(r"a(\\[&%$#_{}]|\\text[a-z]+\{\})b", text)
