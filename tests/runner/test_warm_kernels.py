"""Kernels that are forked from a parent which has imported everything."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest

from adhelpers.runner import run_notebooks, warm_kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")

ABOUT = """
import json, os, pathlib, sys
loaded = "adhelpers.steps" in sys.modules
import threading, tensorflow as tf
total = float(tf.function(lambda one: tf.reduce_sum(one * 2))(tf.ones((200, 200))))
facts = {"loaded": loaded, "folder": os.getcwd(), "given": os.environ["OMP_NUM_THREADS"],
         "parent": pathlib.Path(f"/proc/{os.getppid()}/cmdline").read_text(), "total": total,
         "leader": os.getsid(0) == os.getpid(), "name": __name__, "temporary": os.environ["TMPDIR"]}
pathlib.Path(os.environ["ADHELPERS_RUN_FOLDER"], "facts.json").write_text(json.dumps(facts))
"""
DRAWN = "from adhelpers.reports import image_grid\nimage_grid([[[0.0, 1.0], [1.0, 0.0]]])"
KILLED = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


def test_there_is_no_parent_where_it_saves_nothing_or_is_switched_off(monkeypatch):
    monkeypatch.setattr(warm_kernels.forkserver, "ensure_running", pytest.fail)
    monkeypatch.setenv("ADHELPERS_WARM_KERNELS", "1")
    assert not warm_kernels.warm_up({}, 1)
    monkeypatch.setattr(warm_kernels, "sys", SimpleNamespace(platform="darwin"))
    assert not warm_kernels.warm_up({}, 9)
    monkeypatch.undo()
    monkeypatch.setattr(warm_kernels.forkserver, "ensure_running", pytest.fail)
    monkeypatch.setenv("ADHELPERS_WARM_KERNELS", "0")
    assert not warm_kernels.warm_up({}, 9)
    monkeypatch.setenv("ADHELPERS_WARM_KERNELS", "1")
    monkeypatch.setattr(warm_kernels.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert not warm_kernels.warm_up({}, 9)


def test_a_parent_with_other_bounds_is_not_used(monkeypatch):
    monkeypatch.setenv("ADHELPERS_WARM_KERNELS", "1")
    monkeypatch.setattr(warm_kernels, "_parent_variables", [{"OMP_NUM_THREADS": "1"}])
    assert warm_kernels.warm_up({"OMP_NUM_THREADS": "1"}, 2)
    assert not warm_kernels.warm_up({"OMP_NUM_THREADS": "2"}, 2)


def test_a_parent_that_cannot_be_started_is_done_without(monkeypatch):
    def no_processes():
        raise OSError("no more processes")

    monkeypatch.setenv("ADHELPERS_WARM_KERNELS", "1")
    monkeypatch.setattr(warm_kernels.forkserver, "ensure_running", no_processes)
    before = dict(os.environ)
    assert not warm_kernels.warm_up({"OMP_NUM_THREADS": "7"}, 2) and dict(os.environ) == before
    assert warm_kernels._parent_variables == []


def test_a_kernel_that_cannot_be_forked_is_started_anew(tmp_path, write_notebook, monkeypatch):
    class Refused:
        def __init__(self, **options):
            pass

        def start(self):
            raise EOFError

    write_notebook(tmp_path / "notebooks" / "01_a.ipynb", "print('here')")
    monkeypatch.setattr(warm_kernels, "warm_up", lambda *_: True)
    context = SimpleNamespace(Process=Refused)
    monkeypatch.setattr(warm_kernels.multiprocessing, "get_context", lambda _: context)
    options = {"folder": tmp_path / "notebooks", "results": tmp_path / "r", "models": tmp_path}
    assert [one.problem for one in run_notebooks(**options)] == [None]


def test_forked_kernels_run_as_others_do(tmp_path, write_notebook):
    notebooks = tmp_path / "notebooks"
    for name, source in (("01_one", ABOUT), ("02_two", DRAWN), ("03_dead", KILLED)):
        write_notebook(notebooks / f"{name}.ipynb", source)
    command = [sys.executable, "-m", "adhelpers", "run", "--notebooks", str(notebooks)]
    command += ["--results", str(tmp_path / "results"), "--models", str(tmp_path / "models")]
    without_bounds = {name: one for name, one in os.environ.items() if "THREADS" not in name}
    environment = without_bounds | {"ADHELPERS_WARM_KERNELS": "1"}
    done = subprocess.run(
        [*command, "--jobs", "2"], env=environment, capture_output=True, text=True, timeout=300
    )
    written = tmp_path / "results"
    facts = json.loads((written / "01_one" / "screw" / "facts.json").read_text())
    assert facts["loaded"] and "forkserver" in facts["parent"] and facts["leader"]
    assert facts["folder"] == str(notebooks) and facts["name"] == "__main__"
    assert facts["total"] == 80_000 and int(facts["given"]) >= 1
    assert "adhelpers" in facts["temporary"]
    cell = nbformat.read(written / "02_two" / "screw" / "02_two.ipynb", 4).cells[-1]
    assert "image/png" in cell.outputs[0].data
    # One that dies is told, and the others go on.
    assert done.returncode == 1 and "the kernel died" in done.stderr
    assert "leaked" not in done.stderr and "Traceback" not in done.stderr
    assert "existing" not in done.stdout
