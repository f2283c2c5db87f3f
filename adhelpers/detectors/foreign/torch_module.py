"""A PyTorch module as a detector. PyTorch is used where it is installed and never needed."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from adhelpers._shared.arrays import Images

from .forward import ForwardDetector, Wanted
from .outputs import named_outputs
from .preprocessing import Preprocessing


def is_torch_module(thing: Any) -> bool:
    """Whether a thing is a PyTorch module; PyTorch is not imported for it."""
    return any(
        one.__name__ == "Module" and one.__module__.split(".")[0] == "torch"
        for one in type(thing).__mro__
    )


class TorchDetector(ForwardDetector):
    """A PyTorch module, which gets images (n, c, h, w), is set to ``eval`` and needs no gradients.

    Parameters
    ----------
    module : torch.nn.Module
        Returns a tensor, several, a dict, or an object with ``pred_score`` and ``anomaly_map``.
    title : str
    preprocessing : Preprocessing
        The number of channels is found from the first weights.
    wanted : Wanted
    examples : ndarray of float32, shape (n, h, w, c), optional
        Images to try it out with.
    """

    def __init__(
        self,
        module: Any,
        title: str,
        preprocessing: Preprocessing,
        wanted: Wanted,
        examples: Images | None = None,
    ) -> None:
        self._module, self._torch = module, sys.modules["torch"]
        self._first = next(iter(module.parameters()), None)
        form = preprocessing.over(Preprocessing(channels=self._channels(), layout="NCHW"))
        super().__init__(title, [form], wanted, examples=examples)

    def _channels(self) -> int | None:
        """The channels that the first weights of a convolution are for."""
        shape = () if self._first is None else tuple(self._first.shape)
        return shape[1] if len(shape) == 4 and shape[1] in (1, 3) else None

    def _forward(self, values: NDArray[Any], names: Sequence[str] | None) -> Mapping[str, Any]:
        # Whoever owns the module may have trained it on since the last call.
        self._module.eval()
        with self._torch.no_grad():
            given = self._torch.from_numpy(values)
            if self._first is not None:
                given = given.to(device=self._first.device, dtype=self._first.dtype)
            found = named_outputs(self._module(given))
        return {name: _to_numpy(one) for name, one in found.items()}


def _to_numpy(value: Any) -> Any:
    """A tensor as an array; half precision of kinds that NumPy lacks becomes float32."""
    if not hasattr(value, "detach"):
        return value
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).numpy()
