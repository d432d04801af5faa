"""SQL lies in files of its own: one statement or object each, lower case, with a word about what it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECTIONS = sorted(ROOT.glob("projections/**/*.sql"))
SENT = sorted(ROOT.glob("service/jobledger/**/sql/**/*.sql"))
RELEASED = sorted(ROOT.glob("migrations/*.sql"))
ALL = [*PROJECTIONS, *SENT, *RELEASED]

# Comments, quoted text and dollar-quoted bodies: what stands in them is not the file's own SQL.
ASIDE = re.compile(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|\"[^\"]*\"", re.S)
OBJECT = re.compile(
    r"\bcreate\s+(?:or\s+replace\s+)?(?:unlogged\s+)?(table|view|type|function|procedure|aggregate|sequence)\s+"
    r"(?:if\s+not\s+exists\s+)?([\w.]+)"
)
SHOUTED = re.compile(
    r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|FROM|WHERE|SET|BEGIN|END|RETURNS|TABLE|VALUES|JOIN|AND|OR|NOT|NULL)\b"
)


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def statements(text: str) -> list[str]:
    """Return the statements of a file, without comments and what is quoted."""
    return [part.strip() for part in ASIDE.sub(" ", text).split(";") if part.strip()]


@pytest.mark.parametrize("path", ALL, ids=_id)
def test_a_file_begins_with_what_it_is_for(path: Path) -> None:
    """The first line is a comment that says something."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert re.match(r"-- \S+ \S+", first), first


@pytest.mark.parametrize("path", ALL, ids=_id)
def test_sql_is_written_in_lower_case(path: Path) -> None:
    """Key words are not shouted."""
    text = re.sub(r"--[^\n]*|'(?:[^']|'')*'", " ", path.read_text(encoding="utf-8"))
    assert not SHOUTED.findall(text)


@pytest.mark.parametrize("path", SENT, ids=_id)
def test_what_python_sends_is_one_statement(path: Path) -> None:
    """A prepared statement cannot be two."""
    assert len(statements(path.read_text(encoding="utf-8"))) == 1


@pytest.mark.parametrize("path", PROJECTIONS, ids=_id)
def test_a_projections_file_makes_one_object(path: Path) -> None:
    """One table, view, type or function a file; its indexes, triggers and rights stand beside it."""
    text = ASIDE.sub(" ", path.read_text(encoding="utf-8"))
    assert len({name for _, name in OBJECT.findall(text)}) <= 1


def test_statements_are_told_apart_by_their_own_semicolons() -> None:
    """A semicolon in a comment, a text or a function's body ends nothing."""
    body = "-- a; b\ncreate function f() returns void as $x$ begin; end $x$;\nselect ';' /* ; */ as \"a;b\""
    assert len(statements(body)) == 2
