"""The package is built as docs/architecture.md says: imports, public names, mirrored tests."""

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "adhelpers"
MODULES = sorted(PACKAGE.rglob("*.py"))
DOCUMENT = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
# `room` | what it does | `other`, `another`
ROW = re.compile(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", re.M)
MAY_IMPORT = {room: set(re.findall(r"`(\w+)`", others)) for room, others in ROW.findall(DOCUMENT)}
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())
# What only data and metrics may see: an explainer that knows the defect would explain nothing.
SECRETS = {"mask", "masks", "ground_truth", "truth"}


def name_of(path):
    return path.relative_to(PROJECT).as_posix()


def room_of(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else None


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Modules of the package that a module imports anywhere, with the names that it takes."""
    package = path.relative_to(PROJECT).parts[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split("."), []
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) + 1 - node.level]) if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            yield module, [alias.name for alias in node.names]


def other_rooms(path):
    """Rooms that a module imports from other than its own, and from which of their modules."""
    for module, names in imports(path):
        if module[0] != "adhelpers":
            continue
        targets = [module] if len(module) > 1 else [[*module, name] for name in names]
        for target in targets:
            if len(target) > 1 and target[1] in ROOMS and target[1] != room_of(path):
                yield target[1], target


def test_the_table_names_every_room_and_makes_no_circle():
    assert sorted(MAY_IMPORT) == ROOMS
    left = {room: set(others) for room, others in MAY_IMPORT.items()}
    while left:
        free = {room for room, others in left.items() if not others & set(left)}
        assert free, f"these rooms may import each other in a circle: {sorted(left)}"
        left = {room: others for room, others in left.items() if room not in free}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_table_says(room):
    wrong = [
        f"{name_of(path)} imports {other}"
        for path in MODULES
        if room_of(path) == room
        for other, _ in other_rooms(path)
        if other not in MAY_IMPORT[room]
    ]
    assert not wrong, "\n".join(wrong)


def test_rooms_take_from_each_other_what_their_init_lists():
    wrong = [
        f"{name_of(path)} imports {'.'.join(target)}: import it from adhelpers.{other}"
        for path in MODULES
        for other, target in other_rooms(path)
        if other != "_shared" and len(target) > 2
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_lies_at_the_root_of_the_package():
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py", "__main__.py"]


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/**/__init__.py")), ids=name_of)
def test_an_init_only_lists_names(path):
    body = tree_of(path).body
    assert ast.get_docstring(ast.Module(body, []))
    public, imported = [], []
    for node in body[1:]:
        if isinstance(node, ast.ImportFrom):
            own = node.level == 1 or (node.module or "").startswith("adhelpers._shared")
            assert own, f"{name_of(path)} imports from another room"
            imported += [alias.asname or alias.name for alias in node.names]
        else:
            assert isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            public = ast.literal_eval(node.value)
    assert sorted(public) == sorted(imported)


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "_shared"])
def test_a_public_name_is_used_outside_of_its_room(room):
    outside = [path for path in MODULES if room_of(path) != room]
    outside += [*PROJECT.glob("notebooks/*.ipynb"), *PROJECT.glob("docs/*.md")]
    outside.append(PROJECT / "README.md")
    words = set(re.findall(r"\w+", " ".join(path.read_text("utf-8") for path in outside)))
    listed = [
        alias.name
        for node in tree_of(PACKAGE / room / "__init__.py").body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    unused = [name for name in listed if name not in words]
    assert not unused, f"only its own room or tests use: {', '.join(unused)}"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if room_of(path) == "explainers"], ids=name_of
)
def test_an_explainer_cannot_see_a_mask(path):
    seen = {node.arg for node in ast.walk(tree_of(path)) if isinstance(node, ast.arg)}
    assert seen & SECRETS == set()


def defines_something(path):
    """False for a module of names only, such as those of the arrays."""
    return any(
        isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.walk(tree_of(path))
    )


def test_every_module_has_its_test():
    modules = [
        path for path in MODULES if not path.name.startswith("_") and defines_something(path)
    ]
    tests = [
        PROJECT.joinpath("tests", *path.relative_to(PACKAGE).parts[:-1], f"test_{path.name}")
        for path in modules
    ]
    missing = [name_of(path) for path in tests if not path.is_file()]
    assert not missing, "\n".join(missing)


def test_every_test_has_its_module():
    """A test file that was left behind when its module moved tests nothing that is called so."""
    mirrored = [path for path in PROJECT.glob("tests/*/**/test_*.py")]
    rooms = [path for path in mirrored if path.relative_to(PROJECT).parts[1] in ROOMS]
    modules = [
        PACKAGE.joinpath(*path.relative_to(PROJECT).parts[1:-1], path.name.removeprefix("test_"))
        for path in rooms
    ]
    missing = [name_of(path) for path in modules if not path.is_file()]
    assert not missing, "\n".join(missing)


def test_the_examples_of_the_document_work():
    path = PROJECT / "docs" / "architecture.md"
    failed, tried = doctest.testfile(str(path), module_relative=False)
    assert failed == 0 and tried > 8


def test_a_kernel_does_not_load_what_only_the_command_line_needs():
    # Every kernel pays for what the steps import; these take more than a second together.
    heavy = ["jsonschema", "nbconvert", "nbformat", "papermill", "skops", "sklearn.tests"]
    code = (
        "import sys; from adhelpers import steps; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
