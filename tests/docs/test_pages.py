"""The pages of the documentation: links lead somewhere, code parses, and names that it imports exist."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jobledger.embedded import Server

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(#[^)\s]*)?\)")
CODE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _headings(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    """Nobody is sent into the void."""
    broken = []
    for target, anchor in LINK.findall(page.read_text()):
        there = (page.parent / target).resolve() if target else page
        if not there.exists() or (anchor and anchor[1:] not in _headings(there)):
            broken.append(target + anchor)
    assert not broken


@pytest.mark.parametrize("page", [page for page in PAGES if CODE.search(page.read_text())], ids=_id)
def test_code_parses_and_imports_names_that_exist(page: Path) -> None:
    """What is shown can be typed in; top-level await stands for the inside of an async function."""
    for code in CODE.findall(page.read_text()):
        tree = compile(code, page.name, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "jobledger":
                module = import_module(node.module)
                missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert not missing, node.module


def test_the_application_of_the_tutorial_is_one() -> None:
    """Its file can be imported: every declaration in it is accepted."""
    text = (ROOT / "docs" / "tutorial.md").read_text()
    shop = next(code for code in CODE.findall(text) if code.startswith("# shop.py"))
    names: dict[str, object] = {"__name__": "shop"}
    exec(compile(shop, "shop.py", "exec"), names)  # noqa: S102 - the documentation's own code
    assert getattr(names["app"], "names", None) == ["charge", "receipt"]


@pytest.mark.slow
def test_the_tests_of_the_testing_page_pass(tmp_path: Path, postgres: Server) -> None:
    """An application's own project, with nothing but the page's two files, is tested by pytest as the page says."""
    for code in CODE.findall((ROOT / "docs" / "howto" / "testing.md").read_text()):
        (tmp_path / code.split("\n", 1)[0].removeprefix("# ")).write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={**os.environ, "JOBLEDGER_TEST_DSN": postgres.dsn_for("postgres"), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
