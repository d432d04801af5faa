"""`follow` and `seal`, as a person and as a program reads them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]
    Sql = asyncpg.Connection[asyncpg.Record]

CUT = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name = 'jobledger-cli'
"""


@pytest.fixture
async def sql(database: str) -> AsyncIterator[Sql]:
    """Give one connection of the test's own database."""
    opened = await asyncpg.connect(database)
    yield opened
    await opened.close()


def test_the_log_is_sealed_and_followed(cli: Run, database: str) -> None:
    """What was enqueued is read after it was sealed, in order, and again from any line's cursor."""
    for tenant in ("a", "b", "a"):
        assert cli("enqueue", "k", "--lax", "--tenant", tenant, "--owner", "ada", "--dsn", database).status == 0
    assert _lines(cli("follow", "--from", "beginning", "--stop-at-end", "--json", "--dsn", database)) == []
    assert cli("seal", "--json", "--dsn", database).document["blocks"] == 1
    assert cli("seal", "--json", "--dsn", database).document["blocks"] == 0
    whole = _lines(cli("follow", "--from", "beginning", "--stop-at-end", "--json", "--dsn", database))
    assert [line["tenant"] for line in whole] == ["a", "b", "a"]
    rest = _lines(cli("follow", "--from", whole[0]["cursor"], "--stop-at-end", "--json", "--dsn", database))
    assert rest == whole[1:]
    mine = ("--tenant", "a", "--stop-at-end", "--dsn", database)
    own = _lines(cli("follow", "--from", "beginning", "--json", *mine))
    assert [line["stream_id"] for line in own] == [whole[0]["stream_id"], whole[2]["stream_id"]]
    assert _lines(cli("follow", "--from", own[0]["cursor"], "--json", *mine)) == own[1:]
    refused = cli("follow", "--from", whole[0]["cursor"], *mine)
    assert (refused.status, "To go on" in refused.err) == (2, False)
    shown = cli("follow", "--from", "beginning", *mine)
    assert shown.out.count("job.enqueued") == 2
    assert whole[1]["stream_id"] not in shown.out
    assert not {"position", "block", "shard", "xid"} & set(own[0])
    assert _lines(cli("follow", "--stop-at-end", "--json", "--dsn", database)) == []


def test_following_is_in_colour_at_a_terminal_only_and_says_where_to_go_on(
    cli: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By outcome, unless NO_COLOR is set; of one kind, from a time; the cursor at the end leads on."""
    place = ("--stop-at-end", "--dsn", database)
    for kind in ("k", "other"):
        cli("enqueue", kind, "--lax", "--dsn", database)
    job = cli("jobs", "--kind", "k", "--json", "--dsn", database).document["jobs"][0]["id"]
    cli("kill", job, "--reason", "why", "--dsn", database)
    cli("seal", "--dsn", database)
    plain = cli("follow", "--from", "1h", "--kind", "k", *place)
    assert [line.split()[2] for line in plain.out.splitlines()] == ["job.enqueued", "job.killed"]
    cursor = plain.err.split()[-1]
    assert "To go on: --from" in plain.err
    assert cli("follow", "--from", cursor, *place).out == ""
    assert "\x1b" not in plain.out
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31mjob.killed" in cli("follow", "--from", "beginning", *place).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in cli("follow", "--from", "beginning", *place).out


@pytest.mark.slow
async def test_following_goes_on_over_lost_connections(database: str, sql: Sql) -> None:
    """Its sessions are ended: what comes meanwhile is shown all the same, and ctrl-c says where to go on."""
    command = [sys.executable, "-m", "jobledger", "follow", "--from", "beginning", "--dsn", database]
    follow = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Where the tests themselves run in the background of a script, ctrl-c is ignored, and that is inherited.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    )
    assert follow.stdout is not None
    seen = []
    for _ in range(3):
        job = str(await sql.fetchval("select jobledger.enqueue('k')"))
        await sql.fetch("select * from jobledger.seal()")
        seen.append(job in (await follow.stdout.readline()).decode())
        await sql.fetch(CUT)
    follow.send_signal(signal.SIGINT)
    _, told = await follow.communicate()
    assert (seen, follow.returncode) == ([True] * 3, 130)
    assert "To go on: --from p" in told.decode()
    assert "Traceback" not in told.decode()


def _lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 0, answer.err
    return [json.loads(line) for line in answer.out.splitlines()]
