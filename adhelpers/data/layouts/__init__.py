"""How images and masks of a category lie and are named: one module for each kind of layout."""

from .base import LEAST_GOOD, TEST, TRAIN, VALIDATION, unused_remarks
from .described import described_category
from .finding import is_category, list_category
from .names import folders_in, is_data, is_document, is_image, one_form
from .split_folders import image_name, mask_name, missing_folder
from .visa import SPLIT_FOLDER

__all__ = [
    "LEAST_GOOD",
    "SPLIT_FOLDER",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "described_category",
    "folders_in",
    "image_name",
    "is_category",
    "is_data",
    "is_document",
    "is_image",
    "list_category",
    "mask_name",
    "missing_folder",
    "one_form",
    "unused_remarks",
]
