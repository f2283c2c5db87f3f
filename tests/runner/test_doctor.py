"""What is looked at, and what is said of what is missing."""

from importlib import metadata

import psutil
import pytest

from adhelpers.__main__ import main
from adhelpers.runner import doctor, examine


def by_name():
    return {one.name: one for one in examine()}


@pytest.fixture(scope="module")
def found():
    return by_name()


def test_everything_that_the_package_needs_is_looked_at(found):
    assert {"numpy", "keras", "tensorflow", "nbconvert", "skops"} <= set(found)
    assert found["numpy"].found == metadata.version("numpy") and found["numpy"].well
    assert "dask" not in found, "an extra is no requirement"
    assert found["notebooks"].found.startswith("9 in ")


def test_the_device_has_a_speed(found):
    assert "GFLOP/s" in found["device"].found
    speed = float(found["device"].found.split(", ")[1].split()[0])
    assert speed > 0


def test_what_is_missing_is_named_with_what_to_do(monkeypatch, tmp_path, capsys):
    real = metadata.version

    def version(name):
        if name in ("keras", "distributed"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(doctor, "_tensorflow", lambda: doctor.Check("device", "CPU"))
    monkeypatch.setenv("ADHELPERS_RESULTS", str(tmp_path / "not" / "there"))
    found = by_name()
    assert found["keras"].line() == "missing  keras: not installed; pip install keras"
    assert found["distributed"].line().startswith("without  distributed: not installed; for sweeps")
    assert found["results folder"].found.startswith(str(tmp_path / "not" / "there"))
    # What must be there decides the exit code; what may be there does not.
    assert main(["doctor"]) == 1
    assert "missing  keras" in capsys.readouterr().out
    monkeypatch.setattr(
        metadata, "version", lambda name: version("keras" if name == "dask-jobqueue" else "numpy")
    )
    assert main(["doctor"]) == 0


def test_little_memory_or_room_is_said_and_ends_nothing(monkeypatch):
    memory = psutil.virtual_memory()._replace(available=2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(doctor, "_DISK", 2**80)
    found = by_name()
    assert "close other programs" in found["machine"].advice and not found["machine"].required
    assert "make room" in found["models folder"].advice
