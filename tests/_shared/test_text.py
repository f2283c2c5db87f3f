"""Lists as people write them, cells as people read them."""

import pytest

from adhelpers._shared.text import escaped, listed, or_dash


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ()), (" , ", ()), ("a", ("a",)), ("a, b c,", ("a", "b c")), (3, ("3",))],
)
def test_names_between_commas(text, names):
    assert listed(text) == names


def test_a_missing_value_is_a_dash():
    assert or_dash(None) == "–" and or_dash(0) == "0" and or_dash("") == ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("fl\u00e4che \u30cd\u30b8.png", "fl\u00e4che \u30cd\u30b8.png"),
        ("a\\b \U0001f529.png", "a\\b \U0001f529.png"),
        ("\x1b[31m\a\x7f\x9b", "\\x1b[31m\\x07\\x7f\\x9b"),
        ("a\nb\tc\u2028", "a\\nb\\tc\\u2028"),
        ("gnp\u202eexe", "gnp\\u202eexe"),
        (b"caf\xe9\xff".decode("utf-8", "surrogateescape"), "caf\\xe9\\xff"),
        ("\ud800", "\\ud800"),
    ],
)
def test_names_are_shown_without_what_acts(name, shown):
    assert escaped(name) == shown
    assert escaped(shown) == shown and shown.encode()
