"""Words that people write and read: lists in parameters, cells of tables, names of files."""

import unicodedata
from collections.abc import Sequence
from typing import Any

# Control characters, halves of pairs (bytes that are not UTF-8), ends of lines and paragraphs.
_ESCAPED_KINDS = ("Cc", "Cs", "Zl", "Zp")
# What reverses the direction of reading, so that "gnp.exe" reads as "exe.png".
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


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


def escaped(name: str) -> str:
    r"""The name of a file so that it can be shown, stored and encoded.

    What would act on a terminal (control characters, changes of direction) and bytes that are not
    UTF-8 become escapes; everything else stays, letters of any language too.

    Examples
    --------
    >>> print(escaped("große Schraube.png"), escaped("a\x1b[2J\n.png"), escaped("caf\udce9.png"))
    große Schraube.png a\x1b[2J\n.png caf\xe9.png
    """
    return "".join(_escape(one) if _acts(one) else one for one in name)


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _ESCAPED_KINDS or character in _TURNS


def _escape(character: str) -> str:
    code = ord(character)
    # Python reads a byte that is no UTF-8 as a half of a pair: 0xE9 as U+DCE9.
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
