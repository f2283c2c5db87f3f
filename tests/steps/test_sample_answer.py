"""What to look at first; the answers themselves are tested with the steps of their notebooks."""

from adhelpers.steps.sample_answer import _first_of_each


def test_of_each_kind_the_heaviest_in_the_order_asked_for():
    kinds = ["passed", "missed", "false alarm", "missed", "passed"]
    chosen = _first_of_each(kinds, ("false alarm", "flagged", "missed"), [9, -3, 0, -2, 8])
    assert chosen.tolist() == [2, 3]
    assert _first_of_each([], ("missed",), []).tolist() == []
