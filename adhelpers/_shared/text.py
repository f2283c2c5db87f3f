"""Words that people write and read: lists in parameters, cells of tables."""

from collections.abc import Sequence
from typing import Any


def listed(text: Any) -> tuple[str, ...]:
    """The names in a text with commas between.

    Examples
    --------
    >>> listed("SHAP, residual map,")
    ('SHAP', 'residual map')
    """
    return tuple(name.strip() for name in str(text).split(",") if name.strip())


def and_list(words: Sequence[str]) -> str:
    """Words as a sentence lists them.

    Examples
    --------
    >>> and_list(["LIME"]), and_list(["LIME", "SHAP"]), and_list(["a", "b", "c"])
    ('LIME', 'LIME and SHAP', 'a, b and c')
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def or_dash(value: Any) -> str:
    """A value as a table's cell: its text, or a dash for None.

    Examples
    --------
    >>> or_dash(0.5), or_dash(None)
    ('0.5', '–')
    """
    return "–" if value is None else str(value)
