"""Finds, runs and watches notebooks; inside a notebook, the folder and the files of a run."""
