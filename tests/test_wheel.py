"""The wheel alone, installed where there is no checkout, runs a notebook."""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

# Without traces of the checkout.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("ADHELPERS_") and name not in ("PYTHONPATH", "VIRTUAL_ENV")
} | {"TF_CPP_MIN_LOG_LEVEL": "3"}


def run(*command, **options):
    return subprocess.run(
        [str(one) for one in command],
        capture_output=True,
        text=True,
        timeout=600,
        env=ENVIRONMENT,
        **options,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Python of a fresh environment with the wheel; what it depends on is that of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    # Building writes into the folder that is built.
    source = folder / "source"
    for name in ("adhelpers", "notebooks"):
        shutil.copytree(
            PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    built = run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source)
    if built.returncode and "setuptools" in built.stderr:
        pytest.skip("no package index is reached, from which pip takes the tool that builds wheels")
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    place = folder / "environment"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    done = run(*pip, "--python", python, "install", "--quiet", "--no-deps", wheel)
    assert done.returncode == 0, done.stderr
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    here = [one for one in site.getsitepackages() if Path(one).is_dir()]
    # A .pth in a folder that a .pth has added is not read, so the checkout stays out of sight.
    Path(packages.stdout.strip(), "others.pth").write_text(
        "\n".join({*here, sysconfig.get_path("purelib")})
    )
    return python


def test_the_package_and_its_notebooks_are_those_of_the_wheel(installed, tmp_path):
    found = run(installed, "-c", "import adhelpers; print(adhelpers.__file__)", cwd=tmp_path)
    assert str(installed.parents[1]) in found.stdout
    listed = run(installed.parent / "adhelpers", "list", cwd=tmp_path)
    assert listed.returncode == 0 and listed.stdout.count("_screw: 01") == 1, listed.stderr
    copied = run(installed.parent / "adhelpers", "lab", "mine", "--only-copy", cwd=tmp_path)
    assert copied.returncode == 0, copied.stderr
    names = {one.name for one in (tmp_path / "mine").glob("*.ipynb")}
    assert names == {one.name for one in (PROJECT / "notebooks").glob("*.ipynb")}


def test_a_notebook_runs_and_writes_into_the_working_folder(installed, tmp_path):
    done = run(installed, "-m", "adhelpers", "run", "08_your_detector", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = tmp_path / "results" / "08_your_detector" / "metal" / "report.html"
    assert "Use it" in report.read_text() or "Do not trust it yet" in report.read_text()
