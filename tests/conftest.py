"""Fixtures for all tests, and how the whole suite is spread over two processes."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

# Long ones first, so that both processes end at about the same time.
_LONG_FIRST = (
    "notebooks/",
    "tests/browser/test_jupyterlab",
    "tests/detectors/",
    "tests/test_end_to_end",
    "tests/",
)

# A parent of kernels would import TensorFlow for notebooks of two lines.
os.environ["ADHELPERS_WARM_KERNELS"] = "0"
if "PYTEST_XDIST_WORKER" in os.environ:
    # Two processes on two cores: more threads only wait for each other. Before anything imports
    # NumPy; kernels inherit it.
    for _name in (
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ):
        os.environ.setdefault(_name, "1")

# Before any test imports TensorFlow by itself: its start-up is made quiet here.
import adhelpers  # noqa: E402, F401  (after the number of threads)


@pytest.fixture(scope="session")
def start_process():
    """Starts a command that signals end, also where a background job or nohup has them ignored."""

    def reset():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    def start(command, cwd):
        return subprocess.Popen(
            command,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=reset,
        )

    return start


@pytest.fixture
def in_processes(monkeypatch):
    """The parallel parts of a run are computed in two processes."""
    from adhelpers._shared.engine import ENGINE_VARIABLE, _executor

    monkeypatch.setenv(ENGINE_VARIABLE, "processes:2")
    yield
    if _executor.cache_info().currsize:
        _executor("processes:2", os.getpid())[0].shutdown()
        _executor.cache_clear()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Two processes for the whole suite; one file, or what has ``-n``, runs as it says."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.usepdb
    if whole and config.option.numprocesses is None and "PYTEST_XDIST_WORKER" not in os.environ:
        config.option.numprocesses = 2


def pytest_collection_modifyitems(items):
    def place(item):
        return next(
            (number for number, start in enumerate(_LONG_FIRST) if item.nodeid.startswith(start)),
            len(_LONG_FIRST),
        )

    items.sort(key=place)


@pytest.fixture(scope="session")
def real_data():
    """Folder with real images: ADHELPERS_REAL_DATA, or ``shared/data`` beside the project."""
    folder = Path(
        os.environ.get("ADHELPERS_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")
    )
    if not (folder / "mvtec_ad").is_dir():
        pytest.skip(
            f"no real images in {folder}; set ADHELPERS_REAL_DATA to a folder that holds "
            "mvtec_ad/<category>"
        )
    return folder
