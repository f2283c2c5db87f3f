"""What is ignored, lost, doubtful or changed on the way from files to images."""

from dataclasses import dataclass
from typing import Any

# A summary names no more files of a remark than this.
_NAMED = 20


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

    def as_dict(self) -> dict[str, Any]:
        """Plain values: kind, count, the first 20 files and the sentence.

        Examples
        --------
        >>> Remark("stray_file", ("notes.txt",), "1 file is not used: notes.txt").as_dict()["count"]
        1
        """
        return {
            "kind": self.kind,
            "count": len(self.files),
            "files": list(self.files[:_NAMED]),
            "sentence": self.sentence,
        }

    def __str__(self) -> str:
        return self.sentence
