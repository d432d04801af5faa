"""`projections`, as a person and as a program uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]

FOLD = """
create function fold(p_shard smallint, p_after bigint, p_upto bigint) returns void language sql as $$
  insert into jobs select e.tenant, 1 from jobledger.sealed_between(p_shard, p_after, p_upto) as e
  on conflict (tenant) do update set jobs = jobs.jobs + 1
$$
"""


@pytest.mark.slow
def test_a_projection_is_run_listed_rebuilt_stopped_resumed_and_dropped(
    cli: Run, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fold that fails is listed with its error and its lag, and goes on once it was mended and resumed."""
    folder = tmp_path / "counted"
    folder.mkdir()
    (folder / "version.txt").write_text("1\n")
    (folder / "10_jobs.sql").write_text("create table jobs (tenant text primary key, jobs int not null)")
    (folder / "fold.sql").write_text(FOLD)
    (tmp_path / "counting.py").write_text(
        f"from jobledger import App\n\napp = App()\napp.sql_projection({str(folder)!r})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    of_app = ("--app", "counting:app", "--dsn", database)
    assert cli("projections", "rebuild", "counted", "--no-wait", "--dsn", database).status == 3
    for tenant in ("a", "b"):
        assert cli("enqueue", "k", "--lax", "--tenant", tenant, "--dsn", database).status == 0
        assert cli("seal", "--dsn", database).status == 0
    assert cli("projections", "run", "--until-settled", *of_app).status == 0
    assert _listed(cli, database) == ("running", 2, 0)
    assert cli("projections", "stop", "counted", "--dsn", database).status == 0
    assert cli("enqueue", "k", "--lax", "--tenant", "b", "--dsn", database).status == 0
    assert cli("seal", "--dsn", database).status == 0
    # A tenant that comes twice in a batch fails this fold: it is then folded block by block, until one fails by itself.
    assert cli("projections", "resume", "counted", "--dsn", database, "--json").document["resumed"] == 1
    rebuilt = cli("projections", "rebuild", "counted", "--json", *of_app)
    assert (rebuilt.status, rebuilt.document["done"], rebuilt.document["events"]) == (0, True, 3)
    assert "counted: 3 of 3" in rebuilt.err
    for _ in range(2):
        assert cli("enqueue", "k", "--lax", "--tenant", "c", "--dsn", database).status == 0
    assert cli("seal", "--dsn", database).status == 0
    assert cli("projections", "run", "--until-settled", *of_app).status == 0
    assert _listed(cli, database) == ("stopped", 3, 2)
    shown = cli("projections", "list", "--dsn", database)
    assert "block 4: CardinalityViolationError 21000" in shown.out
    assert cli("projections", "rebuild", "counted", *of_app).status == 8
    assert cli("projections", "drop", "counted", "--rebuild-only", "--dsn", database).status == 0
    assert cli("projections", "drop", "counted", "--dsn", database, "--json").document["dropped"] == 1
    assert cli("projections", "drop", "counted", "--dsn", database).status == 3
    assert "counted" not in cli("projections", "list", "--dsn", database).out


def _listed(cli: Run, database: str) -> tuple[str, int, int]:
    answer = cli("projections", "list", "--dsn", database, "--json")
    (one,) = [found for found in answer.document["projections"] if found["name"] == "counted"]
    return one["state"], one["events"], one["behind"]
