"""The index over all runs in a results folder."""

import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from adhelpers._shared.files import write_text
from adhelpers._shared.text import escaped
from adhelpers.metrics import share_estimate

from ._pages import ANSWER_KINDS, page_script, page_template, png_uri
from ._verdict_bars import verdict_bar, verdict_legend

# The best answer comes first where the rows are sorted by it.
_RANKS = {kind: rank for rank, kind in enumerate(("use", "simpler", "not", "few"))}
# Pictures that stand for a run where its answer names none, the best first.
_PICTURES = ("figures/images.png", "figures/samples.png")
# Of a thumbnail, in pixels (shown at half of that) and in bytes.
_THUMBNAIL = (320, 200)
_LARGEST_THUMBNAIL = 20_000
# Of a picture that one is made of, in pixels; those of runs have some two million.
_LARGEST_PICTURE = 50_000_000
# Of a summary in bytes; those of runs have some ten thousand.
_LARGEST = 20_000_000


def write_index(results: str | Path) -> Path:
    """Write ``index.html`` over all runs: figures side by side, links to each report and gallery.

    Parameters
    ----------
    results
        Holds ``<notebook>/<category>/`` folders. A run whose ``summary.json`` is missing or is not
        one gets a row that says so.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OSError
        If the page cannot be written; it is named.
    """
    results = Path(results)
    folders = sorted(path for path in results.glob("*/*") if not path.name.startswith("."))
    rows = [row for folder in folders for row in _rows_of_folder(folder)]
    text = _page(rows)
    # A summary can hold half of a pair of code units, which UTF-8 has no form for.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    write_text(results / "index.html", text)
    return results / "index.html"


def _page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page; only its own script may run."""
    template = page_template("index.html", data_uri=png_uri)
    legend = verdict_legend(name for row in rows for name, *_ in row.get("verdicts", ()))
    return template.render(rows=rows, legend=legend, **page_script("sort.js"))


def _rows_of_folder(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder ``<notebook>/<category>``: one for each summary and each failed run."""
    notebook = folder.parent.name
    run: dict[str, Any] = {
        "notebook": escaped(notebook),
        "category": escaped(folder.name),
        "problem": None,
        "failed": False,
        "links": [],
        "date": None,
        "picture": None,
    }
    try:
        if not folder.is_dir():
            return []
        links = _links(folder, notebook)
        summaries = sorted(folder.glob("summary*.json"))
        failed = sorted(folder.glob("*.failed.ipynb"))
    except OSError as error:
        return [run | {"problem": f"the folder cannot be read ({error.strerror})"}]
    run["links"] = links
    rows = [_row_of_summary(path, run) for path in summaries]
    if links and not rows:
        report = folder / "report.html"
        date = _date(report if report.exists() else folder)
        rows.append(run | {"date": date, "problem": "no summary.json"})
    for path in failed:
        problem = "the last run failed; its notebook shows where"
        link = ("failed notebook", _address(path))
        rows.append(
            run | {"date": _date(path), "failed": True, "problem": problem, "links": [link]}
        )
    return rows


def _links(folder: Path, notebook: str) -> list[tuple[str, str]]:
    """The files of a run that are there, with their addresses."""
    files = {
        "report": "report.html",
        "gallery": "gallery.html",
        "notebook": f"{notebook}.ipynb",
        "samples": "samples.csv",
    }
    return [
        (name, _address(folder / file)) for name, file in files.items() if (folder / file).is_file()
    ]


def _row_of_summary(path: Path, run: dict[str, Any]) -> dict[str, Any]:
    """The row of one summary, which may be of another program and hold anything."""
    row = run | {"date": _date(path)}
    try:
        row |= _figures_of_run(path)
        return row | {"picture": _picture_of_run(path.parent, row)}
    except Exception:
        # Whatever it is (a deep nesting ends in a RecursionError), the other rows are not to miss.
        return row | {"problem": f"{escaped(path.name)} cannot be read as a summary of a run"}


def _picture_of_run(folder: Path, row: Mapping[str, Any]) -> bytes | None:
    """The first strip that the answer names, else the images of the run, as a thumbnail."""
    found = (_thumbnail(folder / name) for name in (*row["look_first"], *_PICTURES))
    return next(filter(None, found), None) if row["main"] else None


def _thumbnail(path: Path) -> bytes | None:
    """A picture made small; None where it is missing or none."""
    try:
        if not path.is_file():
            return None
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.width * picture.height > _LARGEST_PICTURE:
                return None
            # Strips may have many panels; the first ones are the image and its map.
            width = min(picture.width, 5 * picture.height // 2)
            small = picture.convert("RGB").crop((0, 0, width, picture.height))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    small.thumbnail(_THUMBNAIL, Image.Resampling.LANCZOS)
    for colors in (128, 64, 32, 16, 8, 4, 2):
        buffer = io.BytesIO()
        small.quantize(colors).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= _LARGEST_THUMBNAIL:
            return buffer.getvalue()
    return None


def _address(file: Path) -> str:
    """The link to a run's file; quote() also escapes the colon of a folder called "javascript:"."""
    return f"./{'/'.join(quote(os.fsencode(part)) for part in file.parts[-3:])}"


def _date(file: Path) -> str | None:
    """When a file was written, if it has a time that a calendar knows."""
    try:
        return datetime.fromtimestamp(file.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    except (OSError, ValueError, OverflowError):
        return None


def _figures_of_run(path: Path) -> dict[str, Any]:
    """The columns of the index from one ``summary.json``."""
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} is no regular file of at most {_LARGEST} bytes")
    summary = json.loads(path.read_text(encoding="utf-8"))
    threshold, shortcut = summary["threshold"] or {}, summary["shortcut"] or {}
    seconds = sum((summary["seconds"] or {}).values())
    return {
        "detector": _text(summary["detector"]),
        "image_auroc": _estimate(summary["image_auroc"]),
        "pixel_auroc": _estimate(summary["pixel_auroc"]),
        "aupro": _estimate(summary["aupro"]),
        # Earlier versions wrote none.
        "aupimo": _estimate(summary.get("aupimo")),
        "rule": _text(threshold.get("rule")),
        "uses_test_labels": bool(threshold.get("uses_test_labels")),
        **_decisions(summary["confusion"], summary["trust_adjusted_recall"]),
        "jaccard": [_overlap(name, value) for name, value in (summary["jaccard"] or {}).items()],
        "seconds": f"{seconds:.0f}" if seconds else None,
        "seed": None if summary.get("seed") is None else str(summary["seed"]),
        # Of a run with several detectors only the one that it is about has the picture.
        "main": path.name == "summary.json",
        **_shortcut(shortcut),
        "shortcut_found": bool(shortcut.get("significant")),
        "verdicts": verdict_bar(summary["verdicts"] or {}),
        **_answer(summary.get("answer") or {}),
    }


def _answer(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, how it is coloured and sorted, what decided, and the strips to look at first."""
    text = _text(answer.get("answer"))
    kind = ANSWER_KINDS.get(text or "", "none")
    looks = [str(look.get("figure")) for look in answer.get("look_first") or ()]
    return {
        "answer": text,
        "kind": kind,
        "rank": _RANKS.get(kind, ""),
        "because": _text(answer.get("because")),
        # A summary may be anybody's; no other file of this machine belongs into the page.
        "look_first": [name for name in looks if re.fullmatch(r"figures/[\w-]+\.png", name)],
    }


def _text(value: Any) -> str | None:
    """``value``, which is a text or null where it is what a summary promises."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is no text")


def _estimate(part: dict[str, Any] | None) -> str | None:
    """Value and interval of an estimate."""
    if not part or part.get("value") is None:
        return None
    if part.get("low") is None or part.get("high") is None:
        return f"{part['value']:.3f}"
    return f"{part['value']:.3f} [{part['low']:.3f},\N{NO-BREAK SPACE}{part['high']:.3f}]"


def _decisions(confusion: dict[str, int] | None, trusted: float | None) -> dict[str, str | None]:
    """False alarms, recall and that for the right reason; None where nothing can be counted."""
    if confusion is None:
        return {"false_alarms": None, "recall": None, "trusted": None}
    good, anomalous = confusion["fp"] + confusion["tn"], confusion["tp"] + confusion["fn"]

    def share(hits: float) -> str:
        text = f"{share_estimate(round(hits), anomalous):.2f}"
        return text.replace(", ", ",\N{NO-BREAK SPACE}")

    return {
        "false_alarms": f"{confusion['fp']:d} of {good:d}",
        "recall": share(confusion["tp"]) if anomalous else None,
        "trusted": None if trusted is None or not anomalous else share(trusted * anomalous),
    }


def _overlap(name: str, value: Any) -> str:
    """The mean overlap of an explainer, which summaries hold as a number or as a dict."""
    if isinstance(value, dict):
        value = value.get("mean", value.get("value"))
    return f"{name} –" if value is None else f"{name} {value:.2f}"


def _shortcut(shortcut: dict[str, Any]) -> dict[str, str | None]:
    """The best single statistic and its AUROC, by which it is sorted."""
    if not shortcut:
        return {"shortcut": None, "shortcut_auroc": ""}
    auroc = shortcut.get("separability", shortcut.get("auroc"))
    name = shortcut["name"].replace("_", " ")
    return {"shortcut": f"{name} {auroc:.2f}", "shortcut_auroc": f"{auroc:.3f}"}
