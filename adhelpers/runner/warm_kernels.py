"""Kernels that begin with everything imported: forked from one parent instead of started anew."""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from typing import Any
from uuid import uuid4

from jupyter_client import KernelManager
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

# "0" starts every kernel anew.
WARM_VARIABLE = "ADHELPERS_WARM_KERNELS"
# What every notebook imports; nothing of it computes or starts threads that outlive a fork.
_PRELOADED = ["adhelpers.steps", "ipykernel.kernelapp"]
_INLINE = "module://matplotlib_inline.backend_inline"
_lock = threading.Lock()
# The parent lives as long as this process; its libraries have read these variables.
_parent_variables: list[dict[str, str]] = []


def warm_up(environment: Mapping[str, str], kernels: int) -> bool:
    """Start the parent of kernels, which imports in the background.

    Parameters
    ----------
    environment : dict of str to str
        Bounds of threads, which libraries read when they are imported.
    kernels : int
        How many will be started; for one the parent would save nothing.

    Returns
    -------
    bool
        False where kernels are started anew: outside of Linux, for a single one, with an NVIDIA
        GPU, where ``ADHELPERS_WARM_KERNELS`` is 0, or where this process has a parent with other
        bounds.
    """
    switched_off = os.environ.get(WARM_VARIABLE, "1") == "0"
    # TensorFlow looks for a GPU when it is imported, and CUDA does not outlive a fork.
    if sys.platform != "linux" or kernels < 2 or switched_off or shutil.which("nvidia-smi"):
        return False
    wanted = dict(environment)
    with _lock:
        if not _parent_variables:
            multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOADED)
            try:
                with _inherited(wanted):
                    forkserver.ensure_running()
            except OSError:
                return False
            _parent_variables.append(wanted)
    return _parent_variables[0] == wanted


@contextmanager
def _inherited(variables: Mapping[str, str]) -> Iterator[None]:
    """A process that is started here has these variables, and Ctrl-C is not meant for it."""
    before = {name: os.environ.get(name) for name in variables}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(variables)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def use_warm_parent(manager: KernelManager) -> None:
    """Let a manager that has not started its kernel fork it from the parent."""
    manager.kernel_id = str(uuid4())
    manager.provisioner = _ForkedProvisioner(
        kernel_id=manager.kernel_id, kernel_spec=manager.kernel_spec, parent=manager
    )


class _ForkedKernel:
    """A forked process with what a provisioner asks of `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self.pid = process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()


class _ForkedProvisioner(LocalProvisioner):
    """Forks a kernel from the parent; where that fails it is started anew."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Launch the kernel of a command ``python … -m ipykernel_launcher …``."""
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        process = multiprocessing.get_context("forkserver").Process(
            target=_serve, args=(arguments, str(kwargs["cwd"]), dict(kwargs["env"]))
        )
        try:
            process.start()
        except (OSError, EOFError):
            return await super().launch_kernel(cmd, **kwargs)
        kernel: Any = _ForkedKernel(process)
        self.process, self.cwd = kernel, kwargs["cwd"]
        # It becomes the leader of a group of its own at once.
        self.pid = self.pgid = kernel.pid
        return self.connection_info


def _serve(arguments: Sequence[str], folder: str, environment: Mapping[str, str]) -> None:
    """Become a kernel, as ``python -m ipykernel_launcher`` does it."""
    import matplotlib
    from ipykernel.kernelapp import IPKernelApp
    from tqdm import tqdm

    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # What was read from the environment before it was this one.
    tempfile.tempdir = None
    matplotlib.rcParams["backend"] = os.environ.setdefault("MPLBACKEND", _INLINE)
    sys.path[:] = [place for place in sys.path if place not in ("", folder)]
    # One between processes would be reported as lost when the kernel is killed.
    tqdm.set_lock(threading.RLock())
    # The kernel ends when its parent, which has another number than the variable says, does.
    parent = f"--IPKernelApp.parent_handle={os.getppid()}"
    IPKernelApp.launch_instance(argv=[*arguments, parent])
