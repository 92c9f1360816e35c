"""Which room of the package may import which."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "pgstore"

# A room is a folder, or a module beside the folders. Each may import itself and these.
ROOMS = {
    "errors": {"_core"},
    "_core": {"errors"},
    "_compat": {"_core"},
    "_async": {"_core", "_compat", "errors"},
    "_sync": {"_core", "_compat", "errors"},
    "_install": {"_core", "_compat", "_sync"},
    "_public": {"_core", "_async", "_sync", "_install", "errors"},
    "__init__": {"_public"},
    "embedded": {"_core"},
    "otel": {"_core", "_compat", "_async", "_sync", "errors"},
    "transfer": {"_core", "_sync", "errors"},
    "testing": {"_core", "_compat", "_async", "_sync", "_install", "errors"},
    "pytest_plugin": {"embedded", "testing"},
    "demo": {"__init__", "embedded"},
    "ui": {"_core", "_async", "errors", "transfer"},
    "cli": {
        *{"__init__", "_core", "_compat", "_async", "_sync", "demo", "embedded"},
        *{"errors", "transfer", "ui"},
    },
    "__main__": {"_compat", "cli"},
}

# Rooms that others enter by their door alone: the package itself, not a module in it.
DOORS = {"embedded", "otel", "transfer", "cli", "testing", "ui"}


def imported(path: Path) -> Iterator[str]:
    """The modules of the package that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("pgstore"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pgstore"):
            assert node.module is not None
            for each in node.names:
                inside = PACKAGE.parent / node.module.replace(".", "/") / each.name
                is_module = inside.is_dir() or inside.with_suffix(".py").exists()
                yield f"{node.module}.{each.name}" if is_module else node.module


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).with_suffix("").parts[0], path


def test_every_room_is_listed() -> None:
    assert {room for room, _ in modules()} == ROOMS.keys()


def test_readme_of_a_room_names_its_modules() -> None:
    missing = [
        str(module.relative_to(PACKAGE))
        for readme in PACKAGE.glob("*/README.md")
        for module in sorted(readme.parent.glob("*.py"))
        if module.name != "__init__.py" and f"`{module.name}`" not in readme.read_text()
    ]
    assert missing == []


def test_rooms_import_only_the_rooms_below_them() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for room, path in modules()
        for module in imported(path)
        if room_of(module) not in ROOMS[room] | {room}
    ]
    assert wrong == []


def test_rooms_are_entered_by_their_doors() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for room, path in modules()
        for module in imported(path)
        if room_of(module) != room and room_of(module) in DOORS and module.count(".") > 1
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): set(imported(path))
        for _, path in modules()
    }
    while leaves := [module for module, needs in graph.items() if not needs & graph.keys()]:
        for each in leaves:
            del graph[each]
    assert graph == {}


def test_core_waits_for_nothing() -> None:
    wrong = [
        path.name
        for path in (PACKAGE / "_core").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef | ast.Await)
        or (isinstance(node, ast.Attribute) and node.attr in ("execute", "connect", "sleep"))
    ]
    assert wrong == []


def test_only_public_modules_of_psycopg_are_imported() -> None:
    """What another package keeps to itself can change in any of its releases."""
    found = []
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{each.name}" for each in node.names]
            elif isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            else:
                continue
            found += [
                f"{path}: {name}"
                for name in names
                if name.startswith("psycopg") and any(part[0] == "_" for part in name.split("."))
            ]
    assert found == []
