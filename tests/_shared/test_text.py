"""Lists as people write them, cells as people read them."""

import pytest

from adhelpers._shared.text import listed, or_dash


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ()), (" , ", ()), ("a", ("a",)), ("a, b c,", ("a", "b c")), (3, ("3",))],
)
def test_names_between_commas(text, names):
    assert listed(text) == names


def test_a_missing_value_is_a_dash():
    assert or_dash(None) == "–" and or_dash(0) == "0" and or_dash("") == ""
