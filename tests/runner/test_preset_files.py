"""Presets are read as texts, and nothing of YAML that they do not need."""

import pytest

from adhelpers.runner import UsageError
from adhelpers.runner.preset_files import read_sections


def read(tmp_path, content):
    path = tmp_path / "p.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_sections(path)


def test_scalars_stay_as_they_are_written(tmp_path):
    content = (
        "# a comment\nall:\n  seed: 042\n  start: 1:30\n  name: no\n  day: 2024-01-01\n"
        '  quoted: "007"\n  empty:\n  filters: [016, 1e-3]\n  several:\n    - null\n    - ~\n'
        "01:\n07_deep_sad: {}\n"
    )
    assert read(tmp_path, content) == {
        "all": {
            "seed": "042",
            "start": "1:30",
            "name": "no",
            "day": "2024-01-01",
            "quoted": "007",
            "empty": "",
            "filters": ["016", "1e-3"],
            "several": ["null", "~"],
        },
        "01": {},
        "07_deep_sad": {},
    }


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "\ufeff"])
def test_a_file_without_sections_sets_nothing(tmp_path, content):
    assert read(tmp_path, content) == {}


BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "content, problem",
    [
        ("a: [", "is not valid YAML"),
        (b"a: \xff", "is not valid YAML"),
        ("a: \x01", "is not valid YAML"),
        ('a: {b: "\\UFFFFFFFF"}', "is not valid YAML"),
        (f"%YAML {'9' * 5000}.1\n--- a", "is not valid YAML"),
        ("- 1", "must map a notebook's name"),
        ("a: 3", "must map a notebook's name"),
        ("a: [b]", "must map a notebook's name"),
        ("plain", "must map a notebook's name"),
        (BOMB, "line 1: 'a': anchors .* are not read"),
        ("a: {b: *c}", "line 1: 'a': 'b': anchors .* are not read"),
        ("all:\n  <<: *base", "line 2: 'all': '<<': anchors"),
        ("a:\n  b: !!set {x, y}", "line 2: 'a': 'b': the tag '.*set' is not read"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: 'a': the tag '.*' is not read"),
        ("a: {b: ! c}", "the tag '!' is not read"),
        ("a: " + "[" * 90_000, "'a': nested too deeply"),
        ("{" * 90_000, "a name must be a text"),
        ("- " * 40_000, "nested too deeply"),
        ("a: {b: {c: {d: e}}}", "'a': 'b': 'c': nested too deeply"),
        ("a: {b: [[c]]}", "'a': 'b': nested too deeply"),
        ("a: {? [b] : c}", "line 1: 'a': a name must be a text"),
        ("a: {b: 1}\na: {c: 2}", "line 2: 'a': is set twice"),
        ("a:\n  b: 1\n  b: 2", "line 3: 'a': 'b': is set twice"),
        ("a: {b: 1}\n---\na: {b: 2}", "line 2: a second document"),
        ("a: {b: " + "9" * 200_000 + "}", "has more than 100,000 bytes"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_preset_is_refused_with_its_place(tmp_path, content, problem):
    with pytest.raises(UsageError, match=problem) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "p.yaml")) and "\n" not in message
    assert len(message) < len(str(tmp_path)) + 400
