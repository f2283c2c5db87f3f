"""Lines on runs: what is shown and what is logged."""

import errno
import io
import re

import pytest

from adhelpers.runner import Shown


def test_the_log_has_every_line_and_keeps_what_it_held(tmp_path):
    log = tmp_path / "new" / "runs.log"
    for level in ("normal", "quiet"):
        text = io.StringIO()
        with Shown(text, log, level) as shown:
            shown.write("begun")
            shown.record("logged")
            shown.write("broken", problem=True)
        expected = "broken\n" if level == "quiet" else "begun\nbroken\n"
        assert text.getvalue() == expected
    lines = log.read_text().splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\d [\d:,]+ ", "", line) for line in lines] == [
        "begun",
        "logged",
        "broken",
    ] * 2


def test_a_log_that_cannot_be_opened_is_an_error_before_anything_runs(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Shown(io.StringIO(), tmp_path / "file" / "log")


def test_neither_a_closed_terminal_nor_a_full_disk_stops_the_runs(tmp_path):
    class Closed(io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

    with Shown(Closed(), tmp_path / "log") as shown:
        shown.write("begun")
        shown._log.close()
        shown._log = Closed()
        shown.write("more")
    assert (tmp_path / "log").read_text().endswith("begun\n")


def test_only_a_terminal_that_is_not_quiet_has_bars():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert Shown(Terminal()).interactive
    assert not Shown(Terminal(), level="quiet").interactive
    assert not Shown(io.StringIO()).interactive


def test_an_index_that_cannot_be_written_is_a_problem_in_one_line(tmp_path, monkeypatch):
    def fail(results):
        raise RuntimeError("trouble")

    monkeypatch.setattr("adhelpers.reports.write_index", fail)
    text = io.StringIO()
    Shown(text, level="quiet").rebuild_index(tmp_path)
    assert text.getvalue() == "warning: the index could not be written: trouble\n"
