"""The house: what lies where, how large it may grow, and which words it avoids."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_a_module_stays_small(path: Path) -> None:
    """At most 500 lines a module and 70 a function; its first words say its duty; its name is a noun of the domain."""
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 500
    assert ast.get_docstring(tree), "a module begins with what it is for"
    assert path.stem not in VAGUE
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= 70
    ]
    assert not long


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_sql_lies_in_files_of_its_own(path: Path) -> None:
    """No statement stands in Python, where no tool reads it."""
    tree = ast.parse(path.read_text())
    docs = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    statements = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs
        if STATEMENT.fullmatch(node.value)
        and re.search(r"\b(from|values|set|table|schema|select .*\()", node.value, re.I)
    ]
    assert not statements


@pytest.mark.parametrize("path", [*ROOT.glob("projections/**/*.sql"), *ROOT.glob("migrations/*.sql")], ids=_id)
def test_a_sql_file_says_what_it_is_for(path: Path) -> None:
    """The first line of each object's file is a comment."""
    assert path.read_text().startswith("--")


def test_nothing_is_left_unfinished_on_paper() -> None:
    """A note to oneself belongs into an issue."""
    found = [_id(path) for path in TEXTS if UNFINISHED.search(path.read_text(errors="ignore"))]
    assert not found
