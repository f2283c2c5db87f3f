"""Notebook 02 in JupyterLab, run by its menu to the last cell, with small numbers."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_hazelnut.ipynb"
SMALL = {
    "epochs": 1,
    "lime_samples": 17,
    "num_segments": 10,
    "shap_evaluations": 20,
    "good_explained": 2,
    "image_height": 32,
    "image_width": 32,
}


@pytest.fixture
def laboratory(tmp_path):
    book = nbformat.read(NOTEBOOK, 4)
    cell = next(cell for cell in book.cells if "parameters" in cell.metadata.get("tags", []))
    values = {**SMALL, "results": str(tmp_path / "results"), "models": str(tmp_path / "models")}
    for name, value in values.items():
        cell.source, count = re.subn(rf"(?m)^{name} = \S+", f"{name} = {value!r}", cell.source)
        assert count == 1, name
    (tmp_path / "notebooks").mkdir()
    nbformat.write(book, tmp_path / "notebooks" / NOTEBOOK.name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = {
        name: str(tmp_path / name)
        for name in (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
        )
    }
    with (tmp_path / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyter",
                "lab",
                "--no-browser",
                "--allow-root",
                f"--port={port}",
                "--ServerApp.port_retries=0",
                "--ip=127.0.0.1",
                "--IdentityProvider.token=secret",
                f"--ServerApp.root_dir={tmp_path}",
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, **folders},
        )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/api?token=secret", timeout=2)
            break
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    yield f"{address}/lab/tree/notebooks/{NOTEBOOK.name}?token=secret", tmp_path
    server.terminate()
    server.wait(timeout=30)


def test_the_menu_runs_notebook_02_to_its_last_cell(chromium, laboratory):
    address, folder = laboratory
    page = chromium.new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.goto(address, timeout=120_000)
    page.wait_for_selector(
        ".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=120_000, state="attached"
    )
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    # Menus that open before the plugins have all started hold entries that do nothing yet.
    page.wait_for_timeout(5000)
    page.locator(".lm-MenuBar-item", has_text="Run").first.click()
    page.locator(".lm-Menu-item", has_text="Run All Cells").first.click()
    # The gallery is written near the end, the summary after it; an error would stop the run before
    # either.
    wanted = folder / "results" / "02_hazelnut" / "hazelnut" / "summary.json"
    deadline = time.monotonic() + 180
    while not wanted.exists() and time.monotonic() < deadline:
        page.wait_for_timeout(1000)
    page.screenshot(path=folder / "lab.png")
    assert wanted.exists(), f"{folder / 'lab.png'} shows where it stopped"
    page.wait_for_selector(
        ".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000, state="attached"
    )
    page.keyboard.press("Control+s")
    page.wait_for_timeout(3000)
    stored = nbformat.read(folder / "notebooks" / NOTEBOOK.name, 4)
    errors = [
        output.get("evalue")
        for cell in stored.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
    assert errors == []
    assert page.locator(".widget-dropdown, .jp-Notebook").count() >= 1
