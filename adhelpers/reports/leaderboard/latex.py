"""One metric of all detectors on all categories as a LaTeX table."""

import math

from .page import BoardFigure, BoardMatrix

# What LaTeX reads as a command, and how it is written as text.
_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--",
}


def latex_text(text: str) -> str:
    r"""A name as LaTeX shows it; what LaTeX would read as a command becomes text.

    Examples
    --------
    >>> print(latex_text("AnoGAN_A(x), 50 % & more"))
    AnoGAN\_A(x), 50 \% \& more
    """
    return "".join(_LATEX.get(one, one) for one in text)


def latex_table(matrix: BoardMatrix) -> str:
    """A metric of all detectors on all categories as a LaTeX table (package booktabs).

    The best figure of each category is bold. A dagger marks what may not be compared; it is in no
    mean.

    Parameters
    ----------
    matrix : BoardMatrix

    Returns
    -------
    str
    """
    ranked = bool(matrix.ranks)
    heads = ["Detector", *matrix.categories, "Mean", *(["Rank"] if ranked else [])]
    best, best_mean = matrix.best(), matrix.best_mean()
    lines = [
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{l{'c' * (len(heads) - 1)}}}",
        r"\toprule",
        " & ".join(map(latex_text, heads)) + r" \\",
        r"\midrule",
    ]
    for detector, figures in matrix.rows.items():
        cells = [_latex_figure(figure, text) for figure, text in zip(figures, best, strict=True)]
        mean = matrix.mean_text(detector)
        cells.append(rf"\textbf{{{mean}}}" if mean == best_mean else latex_text(mean))
        if ranked:
            rank = matrix.ranks.get(detector)
            cells.append("--" if rank is None else f"{rank:.2f}")
        lines.append(" & ".join([latex_text(detector), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if any(figure.problem for figures in matrix.rows.values() for figure in figures):
        lines.append(r"% $^\dagger$: not comparable with the others of its category")
    return "\n".join(lines) + "\n"


def _latex_figure(figure: BoardFigure, best: str) -> str:
    if math.isnan(figure.mean):
        return "--"
    text = f"{figure.mean:.3f}"
    if figure.comparable and text == best:
        text = rf"\textbf{{{text}}}"
    if not math.isnan(figure.deviation):
        text += rf" $\pm$ {figure.deviation:.3f}"
    return text + (r"$^\dagger$" if figure.problem else "")
