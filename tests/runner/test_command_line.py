"""The parser and what the command line does know the same commands."""

import argparse

import pytest

from adhelpers import __main__ as command_line
from adhelpers.runner import build_parser


def commands(parser, before=""):
    """The names of all commands, those in groups after their group's."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                below = list(commands(inner, f"{before}{name} "))
                yield from below or [(f"{before}{name}", inner)]


def test_every_command_is_parsed_to_its_own_name_and_has_a_function():
    found = dict(commands(build_parser()))
    assert set(found) == set(command_line._COMMANDS)
    for name, parser in found.items():
        assert parser.get_default("command") == name
        assert parser.description.endswith(".")


@pytest.mark.parametrize("name", [name for name, _ in commands(build_parser())])
def test_every_option_has_a_help_text(name):
    parser = dict(commands(build_parser()))[name]
    assert all(action.help for action in parser._actions)


def test_options_by_hand():
    parsed = build_parser().parse_args(
        ["run", "01", "-p", "seed", "3", "--sweep", "category=screw,hazelnut", "--jobs", "2"]
    )
    assert parsed.command == "run" and parsed.notebooks == ["01"]
    assert parsed.parameter == [["seed", "3"]] and parsed.sweep == ["category=screw,hazelnut"]
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["predict", "model"])
    assert ended.value.code == 2
