"""How long each run in a folder of results took, as rows of a Markdown table.

``make report`` leaves the seconds in ``results``; then ``make times`` prints them. README's times
come from here.
"""

import argparse
import json
from pathlib import Path


def rows(results):
    """Notebook, category, seconds in all, and the three longest stages of each run."""
    found = []
    for file in sorted(results.glob("*/*/summary.json")):
        summary = json.loads(file.read_text(encoding="utf-8"))
        stages = summary["seconds"] or {}
        longest = sorted(stages.items(), key=lambda one: -one[1])[:3]
        found.append(
            (
                summary["notebook"],
                file.parent.name,
                seconds_of(file.parent),
                ", ".join(f"{name} {seconds:.0f} s" for name, seconds in longest),
            )
        )
    return found


def seconds_of(folder):
    """Wall time of the run, kernel included, which `run` has recorded beside its summary."""
    file = folder / "run.json"
    record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return f"{record['seconds']:.0f} s" if "seconds" in record else "not recorded"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    found = rows(parser.parse_args().results)
    if not found:
        raise SystemExit("no run in this folder: make report, or python -m adhelpers run NOTEBOOK")
    print("| notebook | category | time | longest stages |\n|---|---|---|---|")
    for row in found:
        print(f"| {' | '.join(row)} |")
