"""The commands and options of ``python -m adhelpers``; what they do is in ``__main__``."""

import argparse
from collections.abc import Callable
from pathlib import Path

import adhelpers

_EPILOG = """examples:
  python -m adhelpers start DATA/part                        your own images: what to use, and why
  python -m adhelpers run                                    all notebooks on rendered images
  python -m adhelpers run 01 --data DATA/part                notebook 01 on your own images
  python -m adhelpers run 01_screw -p category hazelnut -p seed 3
  python -m adhelpers run 01 05 --sweep category=screw,hazelnut seed=0,1,2
  python -m adhelpers audit DATA/part --onnx model.onnx      somebody else's detector
  python -m adhelpers data check DATA/part                   what can be used, and what is wrong
  python -m adhelpers export MODEL part.onnx                 a stored detector as an ONNX file
  python -m adhelpers predict MODEL photos/                  its decisions on new images
  python -m adhelpers compare results                        a leaderboard of all runs' detectors
"""

_READING = {
    "bit-depth": "bits in use of files with more than 8, such as 12",
    "page": "page of files that hold several; the first is 0",
}
# Which images are good and which are not, where the shape of their folder does not say it.
PATTERNS = {
    "good": "good images, such as 'ok/*.png'; in a list the label of good ones",
    "defect": "defective images, such as 'nok/*/*.png'",
    "masks": "their masks, such as 'masks/*_mask.png'",
    "test-good": "good images to test on; default: every fifth good one",
}

RENDERING = {
    "image_size": "height and width in pixels",
    "train_count": "good images to train on",
    "test_good_count": "good test images",
    "defect_count": "test images of each defect type",
    "seed": "another one renders other images",
}


def _path(text: str) -> Path:
    """A path from the command line; an empty one comes from a shell variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty; give one, or leave the option out")
    return Path(text)


# How a detector is audited, and what goes with some of these ways: notebook 08's parameters.
_WAYS: dict[str, tuple[Callable[[str], object], str, str]] = {
    "maps": (_path, "FOLDER", "anomaly maps, one for each test image"),
    "onnx": (_path, "FILE", "an ONNX file, run by ONNX Runtime on the CPU"),
    "detector": (str, "MODULE:OBJECT", "a Python object or function; its module is imported"),
    "model": (_path, "FOLDER", "a stored detector, models/part/name/HASH"),
}
_WITH_IT: dict[str, tuple[Callable[[str], object], str, str]] = {
    "scores": (_path, "CSV", "scores beside --maps; default: each map's maximum"),
    "output": (str, "NAME", "the output with the score, where it is not found"),
    "map_output": (str, "NAME", "the output with the map, where it is not found"),
    "mean": (str, "R,G,B", "what the model wants taken from each channel, such as 0.5,0.5,0.5"),
    "std": (str, "R,G,B", "what it wants each channel divided by"),
    "scale": (str, "NUMBER", "255 for a model that takes values from 0 to 255"),
    "axes": (str, "NCHW|NHWC", "order of the input's axes, where its shape does not say it"),
    "channels": (str, "N", "1 or 3, what the model takes, where its shape does not say it"),
    "input_size": (str, "H,W", "what the model takes, where its shape leaves it open"),
    "minutes": (str, "N", "limit for explanations and audit; default: 15; 0 sets none"),
}
AUDITED = (*_WAYS, *_WITH_IT, "bgr")


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    group: str = "",
) -> argparse.ArgumentParser:
    """Add a command; what is parsed has its name, after that of its group, as ``command``."""
    added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    added.set_defaults(command=f"{group} {name}".strip())
    return added


def _add_notebooks(parser: argparse.ArgumentParser) -> None:
    """Which notebooks, and where they are."""
    parser.add_argument(
        "notebooks", nargs="*", metavar="NOTEBOOK", help="01_screw, 01, or a path; none means all"
    )
    parser.add_argument(
        "--notebooks", dest="folder", type=_path, metavar="FOLDER", help="where the notebooks are"
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results",
        type=_path,
        metavar="DIR",
        help="default: $ADHELPERS_RESULTS, else results/ of the project",
    )


def _add_destination(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to",
        type=_path,
        default=Path("data"),
        metavar="FOLDER",
        help="default: data/ in the current folder",
    )


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    """What a run sets, where it writes, and what it is called."""
    parser.add_argument(
        "-p",
        dest="parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter, see list; can be repeated",
    )
    _add_results(parser)
    text = "keeps runs apart, such as two seeds: results go to CATEGORY@NAME; models are shared"
    parser.add_argument("--name", metavar="NAME", help=f"{text}; default: $ADHELPERS_RUN_NAME")
    text = "default: $ADHELPERS_MODELS, else models/ of the project"
    parser.add_argument("--models", type=_path, metavar="DIR", help=text)


def _add_layout(parser: argparse.ArgumentParser) -> None:
    """How images lie where their shape does not say it."""
    group = parser.add_argument_group("layout of the images, see docs/datasets.md")
    text = "mvtec, loco, mvtec2, visa, btad, ksdd2, folders, csv, coco; default: found by its shape"
    group.add_argument("--layout", metavar="NAME", help=text)
    for name, text in PATTERNS.items():
        group.add_argument(f"--{name}", action="append", metavar="PATTERN", help=text)


def _add_start(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "say what your own images need, fit two simple detectors, audit the better one"
    command = _command(commands, "start", text)
    command.add_argument(
        "folder",
        type=_path,
        metavar="FOLDER",
        help="a category (train/good and test/<type>), good images and nothing else, or a list",
    )
    _add_layout(command)
    _add_parameters(command)


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "run notebooks; write a report for each and results/index.html"
    run = _command(commands, "run", text)
    _add_notebooks(run)
    run.add_argument(
        "--preset",
        default="quick",
        metavar="NAME|FILE",
        help="quick (the notebooks' defaults), full, or a YAML file; default: quick",
    )
    run.add_argument(
        "--data",
        type=_path,
        metavar="FOLDER",
        help="a category of images, or the folder that holds categories; default: rendered images",
    )
    _add_layout(run)
    _add_parameters(run)
    run.add_argument(
        "--jobs",
        default="auto",
        metavar="N",
        help="notebooks at once; default: auto, as many as there are cores and memory for",
    )
    run.add_argument(
        "--dry-run", action="store_true", help="list what would run and check it; run nothing"
    )
    level = run.add_mutually_exclusive_group()
    level.add_argument("--quiet", action="store_true", help="while it runs, show only what fails")
    text = "away from a terminal: say what runs every 5 seconds, not every 30"
    level.add_argument("--verbose", action="store_true", help=text)
    text = (
        "add what is shown to a file, with the time; default of a sweep: sweep.log in the results"
    )
    run.add_argument("--log", type=_path, metavar="FILE", help=text)
    text = "open the report in the browser, or the index of several"
    run.add_argument("--open", action="store_true", help=text)
    _add_sweep(run.add_argument_group("sweeps, see docs/sweeps.md"))


def _add_sweep(group: "argparse._ArgumentGroup") -> None:
    """Many runs, and where they are executed."""
    text = "run every combination; finished ones are skipped. Or a YAML file of such lists"
    group.add_argument("--sweep", nargs="+", metavar="NAME=VALUE,VALUE", help=text)
    where = group.add_mutually_exclusive_group()
    text = "local:N workers here, or the address of a scheduler; without --sweep the parallel parts"
    where.add_argument(
        "--dask", metavar="local:N|ADDRESS", help=f"{text} of each notebook are computed there"
    )
    text = "a job of Slurm for each worker, --jobs of them; YAML file of SLURMCluster's options"
    where.add_argument("--slurm", nargs="?", const="", metavar="FILE", help=text)


def _add_audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "audit anyone's detector: an ONNX file, a Python object, anomaly maps, or a stored one"
    audit = _command(commands, "audit", text)
    audit.add_argument("data", type=_path, metavar="FOLDER/part", help="the category of images")
    ways = audit.add_mutually_exclusive_group(required=True)
    for name, (kind, metavar, text) in _WAYS.items():
        ways.add_argument(f"--{name}", type=kind, metavar=metavar, help=text)
    for name, (kind, metavar, text) in _WITH_IT.items():
        option = f"--{name.replace('_', '-')}"
        audit.add_argument(option, dest=name, type=kind, metavar=metavar, help=text)
    text = "the model takes blue, green, red"
    audit.add_argument("--bgr", action="store_true", help=text)
    _add_layout(audit)
    _add_parameters(audit)


def _add_data(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The commands on images."""
    data = commands.add_parser(
        "data", help="check, fetch or render images", description="Check, fetch or render images."
    )
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)
    text = "print the inventory of a category, or of each one in a folder, and every problem"
    check = _command(actions, "check", text, "data")
    check.add_argument(
        "folder",
        type=_path,
        metavar="FOLDER",
        help="a category (train/good and test/<type>), the folder that holds categories, or a list",
    )
    for name, text in _READING.items():
        check.add_argument(f"--{name}", type=int, metavar="N", help=text)
    _add_layout(check)
    text = "print the published data sets whose layouts are read: licence, page, how they are got"
    _command(actions, "list", text, "data")
    text = "download a category of MVTec AD from its publisher"
    fetch = _command(actions, "fetch", text, "data")
    fetch.add_argument("category", metavar="CATEGORY", help="such as screw or hazelnut")
    _add_destination(fetch)
    fetch.add_argument(
        "--accept-license",
        action="store_true",
        help="accept CC BY-NC-SA 4.0 (not for commercial use)",
    )
    fetch.add_argument(
        "--overwrite",
        action="store_true",
        help="fetch again, and delete what is in FOLDER/CATEGORY; without it your files are named",
    )
    render = _command(actions, "render", "render a category with exact masks", "data")
    render.add_argument("category", metavar="CATEGORY", help="hazelnut, metal or screw")
    _add_destination(render)
    for name, text in RENDERING.items():
        render.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            default=argparse.SUPPRESS,
            metavar="N",
            help=text,
        )
    render.add_argument(
        "--shortcut",
        default=argparse.SUPPRESS,
        help="none, or brightness: plants a shortcut on purpose",
    )


def _add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "write a stored detector as an ONNX file that gives the same scores and maps"
    export = _command(commands, "export", text)
    export.add_argument(
        "model", type=_path, metavar="MODEL", help="folder models/CATEGORY/DETECTOR/HASH"
    )
    export.add_argument("file", type=_path, metavar="FILE.onnx", help="replaced if it is there")


def _add_predict(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "decide on new images with a stored detector or an ONNX file"
    predict = _command(commands, "predict", text)
    predict.add_argument(
        "model",
        type=_path,
        metavar="MODEL",
        help="folder models/CATEGORY/DETECTOR/HASH, or an ONNX file",
    )
    predict.add_argument(
        "images",
        type=_path,
        nargs="+",
        metavar="IMAGES",
        help="files, folders (with all in them), or patterns such as 'photos/*.png'",
    )
    predict.add_argument(
        "--output",
        type=_path,
        default=Path("predictions"),
        metavar="FOLDER",
        help="where the table, the page and the overlays go; default: predictions/",
    )
    predict.add_argument(
        "--threshold", type=float, metavar="X", help="default: the one stored with the model"
    )
    predict.add_argument(
        "--overlays",
        default="flagged",
        choices=("flagged", "all", "none"),
        help="of which images an overlay in full size is written; default: flagged",
    )
    predict.add_argument(
        "--overwrite", action="store_true", help="replace the predictions of an earlier run"
    )
    predict.add_argument(
        "--fail-on-flag", action="store_true", help="exit code 3 where an image is flagged"
    )
    predict.add_argument(
        "--watch",
        action="store_true",
        help="follow one folder until Ctrl-C",
    )


def _add_compare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "compare the detectors of runs over categories; write leaderboard.html, .csv and .tex"
    command = _command(commands, "compare", text)
    command.add_argument(
        "runs",
        type=_path,
        nargs="*",
        metavar="RESULTS",
        help="folders of results or of single runs, or summary.json files; default: as for run",
    )
    command.add_argument(
        "--output",
        type=_path,
        default=Path("leaderboard.html"),
        metavar="FILE",
        help="the page; the others lie beside it; default: leaderboard.html",
    )
    command.add_argument(
        "--metric",
        default="image_auroc",
        metavar="NAME",
        help="what detectors are ranked by: image_auroc (default), pixel_auroc, aupro, aupimo, "
        "recall or trust_adjusted_recall",
    )
    command.add_argument(
        "--post-hoc",
        default="nemenyi",
        metavar="TEST",
        help="how pairs are compared over categories: nemenyi (default) or wilcoxon",
    )


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it returns has the name of the command as ``command``."""
    parser = argparse.ArgumentParser(
        prog="python -m adhelpers",
        description=adhelpers.__doc__.splitlines()[0],
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"adhelpers {adhelpers.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_start(commands)
    _add_run(commands)
    text = "show the notebooks with their parameters and defaults"
    _add_notebooks(_command(commands, "list", text))
    lab = _command(commands, "lab", "copy the notebooks and open them in JupyterLab")
    lab.add_argument(
        "to",
        type=_path,
        nargs="?",
        default=Path("notebooks"),
        metavar="FOLDER",
        help="where to; files that are there stay (default: notebooks)",
    )
    lab.add_argument("--only-copy", action="store_true", help="do not open JupyterLab")
    text = "say what is installed, how fast it computes, and what is missing"
    _command(commands, "doctor", text)
    _add_results(_command(commands, "index", "rebuild results/index.html"))
    _add_compare(commands)
    _add_audit(commands)
    _add_data(commands)
    _add_export(commands)
    _add_predict(commands)
    return parser
