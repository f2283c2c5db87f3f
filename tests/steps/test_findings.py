from types import SimpleNamespace

from adhelpers.steps import as_markdown, sentences
from adhelpers.steps.findings import leading_findings


def test_results_and_lists_are_joined_in_order():
    result = SimpleNamespace(findings=lambda: ["Two.", "Three."])
    assert sentences(["One."], result) == ["One.", "Two.", "Three."]
    assert as_markdown(result, ["Four."]).data == "- Two.\n- Three.\n- Four."


def test_five_findings_each_result_in_turn():
    told = [["a", "b", "c"], ["d"], ["e", "f"]]
    results = [SimpleNamespace(findings=lambda said=said: said) for said in told]
    assert leading_findings(results) == ["a", "d", "e", "b", "f"]
