"""The peak of a process's memory."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import psutil

from adhelpers._shared import memory
from adhelpers._shared.memory import peak_memory


def test_the_peak_stays_after_the_memory_was_freed():
    held = np.ones(8_000_000)
    during = peak_memory()
    del held
    # The kernel adds up what its threads report now and then: a few pages more or less.
    assert peak_memory() >= during - 2**20 and during > 64_000_000


def test_a_small_process_started_by_a_large_one_is_small():
    held = np.ones(30_000_000)
    code = "from adhelpers._shared.memory import peak_memory; print(peak_memory())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(told.stdout) < held.nbytes


def test_other_systems_are_asked_in_their_way(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    for info, expected in (
        (SimpleNamespace(peak_wset=5), 5),
        (SimpleNamespace(rss=5), None),
    ):
        process = SimpleNamespace(memory_info=lambda info=info: info)
        monkeypatch.setattr(psutil, "Process", lambda process=process: process)
        assert peak_memory() == expected
