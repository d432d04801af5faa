"""The SQL folders are read in their order, and what is out of rule is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobledger.errors import SchemaError
from jobledger.store.migration_files import (
    MigrationFile,
    ProjectionFile,
    checksum,
    read_sql_files,
    split_statements,
)
from jobledger.store.statements import statement, without_header

if TYPE_CHECKING:
    from pathlib import Path


def test_the_packages_own_folders_are_in_order() -> None:
    """Migrations count from one; the projections' folders follow order.txt."""
    files = read_sql_files()
    assert [file.number for file in files.migrations] == list(range(1, len(files.migrations) + 1))
    assert list(dict.fromkeys(file.projection for file in files.projections)) == ["queue", "status", "contract"]
    assert {"ready", "waiting", "running"} <= {table for file in files.projections for table in file.tables}


@pytest.mark.parametrize("names", [["0001_a.sql", "0003_b.sql"], ["0001_a.sql", "0001_b.sql"], ["1_a.sql"]])
def test_a_gap_a_double_or_a_wrong_name_is_refused(tmp_path: Path, names: list[str]) -> None:
    """Two branches that took the same number are found before anything is applied."""
    for name in names:
        (tmp_path / name).write_text("select 1;")
    with pytest.raises(SchemaError, match=names[-1]):
        read_sql_files(tmp_path, tmp_path)


def test_an_order_that_names_an_unknown_folder_is_refused(tmp_path: Path) -> None:
    """A projection that was renamed but not in order.txt would else be applied last in silence."""
    (tmp_path / "queue").mkdir()
    (tmp_path / "order.txt").write_text("# first\nqueue\nstats\n")
    with pytest.raises(SchemaError, match="stats"):
        read_sql_files(tmp_path, tmp_path)


def test_folders_that_are_not_listed_come_last_by_name(tmp_path: Path) -> None:
    """Without order.txt: queue, status, the others."""
    for name in ("alpha", "status", "queue"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "10_x.sql").write_text("select 1;")
        (tmp_path / name / "notes.md").write_text("not SQL")
    files = read_sql_files(tmp_path, tmp_path)
    assert [file.path for file in files.projections] == ["queue/10_x.sql", "status/10_x.sql", "alpha/10_x.sql"]


def test_white_space_at_line_ends_does_not_change_a_checksum() -> None:
    """A checkout with other line ends is the same migration; another indentation is not."""
    assert checksum("a\n  b\n") == checksum("a \r\n  b\t\r\n\r\n")
    assert checksum("a\n  b\n") != checksum("a\n b\n")


def test_a_script_is_split_outside_of_strings_comments_and_bodies() -> None:
    """A semicolon inside a literal, a quoted name, a comment or a dollar quote ends nothing."""
    script = """
    -- one; not two
    select ';', "a;b" /* ; */;
    do $body$ begin perform 1; perform '$$;'; end $body$;
    select $$;$$
    -- the end;
    """
    pieces = split_statements(script)
    assert len(pieces) == 3
    assert pieces[1].startswith("do $body$")
    assert pieces[2].startswith("select $$;$$")


def test_the_tables_of_a_projection_file_are_known() -> None:
    """Only a statement of its own makes a table; one inside a function's body does not."""
    text = "-- t\ncreate unlogged table jobledger.a (x int);\ncreate table if not exists jobledger.b ();\n"
    assert ProjectionFile("p", "p/1.sql", text).tables == ("a", "b")
    assert ProjectionFile("p", "p/1.sql", "do $$\n  execute 'create table jobledger.c ()'\n$$").tables == ()


def test_the_marker_in_the_first_line_takes_a_migration_out_of_a_transaction() -> None:
    """Only the first line counts."""
    assert not MigrationFile(1, "0001_x.sql", "-- jobledger: no-transaction\nselect 1;").in_transaction
    assert MigrationFile(1, "0001_x.sql", "-- x\n-- jobledger: no-transaction\n").in_transaction


def test_a_statement_comes_without_its_header_and_a_missing_one_is_named() -> None:
    """What is sent has no comment on top; a file that is not there means a broken installation."""
    assert statement("migration_lock").startswith("select")
    assert without_header("-- a\n\n-- b\nselect 1 -- c\n") == "select 1 -- c"
    with pytest.raises(SchemaError, match="no_such_statement"):
        statement("no_such_statement")
