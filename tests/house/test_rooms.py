"""The rooms: an arrow only ever points up the list, and every room has its place in it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "pyproject.toml"
PACKAGE = ROOT / "service" / "jobledger"


def test_imports_keep_to_the_rooms() -> None:
    """import-linter finds no arrow that points down, and no driver in a pure room."""
    linter = Path(sys.executable).with_name("lint-imports")
    told = subprocess.run(  # noqa: S603
        [linter, "--config", CONFIG, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_room_has_its_place() -> None:
    """The rooms of the package are those of the list; a new one is placed before it is used."""
    rules = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (rule["layers"] for rule in rules if rule["id"] == "rooms")
    placed = {name.strip() for layer in layers for name in layer.replace("|", ":").split(":")}
    rooms = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms - {"__init__", "__main__"} == placed


def test_no_room_takes_names_from_the_package_itself() -> None:
    """`jobledger` re-exports names of most rooms, so an arrow could point anywhere; only its version is free."""
    rooms = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    taken = {
        f"{path.relative_to(ROOT)}: {name.name}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "jobledger" and not node.level
        for name in node.names
        if name.name not in rooms | {"__version__"}
    }
    assert not taken
