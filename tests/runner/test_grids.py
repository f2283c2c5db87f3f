"""Grids of a sweep: how they are given, what is refused, what the runs are called."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adhelpers.runner import UsageError
from adhelpers.runner.grids import combination_name, combinations, read_grid
from adhelpers.runner.notebooks import run_folder


def test_a_file_and_the_command_line_say_the_same(tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text(
        "category: [screw, hazelnut]\nseed: [0, 042]\nsizes:\n- [8, 16]\n- [12]\none: no"
    )
    typed = ["category=screw,hazelnut", "seed=0,042", "sizes=[8, 16],[12]", "one=no"]
    assert read_grid([str(file)]) == read_grid(typed)
    assert list(read_grid([str(file), "more=1"])) == ["category", "seed", "sizes", "one", "more"]


@pytest.mark.parametrize(
    "texts, problem",
    [
        (["01"], "notebooks are named before --sweep"),
        (["nowhere.yaml"], "there is no file nowhere.yaml"),
        (["seed=0", "seed=1"], "'seed' is given twice"),
        (["seed=0,1,0"], "seed: '0' is given twice"),
        (["seed="], "'seed' lacks a value"),
        (["seed=0,,1"], "'seed' lacks a value"),
        (["a=" + ",".join(map(str, range(101))), "b=" + ",".join(map(str, range(101)))], "10,201"),
    ],
)
def test_wrong_grids_are_refused(texts, problem):
    with pytest.raises(UsageError, match=problem):
        read_grid(texts)


@pytest.mark.parametrize(
    "text, problem",
    [
        ("seed: {a: 1}", "'seed' must have a list"),
        ("seed: [{a: 1}]", "'seed' must have a list"),
        ("[1, 2]", "must map names"),
        ("", "must map names"),
        ("seed: []", "'seed' lacks a value"),
        ("seed: [1\nx", "is not valid YAML"),
        ("a: &b [1]\nc: *b", "anchors"),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, problem):
    (tmp_path / "grid.yml").write_text(text)
    with pytest.raises(UsageError, match=problem):
        read_grid([str(tmp_path / "grid.yml")])


def test_every_combination_comes_once_and_the_last_parameter_changes_fastest():
    grid = {"a": ["1", "2"], "b": ["x", "y", "z"]}
    every = combinations(grid)
    assert every[:2] == [[("a", "1"), ("b", "x")], [("a", "1"), ("b", "y")]]
    assert len({tuple(one) for one in every}) == 6
    assert combinations({}) == [[]]


@given(
    st.lists(st.text(max_size=40), min_size=1, max_size=6, unique=True),
    st.one_of(st.none(), st.from_regex(r"\w[\w.-]{0,59}", fullmatch=True)),
)
def test_names_are_folders_and_differ_where_the_values_do(values, name):
    if name is not None and not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        name = None
    names = [combination_name([("seed", "1"), ("weights", value)], name=name) for value in values]
    assert len(set(names)) == len(values)
    for one in names:
        assert run_folder("screw", one) == f"screw@{one}"


def test_what_is_the_same_for_all_runs_is_in_their_names_too():
    pairs = [("category", "screw"), ("seed", "1")]
    plain = combination_name(pairs)
    others = [
        combination_name(pairs, given=[("rate", "0.1")]),
        combination_name(pairs, preset="full"),
        combination_name(pairs, preset="elsewhere/own.yaml"),
        combination_name(pairs, name="try"),
    ]
    assert [plain, *others] == [
        "seed-1",
        "rate-0.1_seed-1",
        "full_seed-1",
        "own_seed-1",
        "try_seed-1",
    ]
    assert re.fullmatch(r"weights--a-b-[0-9a-f]{8}", combination_name([("weights", "/a/b")]) or "")
