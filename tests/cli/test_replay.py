"""`history` and `replay`, as a person and as a program reads them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]
    Sql = psycopg.Connection[tuple[Any, ...]]


REPORT = """
select verdict from jobledger.report(0::smallint, %s, %s::uuid[], %s::int[], array['succeeded'], array[null::jsonb])
"""


@pytest.fixture
def sql(database: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Give one connection of the test's own database."""
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


def test_one_job_or_many_are_replayed_with_the_time_between(cli: Run, database: str, sql: Sql) -> None:
    """Actor, reason, attempt, worker; the pauses of the job and of all; and the cursor to go on from."""
    place = ("--dsn", database)
    (worker,) = _one(
        sql, "select worker from jobledger.worker_start(0::smallint, null, null, array['greet'], null, 30)"
    )
    jobs = [_enqueued(cli, place, "greet", "--tenant", t, "--queue", f"q-{t}") for t in ("a", "b")]
    for call, job in enumerate(jobs, 1):
        taken = "select claim from jobledger.claim_job(0::smallint, %s, %s, %s::uuid, array['greet'])"
        (claim,) = _one(sql, taken, worker, call, job)
        assert _one(sql, REPORT, worker, [job], [claim]) == ("accepted",)
    held = _enqueued(cli, place, "ask", "--tenant", "a", "--queue", "q-a")
    assert cli("cancel", held, "--reason", "not needed", "--actor", "grace", *place).status == 0
    cli("seal", *place)
    whole = _lines(cli("replay", "--json", *place))
    steps = [(line["type"], line["after_s"] is None) for line in whole if line["stream_id"] == jobs[0]]
    assert steps == [("job.enqueued", True), ("job.claimed", False), ("job.succeeded", False)]
    assert all(line["since_s"] is not None for line in whole[1:])
    mine = _lines(cli("replay", "--tenant", "a", "--json", *place))
    assert {line["tenant"] for line in mine} == {"a"}
    assert len(mine) == 5
    assert _lines(cli("replay", "--tenant", "a", "--queue", "q-a", "--json", *place)) == mine
    assert _lines(cli("replay", "--tenant", "a", "--queue", "q-b", "--json", *place)) == []
    assert [line["type"] for line in _lines(cli("replay", "--kind", "ask", "--json", *place))] == [
        "job.enqueued",
        "job.cancelled",
    ]
    ends = _lines(cli("replay", "--type", "job.succeeded,job.cancelled", "--json", *place))
    assert [line["type"] for line in ends] == ["job.succeeded", "job.succeeded", "job.cancelled"]
    middle = whole[3]["cursor"]
    assert _lines(cli("replay", "--to", middle, "--json", *place)) == whole[:4]
    behind = _lines(cli("replay", "--from", middle, "--json", *place))
    assert [line["cursor"] for line in behind] == [line["cursor"] for line in whole[4:]]
    assert _lines(cli("replay", "--from", "beginning", "--json", *place)) == whole
    assert _lines(cli("replay", "--from", "1h", "--to", "2999-01-01T00:00:00Z", "--json", *place)) == whole
    assert _lines(cli("replay", "--to", "1h", "--json", *place)) == []
    for command in (("history", held), ("replay", held)):
        told = cli(*command, *place).out
        assert all(word in told for word in ("job.cancelled", "grace", "not needed"))
        assert re.search(r"\d (ms|s)\b", told)
        assert _lines(cli(*command, "--json", *place))[1]["actor"] == "grace"
    shown = cli("replay", "--tenant", "a", "--speed", "1e6", *place).out
    assert len(shown.splitlines()) == 5
    assert "by grace" in shown


def test_a_role_that_is_bound_to_a_tenant_replays_its_own(cli: Run, database: str, sql: Sql) -> None:
    """Its jobs' events as they were appended, whoever's it asks for; no cursor, which would tell of the others."""
    place = ("--dsn", database)
    mine, other = (_enqueued(cli, place, "k", "--tenant", tenant) for tenant in ("a", "b"))
    assert cli("cancel", mine, "--reason", "why", *place).status == 0
    name = f"bound_{uuid4().hex[:12]}"
    sql.execute(f"create role {name} login in role jobledger_reader")
    sql.execute("insert into jobledger.grants (role, tenant) values (%s, 'a')", (name,))
    bound = ("--dsn", database.replace("//postgres@", f"//{name}@"), "--json")
    try:
        for asked in ((), ("--tenant", "a"), ("--from", "1h", "--to", "2999-01-01T00:00:00Z"), (mine,)):
            seen = _lines(cli("replay", *asked, *bound))
            assert [(line["stream_id"], line["type"]) for line in seen] == [
                (mine, "job.enqueued"),
                (mine, "job.cancelled"),
            ]
            assert not any("cursor" in line for line in seen)
        assert _lines(cli("replay", "--tenant", "b", *bound)) == []
        assert _lines(cli("replay", "--tenant", "a", "--to", "1h", *bound)) == []
        assert cli("replay", other, *bound).status == cli("replay", str(uuid4()), *bound).status == 3
        assert cli("replay", "--from", "pAAAA", *bound).status != 0
    finally:
        sql.execute(f"drop role {name}")


@pytest.mark.slow
def test_a_replay_ends_with_the_pipe(cli: Run, database: str) -> None:
    """Who reads no further ends it, without a word on stderr."""
    _enqueued(cli, ("--dsn", database), "k")
    cli("seal", "--dsn", database)
    command = [sys.executable, "-m", "jobledger", "replay", "--json", "--dsn", database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as replay:  # noqa: S603
        assert replay.stdout is not None
        replay.stdout.close()
        assert replay.stderr is not None
        assert (replay.stderr.read(), replay.wait()) == (b"", 141)


def _enqueued(cli: Run, place: tuple[str, ...], kind: str, *words: str) -> str:
    answer = cli("enqueue", kind, *words, "--lax", *place)
    assert answer.status == 0, answer.err
    return answer.out.strip()


def _one(sql: Sql, statement: str, *values: object) -> tuple[Any, ...]:
    row = sql.execute(statement, values).fetchone()
    assert row is not None
    return row


def _lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 0, answer.err
    return [json.loads(line) for line in answer.out.splitlines()]
