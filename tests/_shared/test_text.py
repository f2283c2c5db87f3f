"""Lists as people write them."""

import pytest

from adhelpers._shared.text import listed


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ()), (" , ", ()), ("a", ("a",)), ("a, b c,", ("a", "b c")), (3, ("3",))],
)
def test_names_between_commas(text, names):
    assert listed(text) == names
