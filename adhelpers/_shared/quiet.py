"""Keeps TensorFlow's start-up lines out of notebooks, reports and terminals but hides no error.

TensorFlow's C++ side writes to file descriptor 2 before its own log level applies, so
``TF_CPP_MIN_LOG_LEVEL`` alone does not silence it. The first ``import tensorflow`` after ``import
adhelpers`` runs with descriptor 2 turned into a file; whatever is not a known start-up line is
written out afterwards, and everything is when the import fails.
"""

import importlib.abc
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_START_UP_LINE = re.compile(
    r"All log messages before absl::InitializeLog|oneDNN custom operations are on|"
    r"Could not find cuda drivers|TensorFlow binary is optimized to use|"
    r"To enable the following instructions|Unable to register cu\w+ factory|"
    r"computation_placer already registered|TF-TRT Warning|Could not find TensorRT|"
    r"Cannot dlopen some GPU libraries|Skipping registering GPU devices"
)
# On a machine that has a GPU this line is a real error.
_NO_GPU_LINE = re.compile(r"failed call to cuInit|Failed call to cuInit")


def _has_gpu_device() -> bool:
    return any(Path(path).exists() for path in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg"))


def is_start_up_line(line: str) -> bool:
    """Whether a line of standard error is one of TensorFlow's harmless start-up lines.

    Examples
    --------
    >>> is_start_up_line("I0000 port.cc:153] oneDNN custom operations are on.")
    True
    >>> is_start_up_line("E0000 out of memory")
    False
    """
    if _START_UP_LINE.search(line):
        return True
    return bool(_NO_GPU_LINE.search(line)) and not _has_gpu_device()


@contextmanager
def quiet_standard_error() -> Iterator[None]:
    """Hold back what is written to file descriptor 2; on exit write all but start-up lines.

    If the body raises, everything is written out: the lines may explain the error.
    """
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:
        # Started without a standard error (pythonw, some services): nothing to keep quiet.
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            held.seek(0)
            lines = held.read().decode("utf-8", "replace").splitlines(keepends=True)
            sys.stderr.write(
                "".join(line for line in lines if failed or not is_start_up_line(line))
            )
            sys.stderr.flush()


class _QuietLoader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with quiet_standard_error():
            self._loader.exec_module(module)
            # The search for a GPU complains at its first use, which would otherwise be somewhere in
            # the user's notebook.
            module.config.list_physical_devices("GPU")
            # It warns where several detectors of one kind are compiled, each for itself and each
            # only once.
            module.get_logger().setLevel("ERROR")


class _QuietFinder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


def install_quiet_tensorflow() -> None:
    """Make the first ``import tensorflow`` of this process quiet, if it is still to come."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" not in sys.modules and not any(
        isinstance(finder, _QuietFinder) for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, _QuietFinder())
