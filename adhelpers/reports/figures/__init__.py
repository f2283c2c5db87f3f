"""Figures, one file a topic."""
