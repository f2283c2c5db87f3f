"""Which value each parameter gets, and what is refused before anything runs."""

import pytest

from adhelpers.runner import UsageError, find_notebooks
from adhelpers.runner.presets import read_preset, values_for


def test_presets(folder, tmp_path):
    assert read_preset("quick", folder) == {}
    (folder / "presets").mkdir()
    (folder / "presets" / "full.yaml").write_text(
        "all: {seed: 5}\n01_screw: {rate: 1e-3}\n02_other:\n"
    )
    assert read_preset("full", folder) == {
        "all": {"seed": 5},
        "01_screw": {"rate": "1e-3"},
        "02_other": {},
    }
    assert read_preset(str(folder / "presets" / "full.yaml")) == read_preset("full", folder)
    with pytest.raises(UsageError, match="full, quick.*did you mean full"):
        read_preset("ful", folder)
    for content, problem in [("a: [", "not valid YAML"), ("- 1", "must map"), ("a: 3", "must map")]:
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(UsageError, match=problem):
            read_preset(str(tmp_path / "bad.yaml"), folder)


def test_command_line_wins_over_data_over_preset(folder, tmp_path):
    notebooks = find_notebooks((), folder)
    preset = {"all": {"seed": 5, "data_root": "preset", "rate": 2}, "01_screw": {"seed": 6}}
    folders = {"data_root": tmp_path, "results": tmp_path / "r", "models": None}
    first, second = values_for(notebooks, preset, given=[("seed", "7")], folders=folders)
    assert first == {
        "seed": 7,
        "rate": 2.0,
        "data_root": str(tmp_path),
        "results": str(tmp_path / "r"),
    }
    assert isinstance(first["rate"], float)
    assert second == {"seed": 7}
    assert values_for(notebooks, preset) == [
        {"seed": 6, "rate": 2.0, "data_root": "preset"},
        {"seed": 5},
    ]


@pytest.mark.parametrize(
    "given, taken",
    [([], False), ([("dataset", "folder")], True), ([("dataset", "category")], True)],
)
def test_the_folder_of_images_is_for_notebooks_that_read_it(tmp_path, given, taken, write_notebook):
    source = 'dataset = "mnist"\ndata_root = ""'
    write_notebook(tmp_path / "07_labels.ipynb", parameters=source)
    (values,) = values_for(
        find_notebooks((), tmp_path), folders={"data_root": tmp_path}, given=given
    )
    assert values == dict(given) | ({"data_root": str(tmp_path)} if taken else {})


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("category", "no", "no"),
        ("category", "01", "01"),
        ("seed", "3", 3),
        ("rate", "1", 1.0),
        ("rate", "1e-3", 0.001),
        ("sizes", "[1, 2]", [1, 2]),
        ("layer", "conv3", "conv3"),
        ("layer", "null", None),
        ("verbose", "true", True),
    ],
)
def test_values_take_the_type_of_the_default(folder, name, text, value):
    [values] = values_for(find_notebooks(["01"], folder), given=[(name, text)])
    assert values == {name: value} and type(values[name]) is type(value)


@pytest.mark.parametrize(
    "name, text",
    [
        ("seed", "1.5"),
        ("seed", "x"),
        ("seed", "true"),
        ("rate", "fast"),
        ("rate", "true"),
        ("rate", "[1]"),
        ("verbose", "1"),
        ("sizes", "3"),
        ("seed", "null"),
        ("seed", "["),
    ],
)
def test_a_value_of_another_type_is_refused(folder, name, text):
    with pytest.raises(UsageError, match=rf"-p {name}"):
        values_for(find_notebooks(["01"], folder), given=[(name, text)])


def test_an_unknown_parameter_is_refused_with_the_right_ones(folder):
    notebooks = find_notebooks((), folder)
    with pytest.raises(UsageError) as caught:
        values_for(notebooks[:1], given=[("categry", "nut")])
    assert "did you mean category?" in str(caught.value)
    assert "seed = 0  random seed" in str(caught.value)
    with pytest.raises(UsageError, match="02_other has no parameter 'rate'"):
        values_for(notebooks, given=[("rate", "1")])
    # "rate" is a parameter of the first notebook only: no error where only the second runs, in a
    # folder that holds both.
    assert values_for(notebooks[1:], {"all": {"rate": 1, "seed": 2}}, others=notebooks) == [
        {"seed": 2}
    ]
    with pytest.raises(UsageError, match="under 'all'"):
        values_for(notebooks[1:], {"all": {"rate": 1}})
    with pytest.raises(UsageError, match="under 'all'.*did you mean seed"):
        values_for(notebooks, {"all": {"sed": 1}})
    with pytest.raises(
        UsageError, match="preset: 02_other: seed takes int, got 'x'; the default is 1"
    ):
        values_for(notebooks, {"02_other": {"seed": "x"}})


def test_a_folder_on_the_command_line_is_that_of_the_caller(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebooks = find_notebooks(["01"], folder)
    assert values_for(notebooks, given=[("data_root", "images"), ("models", "")]) == [
        {"data_root": str(tmp_path / "images"), "models": ""}
    ]


def test_a_value_that_the_comment_does_not_name_is_refused_with_those_that_it_does(
    tmp_path, write_notebook
):
    source = 'flip = "none"  # augmentation: none, horizontal or both; none is fast'
    write_notebook(tmp_path / "01_flip.ipynb", parameters=source)
    notebooks = find_notebooks((), tmp_path)
    assert values_for(notebooks, given=[("flip", "both")]) == [{"flip": "both"}]
    with pytest.raises(UsageError, match="-p flip: 01_flip: flip takes one of none, horizontal,"):
        values_for(notebooks, given=[("flip", "vertical")])
    with pytest.raises(UsageError, match="preset: 01_flip: flip .*did you mean horizontal"):
        values_for(notebooks, {"all": {"flip": "horizontally"}})
