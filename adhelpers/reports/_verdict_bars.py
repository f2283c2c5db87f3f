"""Counts of verdicts as a bar in a table's cell, and the legend of its colours."""

from collections.abc import Iterable, Mapping

from .figures import VERDICT_COLORS

_OTHER = "#444444"


def verdict_bar(counts: Mapping[str, int]) -> list[tuple[str, str, str, str]]:
    """Each verdict that was given, its text, its share of the bar in percent, and its colour.

    Raises
    ------
    ValueError
        If a count is negative.
    """
    if any(count < 0 for count in counts.values()):
        raise ValueError(f"{counts} are no counts")
    total = sum(counts.values())
    return [
        (name, f"{count:d} {name}", f"{100 * count / total:.2f}", VERDICT_COLORS.get(name, _OTHER))
        for name, count in counts.items()
        if count
    ]


def verdict_legend(names: Iterable[str]) -> dict[str, str]:
    """The colours of the verdicts that a page shows; all unknown ones have one name and colour."""
    given = set(names)
    legend = {name: color for name, color in VERDICT_COLORS.items() if name in given}
    if given - set(VERDICT_COLORS):
        legend["other"] = _OTHER
    return legend
