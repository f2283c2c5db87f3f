"""Hypothesis for all tests of metrics: no deadlines, because a busy machine is not a failure."""

import hypothesis

hypothesis.settings.register_profile("metrics", deadline=None)
hypothesis.settings.load_profile("metrics")
