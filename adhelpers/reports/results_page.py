"""A report of results that no notebook has made: the same page as an executed notebook's."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from adhelpers._shared.files import replacing

from .notebook_html import notebook_to_html


def results_to_html(
    folder: str | Path,
    title: str,
    findings: Sequence[str],
    sections: Mapping[str, Sequence[pd.DataFrame | Figure]],
) -> Path:
    """Write ``report.html`` and ``results.ipynb`` into the folder of a run with ``summary.json``.

    Parameters
    ----------
    folder : str or Path
    title : str
        The page's heading.
    findings : sequence of str
        Sentences, listed first.
    sections : dict of str to sequence of pandas.DataFrame or Figure
        By heading; empty tables are left out.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileNotFoundError
        If the folder has no ``summary.json``.
    """
    from nbformat import v4, write

    folder = Path(folder)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    listed = "\n".join(f"- {sentence}" for sentence in findings)
    cells = [_cell(f"# {title}"), _cell("## Findings"), _shown({"text/markdown": listed})]
    for heading, results in sections.items():
        shown = [_data(one) for one in results if isinstance(one, Figure) or not one.empty]
        if shown:
            cells += [_cell(f"## {heading}"), *map(_shown, shown)]
    remarks = [one["sentence"] for one in (summary["data"] or {}).get("remarks", ())]
    # Beside the figures that the answer names.
    notebook = folder / "results.ipynb"
    with replacing(notebook) as temporary:
        write(v4.new_notebook(cells=cells), temporary)
    return notebook_to_html(notebook, folder / "report.html", remarks=remarks, summary=summary)


def _cell(source: str) -> Any:
    from nbformat import v4

    return v4.new_markdown_cell(source)


def _data(result: pd.DataFrame | Figure) -> dict[str, str]:
    """A result as a notebook's output holds it."""
    if isinstance(result, Figure):
        picture = io.BytesIO()
        result.savefig(picture, format="png", dpi=110, bbox_inches="tight")
        return {"image/png": base64.b64encode(picture.getvalue()).decode()}
    return {"text/html": result.to_html()}


def _shown(data: dict[str, str]) -> Any:
    """A cell that has displayed one thing."""
    from nbformat import v4

    return v4.new_code_cell("", outputs=[v4.new_output("display_data", data)])
