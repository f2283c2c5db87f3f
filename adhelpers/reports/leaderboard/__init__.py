"""Detectors by categories: what the runs of a results folder say, compared."""

from .board import compare_runs

__all__ = ["compare_runs"]
