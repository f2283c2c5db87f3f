"""What is ignored, lost, doubtful or changed on the way from files to images."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Remark:
    """Something about files that can be used, but that whoever reads the results should know.

    Attributes
    ----------
    kind : str
        A short stable key, such as ``"mask_empty"``.
    files : tuple of str
        Names within the category.
    sentence : str
        What it is, how many files it concerns, and what would be right.

    Examples
    --------
    >>> print(Remark("mask_empty", ("ground_truth/cut/000_mask.png",), "1 mask marks nothing"))
    1 mask marks nothing
    """

    kind: str
    files: tuple[str, ...]
    sentence: str

    def __str__(self) -> str:
        return self.sentence
