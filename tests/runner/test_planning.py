"""Planned runs: their folders, and the key that says whether one is finished."""

import json
import os

import pytest

from adhelpers.runner import Request, UsageError
from adhelpers.runner.planning import KEY_FILE, recorded


@pytest.fixture
def request_for(tmp_path, write_notebook):
    """A request for one notebook that reads a category of four images."""
    write_notebook(tmp_path / "notebooks" / "01_one.ipynb", "print(seed)")
    for place in ("train/good", "test/good", "test/hole"):
        for number in range(4):
            file = tmp_path / "data" / "screw" / place / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"image")
    fixed = dict(results=tmp_path / "results", models=tmp_path / "models", data=tmp_path / "data")

    def make(**changed):
        return Request(**fixed | {"folder": tmp_path / "notebooks"} | changed)

    return make


def key(request, grid=None):
    [plan] = request.plan(grid)
    return plan.key


def test_the_key_changes_with_all_that_decides_and_with_nothing_else(
    tmp_path, request_for, write_notebook
):
    before, seen = key(request_for()), []
    for changed in (
        dict(results=tmp_path / "other", models=tmp_path / "other"),
        dict(name="other"),
        # What the default says anyway.
        dict(given=[("seed", "0")]),
        dict(given=[("seed", "00")]),
        dict(data=tmp_path / "data" / "screw"),
    ):
        assert key(request_for(**changed)) == before
    assert key(request_for(), {"seed": ["0"]}) == before
    seen.append(key(request_for(given=[("seed", "1")])))

    image = tmp_path / "data" / "screw" / "test" / "hole" / "0.png"
    stat = image.stat()
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    seen.append(key(request_for()))
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert key(request_for()) == before
    image.rename(image.with_name("9.png"))
    seen.append(key(request_for()))
    image.with_name("9.png").rename(image)
    # Another category beside it is not read.
    (tmp_path / "data" / "other.txt").write_text("x")
    assert key(request_for()) == before

    notebook = tmp_path / "notebooks" / "01_one.ipynb"
    content = json.loads(notebook.read_text())
    content["cells"][-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "0"}]
    content["cells"][-1]["execution_count"] = 3
    notebook.write_text(json.dumps(content))
    assert key(request_for()) == before
    content["cells"][-1]["source"] = "print(seed + 1)"
    notebook.write_text(json.dumps(content))
    seen.append(key(request_for()))
    assert len({before, *seen}) == len(seen) + 1


def test_every_combination_has_a_folder_of_its_own_beside_the_plain_run(request_for):
    grid = {"category": ["screw"], "seed": ["0", "1"], "rate": ["0.1", "0.2"]}
    plans = request_for().plan(grid)
    folders = [plan.folder.name for plan in plans]
    assert folders == [f"screw@seed-{s}_rate-{r}" for s in "01" for r in ("0.1", "0.2")]
    assert request_for().plan()[0].folder.name == "screw"
    assert plans[-1].changed()["seed"] == 1 and plans[-1].changed()["rate"] == 0.2
    assert request_for(given=[("verbose", "yes")]).plan({"category": ["screw"]})[0].name == (
        "verbose-yes"
    )


@pytest.mark.parametrize(
    "grid, problem",
    [
        ({"seed": ["1", "01"]}, "would be the same run"),
        ({"sed": ["1"]}, "did you mean seed"),
        ({"seed": ["1", "x"]}, "takes a whole number"),
        ({"category": ["screw", "nowhere"]}, "no category 'nowhere'"),
        ({"results": ["a"]}, "--results"),
    ],
)
def test_a_wrong_value_anywhere_in_a_grid_is_refused_before_anything_runs(
    tmp_path, request_for, grid, problem
):
    with pytest.raises(UsageError, match=problem):
        request_for().plan(grid)
    assert not (tmp_path / "results").exists()


def test_folders_that_differ_in_case_only_are_refused(tmp_path, request_for, write_notebook):
    write_notebook(tmp_path / "notebooks" / "02_text.ipynb", parameters='word = "a"')
    with pytest.raises(UsageError, match="in the same folder"):
        request_for(names=["02"], data=None).plan({"word": ["b", "B"]})


def test_finished_is_what_has_the_key_and_a_report(request_for):
    [plan] = request_for().plan()
    assert not plan.is_finished() and recorded(plan.folder) == {}
    plan.folder.mkdir(parents=True)
    (plan.folder / KEY_FILE).write_text(json.dumps({"key": plan.key, "seconds": 1}))
    assert not plan.is_finished()
    (plan.folder / "report.html").touch()
    assert plan.is_finished()
    [other] = request_for(given=[("seed", "1")]).plan()
    assert other.folder == plan.folder and not other.is_finished()
    for broken in ("", "[]", "{"):
        (plan.folder / KEY_FILE).write_text(broken)
        assert not plan.is_finished()
