"""The images that a notebook looks at: loaded from a folder, or rendered where none is given."""

from collections.abc import Mapping, Sequence
from typing import Any

from adhelpers._shared.stages import stage
from adhelpers.data import Category, Corrections, load_category, rendered_root
from adhelpers.metrics import AreaChoice


def loading_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook's parameters as keywords of `adhelpers.data.load_category`.

    Parameters
    ----------
    parameters : dict
        ``image_height`` and ``image_width`` (0 keeps the proportions); where they are there also
        ``color``, ``illumination``, ``pose``, ``crop``, ``fit``, ``validation_fraction``,
        ``seed``, ``bit_depth`` (0 is None) and ``page`` (-1 is None).

    Returns
    -------
    dict
    """

    def given(names: Sequence[str]) -> dict[str, Any]:
        return {name: parameters[name] for name in names if name in parameters}

    return {
        "image_size": (parameters["image_height"], parameters["image_width"]),
        "corrections": Corrections(**given(("illumination", "pose", "crop", "fit"))),
        **given(("color", "validation_fraction", "seed")),
        **reading_options(**given(("bit_depth", "page"))),
    }


def reading_options(**parameters: int) -> dict[str, int | None]:
    """``bit_depth`` and ``page`` as functions that load take them: 0 and -1 are None.

    Examples
    --------
    >>> reading_options(bit_depth=12, page=-1)
    {'bit_depth': 12, 'page': None}
    """
    unset = {"bit_depth": 0, "page": -1}
    return {name: None if value == unset[name] else value for name, value in parameters.items()}


def load_objects(parameters: Mapping[str, Any], **rendered: Any) -> Category:
    """Load the images that a notebook's parameters name, and print what is to be said of them.

    Parameters
    ----------
    parameters : dict
        ``category``, ``data_root`` (empty renders images), and as in `loading_options`.
    **rendered
        How many images are rendered and how large, see `adhelpers.data.rendered_root`.

    Returns
    -------
    Category

    Raises
    ------
    ValueError
        As `load_category`, and where the test set is too small for what the parameters ask for
        after training: at least two images of each type where a share of them chooses the area.
    """
    name = parameters["category"]
    with stage("images"):
        root = parameters["data_root"] or rendered_root(name, **rendered)
        category = load_category(root, name, **loading_options(parameters))
    for remark in category.remarks:
        print(f"Remark on the data: {remark}")
    if parameters.get("selection") == "balanced":
        share, strict = parameters["finetune_share"], parameters["strict"]
        AreaChoice("balanced", share, strict).images(category.test.types)
    return category


def object_facts(category: Category) -> str:
    """Facts on a category's images that hold on any machine: counts, corrections, masks."""
    test = category.test
    kinds = ", ".join(sorted(set(test.types) - {"good"}))
    settings = category.settings
    agree = test.masks is None or bool((test.masks.any(axis=(1, 2)) == (test.labels == 1)).all())
    return (
        f"{category.name}: train {len(category.train)}, validation {len(category.validation)}, "
        f"test {len(test)}, defect types {kinds}\n"
        f"illumination: {settings['illumination']} · pose: {settings['pose']}\n"
        f"labels and masks agree: {agree}"
    )
