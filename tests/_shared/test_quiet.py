import os
import subprocess
import sys

import pytest

from adhelpers._shared.quiet import is_start_up_line, quiet_standard_error


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_tensorflow_starts_without_a_line_after_adhelpers():
    result = run("import adhelpers, tensorflow as tf; print(float(tf.constant(2.0) * 3))")
    assert result.returncode == 0 and result.stdout == "6.0\n" and result.stderr == ""


def test_importing_adhelpers_alone_does_not_load_tensorflow():
    result = run("import adhelpers, sys; print('tensorflow' in sys.modules)")
    assert result.stdout == "False\n"


def test_a_failing_import_shows_everything(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'I0000 oneDNN custom operations are on\\n')\n"
        "raise ImportError('libbroken.so is missing')\n"
    )
    result = run("import adhelpers, tensorflow", PYTHONPATH=str(tmp_path))
    assert result.returncode != 0
    assert "libbroken.so is missing" in result.stderr and "oneDNN" in result.stderr


def test_other_lines_come_through(capfd):
    with quiet_standard_error():
        os.write(2, b"I0000 port.cc:153] oneDNN custom operations are on.\nE0000 a real error\n")
    assert capfd.readouterr().err == "E0000 a real error\n"


@pytest.mark.parametrize(
    "line, expected",
    [
        (
            "I0000 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be "
            "used.",
            True,
        ),
        (
            "WARNING: All log messages before absl::InitializeLog() is called are written to "
            "STDERR",
            True,
        ),
        ("Traceback (most recent call last):", False),
        ("E0000 Out of memory", False),
    ],
)
def test_start_up_lines(line, expected):
    assert is_start_up_line(line) is expected


def test_a_gpu_that_fails_is_not_hidden(monkeypatch):
    line = "E0000 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error"
    monkeypatch.setattr("adhelpers._shared.quiet._has_gpu_device", lambda: False)
    assert is_start_up_line(line)
    monkeypatch.setattr("adhelpers._shared.quiet._has_gpu_device", lambda: True)
    assert not is_start_up_line(line)


def test_warnings_about_compiling_several_detectors_do_not_reach_reports():
    import logging

    import tensorflow  # noqa: F401  (its import sets the level)

    assert logging.getLogger("tensorflow").level == logging.ERROR
