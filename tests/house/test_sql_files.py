"""SQL lies in files of its own: one statement or object each, lower case, with a word about what it is for."""

from __future__ import annotations

import re
from pathlib import Path

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


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def statements(text: str) -> list[str]:
    """Return the statements of a file, without comments and what is quoted."""
    return [part.strip() for part in ASIDE.sub(" ", text).split(";") if part.strip()]


def test_a_file_begins_with_what_it_is_for() -> None:
    """The first line is a comment that says something."""
    assert len(ALL) > 100
    assert not [_id(path) for path in ALL if not re.match(r"-- \S+ \S+", _text(path))]


def test_sql_is_written_in_lower_case() -> None:
    """Key words are not shouted."""
    assert not [_id(path) for path in ALL if SHOUTED.search(re.sub(r"--[^\n]*|'(?:[^']|'')*'", " ", _text(path)))]


def test_what_python_sends_is_one_statement() -> None:
    """A prepared statement cannot be two."""
    assert not [_id(path) for path in SENT if len(statements(_text(path))) != 1]


def test_a_projections_file_makes_one_object() -> None:
    """One table, view, type or function a file; its indexes, triggers and rights stand beside it."""
    objects = {_id(path): {name for _, name in OBJECT.findall(ASIDE.sub(" ", _text(path)))} for path in PROJECTIONS}
    assert not {path: names for path, names in objects.items() if len(names) > 1}


def test_statements_are_told_apart_by_their_own_semicolons() -> None:
    """A semicolon in a comment, a text or a function's body ends nothing."""
    body = "-- a; b\ncreate function f() returns void as $x$ begin; end $x$;\nselect ';' /* ; */ as \"a;b\""
    assert len(statements(body)) == 2
