"""Says whether a visual anomaly detector can be trusted, and why it flags what it flags.

`adhelpers.data` loads images, `adhelpers.detectors` find anomalies, `adhelpers.explainers` say why,
`adhelpers.metrics` and `adhelpers.audit` measure it, `adhelpers.reports` draw it; `adhelpers.steps`
are what notebooks call, and `adhelpers.runner` runs them.
"""

from adhelpers._shared.quiet import install_quiet_tensorflow as _install_quiet_tensorflow

__version__ = "0.1.0"
__all__ = ["__version__"]

_install_quiet_tensorflow()
