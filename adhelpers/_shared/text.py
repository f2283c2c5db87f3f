"""Words that people write and read: lists in parameters, cells of tables."""

from typing import Any


def listed(text: Any) -> tuple[str, ...]:
    """The names in a text with commas between.

    Examples
    --------
    >>> listed("SHAP, residual map,")
    ('SHAP', 'residual map')
    """
    return tuple(name.strip() for name in str(text).split(",") if name.strip())


def or_dash(value: Any) -> str:
    """A value as a table's cell: its text, or a dash for None.

    Examples
    --------
    >>> or_dash(0.5), or_dash(None)
    ('0.5', '–')
    """
    return "–" if value is None else str(value)
