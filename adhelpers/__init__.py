"""Can I trust my visual anomaly detector, and why does it flag what it flags?

The rooms: :mod:`adhelpers.data`, :mod:`adhelpers.detectors`, :mod:`adhelpers.explainers`,
:mod:`adhelpers.metrics`,
:mod:`adhelpers.audit`, :mod:`adhelpers.reports`; :mod:`adhelpers.runner.suite` runs the notebooks.
"""

from adhelpers._shared.quiet import install_quiet_tensorflow as _install_quiet_tensorflow

__version__ = "0.1.0"
__all__ = ["__version__"]

_install_quiet_tensorflow()
