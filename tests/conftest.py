"""Fixtures for all tests."""
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """Folder with real images (``mvtec_ad/<category>``): ADHELPERS_REAL_DATA, or ``shared/data`` beside the project."""
    folder = Path(os.environ.get("ADHELPERS_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "mvtec_ad").is_dir():
        pytest.skip(f"no real images in {folder}; set ADHELPERS_REAL_DATA to a folder that holds mvtec_ad/<category>")
    return folder
