"""The command line: ``python -m adhelpers``."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from adhelpers._shared.files import error_sentence
from adhelpers._shared.text import escaped
from adhelpers.runner import (
    AUDITED,
    PATTERNS,
    RENDERING,
    Ended,
    Request,
    Shown,
    Sweep,
    UsageError,
    answer_lines,
    build_parser,
    copy_notebooks,
    default_folder,
    described_images,
    ended_by_signals,
    examine,
    find_notebooks,
    open_engine,
    prepare_folders,
    read_grid,
    run_notebooks,
    run_request,
    spread_inside,
    start,
)


def _run(arguments: argparse.Namespace) -> int:
    request = Request(
        arguments.notebooks,
        arguments.preset,
        [tuple(pair) for pair in arguments.parameter],
        _images(arguments, arguments.data),
        arguments.results,
        arguments.models,
        arguments.folder,
        arguments.name,
    )
    if arguments.sweep is not None:
        return _sweep(request, arguments)
    if arguments.slurm is not None:
        raise UsageError("--slurm goes with --sweep, whose runs become jobs")
    if arguments.dry_run:
        print("\n".join(Sweep.of_new(request.plan()).lines()))
        return 0
    with _shown(arguments, arguments.log) as shown, spread_inside(arguments.dask):
        outcomes = run_request(request, arguments.jobs, shown)
    width = max(len(outcome.notebook) for outcome in outcomes)
    for outcome in outcomes:
        state = "ok    " if outcome.problem is None else "FAILED"
        left = (
            outcome.folder / "report.html"
            if outcome.problem is None
            else outcome.partial or outcome.folder
        )
        print(
            f"{outcome.notebook:<{width}}  {state}  {outcome.seconds:7.1f} s  {escaped(str(left))}"
        )
    reports = [one.folder / "report.html" for one in outcomes if one.problem is None]
    index = outcomes[0].folder.parents[1] / "index.html"
    print(f"index: {escaped(str(index))}")
    _open(arguments, reports[0] if len(outcomes) == len(reports) == 1 else index)
    return int(any(outcome.problem is not None for outcome in outcomes))


def _sweep(request: Request, arguments: argparse.Namespace) -> int:
    plans = request.plan(read_grid(arguments.sweep))
    sweep, results = Sweep.of(plans), plans[0].results
    if arguments.dry_run:
        print("\n".join([*sweep.lines(), sweep.headline()]))
        return 0
    prepare_folders(plans)
    log = arguments.log or results / "sweep.log"
    if sweep.waiting:
        where = (arguments.jobs, arguments.dask, arguments.slurm)
        with _shown(arguments, log) as shown:
            with open_engine(*where, count=len(sweep.waiting)) as engine:
                sweep.run(engine, shown)
    for run in sweep.failed:
        print(f"FAILED  {escaped(run.title)}  {escaped(str(run.plan.folder))}")
    print(f"{sweep.result()}; log: {escaped(str(log))}")
    print(f"index: {escaped(str(results / 'index.html'))}")
    _open(arguments, results / "index.html")
    return int(bool(sweep.failed))


def _shown(arguments: argparse.Namespace, log: Path | None) -> Shown:
    """Where the lines on runs go."""
    level = "quiet" if arguments.quiet else "verbose" if arguments.verbose else "normal"
    return Shown(log=log, level=level)


def _open(arguments: argparse.Namespace, page: Path) -> None:
    """Show a page in the browser where ``--open`` asks for it."""
    if not arguments.open or not page.is_file():
        return
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        print(
            "adhelpers: --open: there is no browser here; open the page named above",
            file=sys.stderr,
        )


def _audit(arguments: argparse.Namespace) -> int:
    given = [tuple(pair) for pair in arguments.parameter]
    texts = {name: getattr(arguments, name) for name in AUDITED if getattr(arguments, name)}
    if arguments.detector:
        # A kernel runs in the notebook's folder; modules of the caller lie in the current one.
        texts["import_from"] = str(Path.cwd())
    [outcome] = run_notebooks(
        ["08_your_detector"],
        given=[*((name, str(value)) for name, value in texts.items()), *given],
        data=_images(arguments, arguments.data),
        results=arguments.results,
        models=arguments.models,
        name=arguments.name,
    )
    return _answered(outcome)


def _start(arguments: argparse.Namespace) -> int:
    outcome = start(
        _images(arguments, arguments.folder),
        [tuple(pair) for pair in arguments.parameter],
        results=arguments.results,
        models=arguments.models,
        name=arguments.name,
    )
    return _answered(outcome)


def _answered(outcome: Any) -> int:
    """Print the answer of a run and where its report is; 1 where it has failed."""
    if outcome.problem is None:
        for line in answer_lines(outcome.folder):
            print(escaped(line))
        print(f"report: {escaped(str(outcome.folder / 'report.html'))}")
    return int(outcome.problem is not None)


def _list(arguments: argparse.Namespace) -> int:
    for notebook in find_notebooks(arguments.notebooks, arguments.folder):
        print(f"{notebook.name}: {notebook.title}")
        rows = [
            (parameter.name, repr(parameter.default), parameter.help)
            for parameter in notebook.parameters.values()
        ]
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        for name, default, comment in rows:
            print(f"  {name:<{widths[0]}}  {default:<{widths[1]}}  {comment}".rstrip())
        if not rows:
            print("  no parameters")
        print()
    return 0


def _lab(arguments: argparse.Namespace) -> int:
    copied = copy_notebooks(arguments.to)
    print(escaped(f"{len(copied)} files copied into {arguments.to}; what was there stays"))
    if arguments.only_copy:
        return 0
    if find_spec("jupyterlab") is None:
        raise UsageError("JupyterLab is not installed: pip install jupyterlab, or lab --only-copy")
    return subprocess.run([sys.executable, "-m", "jupyter", "lab", str(arguments.to)]).returncode


def _doctor(arguments: argparse.Namespace) -> int:
    well = True
    for check in examine():
        print(escaped(check.line()), flush=True)
        well = well and (check.well or not check.required)
    return 0 if well else 1


def _index(arguments: argparse.Namespace) -> int:
    from adhelpers.reports import write_index

    results = arguments.results or default_folder("results")
    if not results.is_dir():
        raise UsageError(f"results: there is no folder {results}")
    print(escaped(str(write_index(results))))
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from adhelpers.reports import compare_runs

    places = arguments.runs or [default_folder("results")]
    board = compare_runs(places, arguments.metric, arguments.post_hoc)
    for problem in board.problems:
        print(f"adhelpers: {problem}", file=sys.stderr)
    for finding in board.findings():
        print(escaped(finding))
    for path in board.write(arguments.output):
        print(escaped(str(path)))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from adhelpers.data import categories_in, check_category, is_category, subfolders

    # resolve() gives "." and "screw/" a name too.
    folder = _images(arguments, arguments.folder).resolve()
    if folder.is_file():
        raise UsageError(
            f"{folder} is a file; give the folder of a category, or one that holds categories"
        )
    reading = arguments.bit_depth, arguments.page
    if is_category(folder) or not categories_in(folder):
        check = check_category(folder.parent, folder.name, *reading)
        print(check)
        return int(bool(check.problems))
    results, failed = {}, False
    for name in subfolders(folder):
        try:
            check = check_category(folder, name, *reading)
        except FileNotFoundError as error:
            results[name], failed = f"no category: {error}", True
        else:
            print(f"{check}\n")
            results[name], failed = check.summary, failed or bool(check.problems)
    for name, result in results.items():
        print(f"{name}: {result}")
    return int(failed)


def _sources(arguments: argparse.Namespace) -> int:
    from adhelpers.data import source_lines

    print("\n".join(source_lines()))
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from adhelpers.data import fetch_category

    folder = fetch_category(
        arguments.category,
        arguments.to,
        accept_license=arguments.accept_license,
        overwrite=arguments.overwrite,
    )
    print(escaped(str(folder)))
    return 0


def _render(arguments: argparse.Namespace) -> int:
    from adhelpers.data import render_category

    # What was not given is not in the namespace: the defaults are those of the function.
    names = (*RENDERING, "shortcut")
    given = {name: value for name, value in vars(arguments).items() if name in names}
    shown = sys.stderr.isatty()
    folder = render_category(arguments.to, arguments.category, show_progress=shown, **given)
    print(escaped(str(folder)))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from adhelpers.steps import export_detector

    for finding in export_detector(arguments.model, arguments.file).findings():
        print(escaped(finding))
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from adhelpers.steps import predict

    prediction = predict(
        arguments.model,
        arguments.images,
        arguments.output,
        threshold=arguments.threshold,
        overlays=arguments.overlays,
        overwrite=arguments.overwrite,
        watch=arguments.watch,
        show_progress=sys.stderr.isatty(),
    )
    for problem in prediction.unreadable:
        print(f"adhelpers: {problem}", file=sys.stderr)
    for finding in prediction.findings():
        print(escaped(finding))
    print(escaped(str(prediction.folder / "predictions.html")))
    return prediction.exit_code(arguments.fail_on_flag)


def _images(arguments: argparse.Namespace, place: Path | None) -> Any:
    """The folder of the images, or one that stands for them where their layout is given."""
    names = [name.replace("-", "_") for name in PATTERNS]
    given = {name: getattr(arguments, name) for name in names}
    return described_images(place, arguments.layout, given)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "start": _start,
    "run": _run,
    "audit": _audit,
    "data check": _check,
    "data list": _sources,
    "data fetch": _fetch,
    "data render": _render,
    "export": _export,
    "predict": _predict,
    "compare": _compare,
    "list": _list,
    "lab": _lab,
    "doctor": _doctor,
    "index": _index,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of the process.

    Returns
    -------
    int
        Exit code: 0 all well, 1 something failed, 2 wrong use; 128 and the number of the signal
        that has ended it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    """
    parsed = build_parser().parse_args(arguments)
    try:
        with ended_by_signals():
            code: int = _COMMANDS[parsed.command](parsed)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt as error:
        _print_interrupted()
        return 128 + (error.number if isinstance(error, Ended) else signal.SIGINT)
    except UsageError as error:
        _print_error(error)
        return 2
    except BrokenPipeError:
        # The reader of the output ("| head") has gone; Python must not complain about it once more
        # at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError) as error:
        _print_error(error)
        return 1


def _print_interrupted() -> None:
    """Say that the command was ended, if there is still a terminal to read it."""
    try:
        print("adhelpers: interrupted", file=sys.stderr, flush=True)
    except OSError:
        # Python would try once more at exit and end with another code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _print_error(error: Exception) -> None:
    """Print an error; names in it must not act on the terminal."""
    text = error_sentence(error) if isinstance(error, OSError) else str(error)
    lines = [escaped(line) for line in text.split("\n")]
    print("adhelpers: " + "\n".join(lines), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
