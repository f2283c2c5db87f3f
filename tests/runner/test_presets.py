"""Which value each parameter gets, and what is refused before anything runs."""

from pathlib import Path

import pytest

from adhelpers.runner import UsageError, find_notebooks
from adhelpers.runner.presets import Preset, read_preset, values_for


def preset_of(**sections):
    return Preset("preset mine", Path(), sections)


def test_presets(folder, tmp_path):
    assert read_preset("quick", folder).sections == {}
    (folder / "presets").mkdir()
    path = folder / "presets" / "full.yaml"
    path.write_text("all: {seed: 042}\n01_screw: {rate: 1e-3}\n02_other:\n")
    full = read_preset("full", folder)
    assert full.sections == {"all": {"seed": "042"}, "01_screw": {"rate": "1e-3"}, "02_other": {}}
    assert full.source == "preset full" and full.folder == path.parent
    assert read_preset(str(path)).sections == full.sections
    assert values_for(find_notebooks((), folder), full) == [
        {"seed": 42, "rate": 0.001},
        {"seed": 42},
    ]
    with pytest.raises(UsageError, match="full, quick.*did you mean full"):
        read_preset("ful", folder)


def test_command_line_wins_over_data_over_preset(folder, tmp_path):
    notebooks = find_notebooks((), folder)
    (tmp_path / "screw").mkdir()
    preset = preset_of(
        **{"all": {"seed": "5", "rate": "2", "models": "m"}, "01_screw": {"seed": "6"}}
    )
    folders = {"results": tmp_path / "r", "models": tmp_path / "n"}
    first, second = values_for(notebooks, preset, given=[("seed", "7")], folders=folders)
    assert first == {
        "seed": 7,
        "rate": 2.0,
        "models": str(tmp_path / "n"),
        "results": str(tmp_path / "r"),
    }
    assert isinstance(first["rate"], float)
    assert second == {"seed": 7}
    assert values_for(notebooks, preset) == [
        {"seed": 6, "rate": 2.0, "models": str(Path("m").resolve())},
        {"seed": 5},
    ]


@pytest.mark.parametrize(
    "given, taken",
    [([], False), ([("dataset", "folder")], True), ([("dataset", "category")], True)],
)
def test_the_folder_of_images_is_for_notebooks_that_read_it(tmp_path, given, taken, write_notebook):
    source = 'dataset = "mnist"\ndata_root = ""'
    write_notebook(tmp_path / "07_labels.ipynb", parameters=source)
    options = {"folders": {"data_root": tmp_path}, "given": given}
    notebooks = find_notebooks((), tmp_path)
    if taken:
        assert values_for(notebooks, **options) == [dict(given) | {"data_root": str(tmp_path)}]
        return
    with pytest.raises(UsageError, match="data: no notebook that runs reads a folder of images"):
        values_for(notebooks, **options)


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("category", "metal", "metal"),
        ("models", "", ""),
        ("seed", "3", 3),
        ("rate", "1", 1.0),
        ("rate", "1e-3", 0.001),
        ("sizes", "[1, 2]", [1, 2]),
        ("layer", "3", 3),
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
        ("sizes", "3 4"),
        ("category", "a\nb"),
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
    assert "`python -m adhelpers list 01_screw` shows its parameters" in str(caught.value)
    assert str(caught.value).count("\n") < 5
    with pytest.raises(UsageError, match="02_other has no parameter 'rate'"):
        values_for(notebooks, given=[("rate", "1")])
    # "rate" is a parameter of the first notebook only: no error where only the second runs, in a
    # folder that holds both.
    shared = preset_of(all={"rate": "1", "seed": "2"})
    assert values_for(notebooks[1:], shared, others=notebooks) == [{"seed": 2}]
    with pytest.raises(UsageError, match="under 'all'"):
        values_for(notebooks[1:], preset_of(all={"rate": "1"}))
    with pytest.raises(UsageError, match="under 'all'.*did you mean seed"):
        values_for(notebooks, preset_of(all={"sed": "1"}))
    wrong = "preset mine: 02_other: seed takes a whole number, got '1:30'; the default is 1"
    with pytest.raises(UsageError, match=wrong):
        values_for(notebooks, preset_of(**{"02_other": {"seed": "1:30"}}))


def test_sections_are_named_as_notebooks_are(folder):
    notebooks = find_notebooks((), folder)
    assert values_for(notebooks, preset_of(**{"02": {"seed": "3"}})) == [{}, {"seed": 3}]
    # A section of a notebook that does not run is no mistake.
    aside = preset_of(**{"02_oth": {"seed": "3"}})
    assert values_for(notebooks[:1], aside, others=notebooks) == [{}]
    for name, problem in [
        ("01_scrwe", "'01_scrwe' is neither a notebook nor 'all'; did you mean 01_screw"),
        ("al", "'al' is neither a notebook nor 'all'; did you mean all"),
        ("0", "'0' fits 01_screw, 02_other"),
        ("", "'' is neither a notebook nor 'all'"),
        ("9" * 5000, "preset mine: the section '999"),
    ]:
        with pytest.raises(UsageError, match=problem) as caught:
            values_for(notebooks, preset_of(**{name: {"seed": "3"}}))
        assert len(str(caught.value)) < 200
    with pytest.raises(UsageError, match="two sections for 01_screw"):
        values_for(notebooks, preset_of(**{"01": {"seed": "3"}, "01_screw": {"seed": "4"}}))


def test_a_path_in_a_preset_is_relative_to_the_preset(tmp_path, write_notebook, monkeypatch):
    source = (
        'models = ""\nload_model = ""\n'
        'weights = "hed"  # hed (from pip), random or the path of a weights file'
    )
    write_notebook(tmp_path / "notebooks" / "01_a.ipynb", parameters=source)
    (tmp_path / "mine" / "stored").mkdir(parents=True)
    (tmp_path / "mine" / "hed").touch()
    (tmp_path / "hed.h5").touch()
    (tmp_path / "mine" / "p.yaml").write_text(
        "01_a:\n  models: m\n  load_model: stored\n  weights: ../hed.h5\n"
    )
    monkeypatch.chdir(tmp_path)
    notebooks = find_notebooks((), tmp_path / "notebooks")
    preset = read_preset("mine/p.yaml")
    assert values_for(notebooks, preset) == [
        {
            "models": str(tmp_path / "mine" / "m"),
            "load_model": str(tmp_path / "mine" / "stored"),
            "weights": str(tmp_path / "hed.h5"),
        }
    ]
    # On the command line from the caller's folder; a value that the comment names is no path.
    [values] = values_for(notebooks, given=[("load_model", "mine/stored"), ("weights", "random")])
    assert values == {"load_model": str(tmp_path / "mine" / "stored"), "weights": "random"}
    with pytest.raises(UsageError, match="-p load_model: 01_a: .* there is no .*/stored"):
        values_for(notebooks, given=[("load_model", "stored")])
    with pytest.raises(UsageError, match="there is no .*/randon; did you mean random"):
        values_for(notebooks, given=[("weights", "randon")])


@pytest.mark.parametrize(
    "options", [{"given": [("results", "x")]}, {"preset": preset_of(all={"results": "x"})}]
)
def test_the_folder_of_the_results_is_no_parameter_of_a_run(folder, options):
    with pytest.raises(UsageError, match="results is set with --results"):
        values_for(find_notebooks(["01"], folder), **options)


def test_a_folder_on_the_command_line_is_that_of_the_caller(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebooks = find_notebooks(["01"], folder)
    assert values_for(notebooks, given=[("data_root", ""), ("models", "m")]) == [
        {"data_root": "", "models": str(tmp_path / "m")}
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
    with pytest.raises(UsageError, match="preset mine: 01_flip: flip .*did you mean horizontal"):
        values_for(notebooks, preset_of(all={"flip": "horizontally"}))
