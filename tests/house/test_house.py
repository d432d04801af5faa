"""The house: what lies where, how large it may grow, and which words it avoids."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "service" / "jobledger"
MODULES = sorted(PACKAGE.rglob("*.py"))
TEXTS = sorted(
    path
    for folder in ("service", "projections", "migrations", "tests", "deploy", "docs", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".sql", ".md", ""} and path.is_file() and "__pycache__" not in path.parts
)
# Spelt in pieces, or this file would find itself.
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "not " + "implemented")))
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "models", "misc", "base"}
STATEMENT = re.compile(
    r"\s*(select|insert into|update|delete from|with|create|alter|drop|truncate)[ \n]\S+.*", re.I | re.S
)


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_top_level_is_exactly_the_one_that_was_agreed() -> None:
    """A new folder at the top is a decision, not an accident."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    if listed.returncode:
        pytest.skip("no git checkout")
    top = {name.split("/")[0] for name in listed.stdout.splitlines()}
    agreed = {"pyproject.toml", "service", "projections", "migrations", "tests", "deploy", "docs"}
    assert {name for name in top if not name.startswith(".")} == agreed | {"README.md", "LICENSE", "CHANGELOG.md"}


def test_a_module_stays_small() -> None:
    """At most 500 lines a module and 70 a function; its first words say its duty; its name is a noun of the domain."""
    faults = {_id(path): found for path in MODULES if (found := list(_faults(path)))}
    assert MODULES
    assert not faults


def _faults(path: Path) -> Iterator[str]:
    text = path.read_text()
    tree = ast.parse(text)
    if len(text.splitlines()) > 500:
        yield f"{len(text.splitlines())} lines"
    if not ast.get_docstring(tree):
        yield "does not begin with what it is for"
    if path.stem in VAGUE:
        yield "its name is no noun of the domain"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1
            if lines > 70:
                yield f"{node.name}: {lines} lines"


def test_sql_lies_in_files_of_its_own() -> None:
    """No statement stands in Python, where no tool reads it."""
    assert not {_id(path): found for path in MODULES if (found := _statements(path))}


def _statements(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    docs = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs
        if STATEMENT.fullmatch(node.value)
        and re.search(r"\b(from|values|set|table|schema|select .*\()", node.value, re.I)
    ]


def test_nothing_is_left_unfinished_on_paper() -> None:
    """A note to oneself belongs into an issue."""
    found = [_id(path) for path in TEXTS if UNFINISHED.search(path.read_text(errors="ignore"))]
    assert not found
