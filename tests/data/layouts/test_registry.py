"""Layouts by their names."""

import re

import pytest

from adhelpers.data.layouts.registry import CLASSES, LAYOUTS, OPTIONS, make_layout


def test_every_layout_has_a_name_and_a_title_and_refines_others():
    assert len(LAYOUTS) == len(CLASSES)
    for name, kind in LAYOUTS.items():
        made = make_layout(name)
        assert isinstance(made, kind) and made.title
        assert set(made.refines) <= set(LAYOUTS) - {name}
    assert set(OPTIONS) <= set(LAYOUTS)
    # No two of them are each a special case of the other.
    pairs = {(name, other) for name, kind in LAYOUTS.items() for other in kind.refines}
    assert not any((other, name) in pairs for name, other in pairs)


def test_unknown_names_and_options_get_the_nearest():
    with pytest.raises(ValueError, match="not 'Visaa'; did you mean 'visa'?"):
        make_layout("Visaa")
    text = re.escape("the layout 'folders' has no option 'god'; its options are good, defect")
    with pytest.raises(ValueError, match=text):
        make_layout("folders", god="*")
    with pytest.raises(ValueError, match="the layout 'visa' has no option 'good'; it has no"):
        make_layout("visa", good="*")
