"""Where tests write: never into the project's own results and models, also those of notebooks.

At the root, because notebooks are validated from their own folder too (``pytest notebooks``).
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parent
_NAMES = ("results", "models")
_before = {}

# Processes of xdist, kernels and commands that tests start inherit these.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _folder = tempfile.mkdtemp(prefix="adhelpers-tests-")
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    for _name in _NAMES:
        os.environ[f"ADHELPERS_{_name.upper()}"] = str(Path(_folder, _name))


def _stamps():
    """Size and time of each file and folder in the project's own results and models."""
    paths = [path for name in _NAMES for path in (PROJECT / name).rglob("*")]
    stats = {path: path.lstat() for path in paths}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def pytest_sessionstart(session) -> None:
    """Remember what is there."""
    if not hasattr(session.config, "workerinput"):
        _before.update(_stamps())


def pytest_sessionfinish(session) -> None:
    """Fail where something has changed."""
    if hasattr(session.config, "workerinput"):
        return
    changed = sorted(str(path) for path, _ in set(_before.items()) ^ set(_stamps().items()))
    if changed:
        shown = "\n  ".join(dict.fromkeys(changed))
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"\nchanged while the tests ran, which must not be:\n  {shown}")
        session.exitstatus = 1
