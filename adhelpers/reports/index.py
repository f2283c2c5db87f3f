"""The index over all runs in a results folder."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from adhelpers._shared.files import write_text
from adhelpers.metrics import share_estimate

from ._pages import page_template


def write_index(results: str | Path) -> Path:
    """Write ``index.html`` over all runs: figures side by side, links to each report and gallery.

    Parameters
    ----------
    results
        Holds ``<notebook>/<category>/`` folders. A run whose ``summary.json`` is missing or damaged
        gets a row that says so.

    Returns
    -------
    Path
        The page.
    """
    results = Path(results)
    folders = sorted(
        path for path in results.glob("*/*") if path.is_dir() and not path.name.startswith(".")
    )
    rows = [row for folder in folders for row in _rows_of_folder(folder)]
    write_text(results / "index.html", page_template("index.html").render(rows=rows))
    return results / "index.html"


def _rows_of_folder(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder ``<notebook>/<category>``: one for each summary and each failed run."""
    notebook = folder.parent.name
    run: dict[str, Any] = {
        "notebook": notebook,
        "category": folder.name,
        "problem": None,
        "failed": False,
    }
    files = {
        "report": "report.html",
        "gallery": "gallery.html",
        "notebook": f"{notebook}.ipynb",
        "samples": "samples.csv",
    }
    links = [
        (name, _address(folder / file)) for name, file in files.items() if (folder / file).is_file()
    ]
    rows = []
    for path in sorted(folder.glob("summary*.json")):
        row = run | {"links": links, "date": _date(path)}
        try:
            row |= _figures_of_run(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            row["problem"] = f"{path.name} cannot be read as a summary of a run"
        rows.append(row)
    if links and not rows:
        report = folder / files["report"]
        date = _date(report if report.exists() else folder)
        rows.append(run | {"links": links, "date": date, "problem": "no summary.json"})
    for path in sorted(folder.glob("*.failed.ipynb")):
        problem = "the last run failed; its notebook shows where"
        link = ("failed notebook", _address(path))
        rows.append(
            run | {"date": _date(path), "failed": True, "problem": problem, "links": [link]}
        )
    return rows


def _address(file: Path) -> str:
    """The link to a run's file; quote() also escapes the colon of a folder called "javascript:"."""
    return f"./{'/'.join(quote(part) for part in file.parts[-3:])}"


def _date(file: Path) -> str:
    return datetime.fromtimestamp(file.stat().st_mtime).strftime("%Y-%m-%d %H:%M")


def _figures_of_run(path: Path) -> dict[str, Any]:
    """The columns of the index from one ``summary.json``."""
    summary = json.loads(path.read_text(encoding="utf-8"))
    threshold, shortcut = summary["threshold"] or {}, summary["shortcut"] or {}
    seconds = sum((summary["seconds"] or {}).values())
    return {
        "detector": summary["detector"],
        "image_auroc": _estimate(summary["image_auroc"]),
        "pixel_auroc": _estimate(summary["pixel_auroc"]),
        "aupro": _estimate(summary["aupro"]),
        "rule": threshold.get("rule"),
        "uses_test_labels": bool(threshold.get("uses_test_labels")),
        **_decisions(summary["confusion"], summary["trust_adjusted_recall"]),
        "jaccard": [_overlap(name, value) for name, value in (summary["jaccard"] or {}).items()],
        "seconds": f"{seconds:.0f}" if seconds else None,
        "shortcut": _shortcut(shortcut) if shortcut else None,
        "shortcut_found": bool(shortcut.get("significant")),
        "verdicts": [f"{count} {name}" for name, count in (summary["verdicts"] or {}).items()],
    }


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
        "false_alarms": f"{confusion['fp']} of {good}",
        "recall": share(confusion["tp"]) if anomalous else None,
        "trusted": None if trusted is None or not anomalous else share(trusted * anomalous),
    }


def _overlap(name: str, value: Any) -> str:
    """The mean overlap of an explainer, which summaries hold as a number or as a dict."""
    if isinstance(value, dict):
        value = value.get("mean", value.get("value"))
    return f"{name} –" if value is None else f"{name} {value:.2f}"


def _shortcut(shortcut: dict[str, Any]) -> str:
    """The best single statistic and its AUROC."""
    auroc = shortcut.get("separability", shortcut["auroc"])
    return f"{shortcut['name'].replace('_', ' ')} {auroc:.2f}"
