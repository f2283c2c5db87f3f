from types import SimpleNamespace

from adhelpers.steps import as_markdown, sentences


def test_results_and_lists_are_joined_in_order():
    result = SimpleNamespace(findings=lambda: ["Two.", "Three."])
    assert sentences(["One."], result) == ["One.", "Two.", "Three."]
    assert as_markdown(result, ["Four."]).data == "- Two.\n- Three.\n- Four."
