"""What the summaries of runs say, read so that they can be compared with each other."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from adhelpers._shared.files import error_sentence
from adhelpers._shared.text import escaped

# Of a summary in bytes; those of runs have some ten thousand.
_LARGEST = 20_000_000
# Why a file stands for a run that has no summary, by its ending.
_WITHOUT = {
    ".ipynb": "the last run failed; this notebook shows where",
    ".html": "there is no summary.json beside it",
}
# What a leaderboard compares, by its key, as people read it.
METRICS = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "aupimo": "AUPIMO",
    "recall": "recall",
    "trust_adjusted_recall": "recall, right reason",
}
# They depend on how the images were cut and scaled.
OF_PIXELS = ("pixel_auroc", "aupro", "aupimo")
# They depend on the threshold.
OF_DECISIONS = ("recall", "trust_adjusted_recall")
# Parameters that do not say what was run, but where and how often.
_PLACES = ("category", "data_root", "dataset", "import_from", "models", "results", "seed")
# These are files and folders, of which only the name is looked at.
_FILES = ("maps", "model", "onnx", "scores")
# Of how images were loaded, what a map's pixels depend on.
_FRAME = ("image_size", "crop", "fit", "margin", "pose")


@dataclass(frozen=True)
class BoardRun:
    """One detector of one run.

    Attributes
    ----------
    summary, samples : Path
        The files with its figures and with the score of each image.
    notebook, category, detector : str
    seed : int or None
    parameters : dict of str to str
        Those that say what was run, each as JSON.
    figures : dict of str to float
        By the keys of `METRICS`; NaN where the run has none.
    intervals : dict of str to tuple of float
        The 95 % interval of a figure, where there is one.
    verdicts : dict of str to int
    shortcut : dict
        The best single statistic: ``name``, ``separability``, ``significant``,
        ``outside_defects``; empty where none was measured.
    seconds, peak_memory : float
        Of the whole run; NaN where it does not say it.
    data : dict of str to str
        What must be equal for figures to be comparable: ``test``, ``train``, ``held_out``,
        ``frame`` and ``rule``.
    uses_test_labels : bool
        Whether the threshold does.
    """

    summary: Path
    samples: Path
    notebook: str
    category: str
    detector: str
    seed: int | None
    parameters: dict[str, str]
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    verdicts: dict[str, int]
    shortcut: dict[str, Any]
    seconds: float
    peak_memory: float
    data: dict[str, str]
    uses_test_labels: bool = False

    @property
    def place(self) -> str:
        """The file of the run, short enough for a sentence."""
        return escaped("/".join(self.summary.parts[-3:]))


@dataclass(frozen=True)
class ReadRuns:
    """All runs that could be read, and why others could not.

    Attributes
    ----------
    runs : list of BoardRun
    problems : list of str
        A sentence for each file or folder that was left out.
    """

    runs: list[BoardRun]
    problems: list[str] = field(default_factory=list)


def read_runs(places: Sequence[str | Path]) -> ReadRuns:
    """Read the summaries of runs.

    Parameters
    ----------
    places : sequence of str or Path
        Folders of results (``<notebook>/<category>/``), of one notebook or of one run, or files
        ``summary*.json``.

    Returns
    -------
    ReadRuns

    Raises
    ------
    FileNotFoundError
        If a place does not exist, or no place holds a run that can be read; it is named.
    """
    runs: list[BoardRun] = []
    problems: list[str] = []
    for path in dict.fromkeys(file.resolve() for place in places for file in _files(Path(place))):
        short = escaped("/".join(path.parts[-3:]))
        if path.suffix in _WITHOUT:
            problems.append(f"{short}: {_WITHOUT[path.suffix]}")
            continue
        try:
            runs.append(_read(path))
        except OSError as error:
            problems.append(f"{short}: {error_sentence(error)}")
        except Exception as error:
            # It may be anybody's file (a deep nesting ends in a RecursionError), and the others
            # are not to miss for it.
            problems.append(f"{short}: cannot be read as a summary of a run ({_brief(error)})")
    if not runs:
        found = f"; {problems[0]}" if problems else ""
        raise FileNotFoundError(
            f"results: no summary.json of a run in {', '.join(str(one) for one in places)}{found}"
        )
    return ReadRuns(runs, problems)


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {escaped(text[:80])}"


def _files(place: Path) -> Iterator[Path]:
    """Summaries in a place, and what stands for runs without one."""
    if place.is_file():
        yield place
        return
    if not place.is_dir():
        raise FileNotFoundError(f"results: there is no folder {place}")
    for folder in (place, *_folders(place, 2)):
        summaries = sorted(folder.glob("summary*.json"))
        yield from summaries
        yield from sorted(folder.glob("*.failed.ipynb"))
        if not summaries and (folder / "report.html").is_file():
            yield folder / "report.html"


def _folders(place: Path, depth: int) -> Iterator[Path]:
    for folder in sorted(place.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            yield folder
            if depth > 1:
                yield from _folders(folder, depth - 1)


def _read(path: Path) -> BoardRun:
    """One summary; whatever is not as a summary promises ends in an error."""
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST} bytes")
    summary = _safe(json.loads(path.read_text(encoding="utf-8")))
    parameters, threshold = summary["parameters"] or {}, summary["threshold"] or {}
    figures, intervals = _figures(summary)
    seconds = [float(one) for one in (summary["seconds"] or {}).values()]
    return BoardRun(
        summary=path,
        samples=path.with_name(path.name.replace("summary", "samples", 1)).with_suffix(".csv"),
        notebook=_text(summary["notebook"] or path.parent.parent.name),
        category=_text(summary["category"] or path.parent.name),
        detector=_text(summary["detector"] or summary["notebook"] or path.parent.parent.name),
        seed=None if summary["seed"] is None else int(summary["seed"]),
        parameters={
            str(name): _value(name, value)
            for name, value in parameters.items()
            if name not in _PLACES
        },
        figures=figures,
        intervals=intervals,
        verdicts={str(name): _count(one) for name, one in (summary["verdicts"] or {}).items()},
        shortcut=_shortcut(summary["shortcut"] or {}),
        seconds=sum(seconds) if seconds else math.nan,
        # Earlier versions wrote none.
        peak_memory=_number(summary.get("peak_memory")),
        data=_data(summary["data"] or {}, threshold),
        uses_test_labels=bool(threshold.get("uses_test_labels")),
    )


def _value(name: str, value: Any) -> str:
    """A parameter as JSON; of a file only its name, because categories lie in different folders."""
    if name in _FILES and isinstance(value, str):
        value = PurePath(value).name
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no text")
    return value


def _safe(value: Any) -> Any:
    """A value of JSON in whose texts nothing acts on a terminal or lacks a form in UTF-8."""
    if isinstance(value, dict):
        return {escaped(name): _safe(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_safe(part) for part in value]
    return escaped(value) if isinstance(value, str) else value


def _number(value: Any) -> float:
    """A figure, or NaN for null; a text is none, nor is what is not finite."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _share(value: Any) -> float:
    number = _number(value)
    if not math.isnan(number) and not 0 <= number <= 1:
        raise ValueError(f"{number} does not lie between 0 and 1")
    return number


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value


def _figures(
    summary: Mapping[str, Any],
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The figures of `METRICS`, and the intervals of those that have one."""
    figures, intervals = {}, {}
    for name in ("image_auroc", "pixel_auroc", "aupro", "aupimo"):
        # Earlier versions wrote no AUPIMO.
        part = summary.get(name) if name == "aupimo" else summary[name]
        figures[name] = _share((part or {}).get("value"))
        ends = tuple(_share((part or {}).get(end)) for end in ("low", "high"))
        if not math.isnan(sum(ends)):
            intervals[name] = ends[0], ends[1]
    confusion = summary["confusion"]
    figures["recall"] = math.nan
    if confusion is not None:
        hits, missed = _count(confusion["tp"]), _count(confusion["fn"])
        figures["recall"] = hits / (hits + missed) if hits + missed else math.nan
    figures["trust_adjusted_recall"] = _share(summary["trust_adjusted_recall"])
    return figures, intervals


def _shortcut(part: Mapping[str, Any]) -> dict[str, Any]:
    if not part:
        return {}
    return {
        "name": _text(part["name"]).replace("_", " "),
        "separability": _share(part.get("separability", part.get("auroc"))),
        "significant": bool(part.get("significant")),
        "outside_defects": bool(part.get("outside_defects")),
    }


def _data(data: Mapping[str, Any], threshold: Mapping[str, Any]) -> dict[str, str]:
    """What must be equal in runs that are compared, as texts; empty where it is not known."""
    files, settings = data.get("files") or {}, data.get("settings") or {}
    # A run of an earlier version says only what all of its files and settings are.
    whole = f"fingerprint {data['fingerprint']}" if data.get("fingerprint") else ""
    frame = {name: settings[name] for name in _FRAME if name in settings}
    rule = str(threshold.get("rule") or "")
    return {
        "test": str(files.get("test") or whole),
        "train": str(files.get("train") or whole),
        "held_out": json.dumps(settings.get("validation_fraction")),
        "frame": json.dumps(frame, sort_keys=True) if frame else whole,
        # The number of good images in it is that of the split, which is looked at by itself.
        "rule": " ".join(word for word in rule.split() if not word.isdigit()),
    }
