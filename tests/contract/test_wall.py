"""The tenant wall and the log's fences, as a login role of another tenant meets them."""

# ruff: noqa: S608 - the statements are put together from what stands in this folder
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from .wall_cases import CASES, LANE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.conftest import Desk

    Connection = asyncpg.Connection[asyncpg.Record]

ROLES = ("jobledger_producer", "jobledger_worker", "jobledger_reader", "jobledger_operator")
NOBODY = {"tenant": "nobody", "job": uuid4(), "worker": uuid4()}
REGISTER = "select worker from jobledger.worker_start(0::smallint, null, null, array['noop'], null, 30)"
EXECUTABLE = """
select distinct p.proname from pg_proc as p cross join unnest($1::text[]) as r (role)
where p.pronamespace = 'jobledger'::regnamespace and has_function_privilege(r.role, p.oid, 'execute')
"""
TABLES = "select relname from pg_class where relnamespace = 'jobledger'::regnamespace and relkind in ('r', 'p', 'v')"


@dataclass
class Foreign:
    """What the tenant `acme` has: a job in each state, and a worker; and the login role that only has `other`."""

    role: str
    how: str
    own: Connection
    owner: Connection
    desk: Desk
    worker: UUID
    jobs: dict[str, UUID] = field(default_factory=dict)

    def probes(self, what: str) -> dict[str, Any]:
        """Return the foreign things of one sort, by name."""
        return dict(self.jobs) if what == "job" else {what: {"tenant": "acme", "worker": self.desk.worker}[what]}

    async def sight(self) -> list[asyncpg.Record]:
        """Return all that is acme's, to see that nothing of it changed."""
        return await self.owner.fetch(
            "select id::text, state::text, head, tenant, null as data from jobledger.jobs where tenant = 'acme'"
            " union all"
            " select stream_id::text, type::text, version, tenant, data::text from jobledger.events"
            " where tenant = 'acme' or stream_id = $1 union all"
            " select name, paused::text, head, scope, timeout::text from jobledger.limits union all"
            " select id::text, lease_until::text, beat, settled::text, stopped_at::text from jobledger.workers"
            " where id = $1 order by 1, 2, 3",
            self.desk.worker,
        )


async def _jobs_in_every_state(desk: Desk) -> dict[str, UUID]:
    jobs: dict[str, UUID] = {}
    for state, outcome, data in (
        ("succeeded", "succeeded", None),
        ("failed", "failed", {"final": True}),
        ("parked", "parked", {"reason": "rights"}),
        ("running", None, None),
    ):
        jobs[state] = await desk.enqueue(tenant="acme")
        taken = await desk.claim()
        if outcome is not None:
            await desk.report(taken, outcome, data)
    for act in ("kill", "cancel"):
        id = await desk.enqueue(tenant="acme")  # noqa: A001 - the domain's word
        await desk.act(act, [id])
        jobs[act] = id
    later = await desk.sql.fetchval("select jobledger.now() + interval '1 day'")
    jobs["scheduled"] = await desk.enqueue(tenant="acme", run_at=later)
    jobs["ready"] = await desk.enqueue(tenant="acme", key="key", unique_key="unique", owner="ada")
    return jobs


@pytest.fixture
async def role(database: str) -> AsyncIterator[str]:
    """Give a login role that may do everything for the tenant `other`; roles are the cluster's, so it is dropped."""
    name = f"wall_{uuid4().hex[:12]}"
    owner = await asyncpg.connect(database)
    await owner.execute(f"create role {name} login in role {', '.join(ROLES)}")
    await owner.execute("insert into jobledger.grants (role, tenant) values ($1, 'other')", name)
    yield name
    await owner.execute(f"drop role {name}")
    await owner.close()


@pytest.fixture(params=["login", "set local role"])
async def foreign(request: pytest.FixtureRequest, database: str, role: str, desk: Desk) -> AsyncIterator[Foreign]:
    """Give acme's things and a connection in an open transaction that speaks as the other tenant's role."""
    jobs = await _jobs_in_every_state(desk)
    await desk.sql.execute("select jobledger.pause(0::smallint, 'tenant', 'acme', 'ada', 'unpaid')")
    if request.param == "login":
        own = await asyncpg.connect(database, user=role)
    else:
        own = await asyncpg.connect(database)
    worker = await _as(own, role, request.param)
    made = Foreign(role, request.param, own, desk.sql, desk, worker, jobs)
    yield made
    await own.close()


async def _as(own: Connection, role: str, how: str) -> UUID:
    """Begin a transaction in which the connection is the role, with a worker of its own."""
    await own.execute("begin")
    if how != "login":
        await own.execute(f"set local role {role}")
    worker: UUID = await own.fetchval(REGISTER)
    return worker


async def _answer(foreign: Foreign, statement: str, value: object, *, undo: bool = True) -> str:
    """Return whatever a caller can see of the answer, with its own parameter blotted out; then undo it."""
    statement = statement.replace("MINE", f"'{foreign.worker}'::uuid")
    statement = statement.replace("{running}", str(foreign.jobs["running"]))
    await foreign.own.execute("savepoint probe")
    try:
        rows = await foreign.own.fetch(statement, value)
        said: list[Any] = [[str(column) for column in row.values()] for row in rows]
    except asyncpg.PostgresError as error:
        if not str(error.sqlstate).startswith("JL"):
            raise
        said = [
            str(part) for part in (error.sqlstate, error.args, getattr(error, "detail", ""), getattr(error, "hint", ""))
        ]
        undo = True
    if undo:
        await foreign.own.execute("rollback to savepoint probe")
    return orjson.dumps(said).decode().replace(str(value), "*")


async def test_every_function_a_role_may_call_has_a_case(desk: Desk) -> None:
    """A function that somebody but the owner may execute has a case, or is a hole nobody looked into."""
    rows = await desk.sql.fetch(EXECUTABLE, [*ROLES, "public"])
    assert {row["proname"] for row in rows} == set(CASES)


async def test_nothing_is_open_to_everybody(desk: Desk) -> None:
    """PUBLIC may execute no function and touch no table, and no role but the owner's may write one."""
    assert await desk.sql.fetch(EXECUTABLE, ["public"]) == []
    for row in await desk.sql.fetch(TABLES):
        table = f"jobledger.{row['relname']}"
        for role in (*ROLES, "jobledger_every_tenant"):
            for right in ("insert", "update", "delete", "truncate", "references", "trigger"):
                held = await desk.sql.fetchval("select has_table_privilege($1, $2, $3)", role, table, right)
                assert not held, f"{role} may {right} {table}"
        assert not await desk.sql.fetchval("select has_table_privilege('public', $1, 'select')", table)


async def test_a_foreign_thing_answers_like_one_that_nobody_has(foreign: Foreign) -> None:
    """Result, error, message, detail and hint are the same, whatever function is called with whatever foreign thing."""
    differ = []
    for statement, what in (case for cases in CASES.values() for case in cases):
        unknown = await _answer(foreign, statement, NOBODY[what])
        for label, value in foreign.probes(what).items():
            answer = await _answer(foreign, statement, value)
            differ += [] if answer == unknown else [(statement, label, answer, unknown)]
    assert differ == []


async def test_what_a_foreign_role_calls_leaves_nothing_behind(foreign: Foreign) -> None:
    """Committed, too: all the calls of a foreign role together change nothing of the tenant's and of its worker's."""
    before = await foreign.sight()
    for statement, what in (case for cases in CASES.values() for case in cases):
        for value in foreign.probes(what).values():
            await _answer(foreign, statement, value, undo=False)
    await foreign.own.execute("commit")
    assert await foreign.sight() == before


async def test_a_reader_sees_its_own_rows_only(foreign: Foreign) -> None:
    """Views and tables show the caller's tenant alone; what it may not read at all is refused, full or empty."""
    mine = await foreign.own.fetchval("select jobledger.enqueue('noop', tenant => 'other')")
    readable = set()
    for row in await foreign.owner.fetch(TABLES):
        await foreign.own.execute("savepoint look")
        try:
            rows = await foreign.own.fetch(f"select * from jobledger.{row['relname']}")
        except asyncpg.InsufficientPrivilegeError:
            await foreign.own.execute("rollback to savepoint look")
            continue
        readable.add(row["relname"])
        assert all(found["tenant"] == "other" for found in rows if "tenant" in found), row["relname"]
        if row["relname"] in ("jobs", "ready"):
            assert [found["id"] for found in rows] == [mine]
    assert readable == {"jobs", "dead_letter", "events", "ready", "waiting", "running", "finished", "kinds"}


async def test_keys_of_other_tenants_neither_show_nor_stand_in_the_way(foreign: Foreign) -> None:
    """The same idempotency key and unique key are free in another tenant, singly and in bulk."""
    id = await foreign.own.fetchval(  # noqa: A001 - the domain's word
        "select jobledger.enqueue('noop', '{\"x\": 1}', tenant => 'other', key => 'key', unique_key => 'unique')"
    )
    assert id not in foreign.jobs.values()
    again = await foreign.own.fetch(
        "select id, created from jobledger.enqueue_many("
        '\'[{"kind": "noop", "args": {"x": 1}, "tenant": "other", "key": "key", "unique_key": "unique"}]\')'
    )
    assert [tuple(row.values()) for row in again] == [(id, False)]


@pytest.mark.parametrize("asked", [None, ["acme", "other"], ["acme"]])
async def test_a_worker_of_one_tenant_takes_its_jobs_only(foreign: Foreign, asked: list[str] | None) -> None:
    """Whatever tenants a worker asks for, a claim gives it those of its role's grants, also among unknown lanes."""
    await foreign.owner.execute("select jobledger.resume(0::smallint, 'tenant', 'acme')")
    mine = await foreign.own.fetchval("select jobledger.enqueue('noop', tenant => 'other')")
    worker = await foreign.own.fetchval(
        "select worker from jobledger.worker_start(0::smallint, null, null, array['noop'], $1, 30)", asked
    )
    lane = LANE.format(worker=f"'{worker}'::uuid", any="true")
    row = await foreign.own.fetchrow(f"select ids, tenants, l_tenant from jobledger.claim({lane})", "acme")
    assert row is not None
    assert row["ids"] == (None if asked == ["acme"] else [mine])
    assert set(row["l_tenant"]) == ({"acme"} if asked == ["acme"] else {"acme", "other"})


async def test_the_clockwork_tells_a_tenant_nothing(foreign: Foreign, desk: Desk) -> None:
    """A bound role may keep the clock going, but learns neither how much was done nor an id; who sees all is told."""
    await desk.sql.execute("update jobledger.waiting set wake_at = now() where state = 'scheduled'")
    said = orjson.loads(await foreign.own.fetchval("select jobledger.tick()"))
    # Who may not know whether a copy is due is sent to ask now and then, by chance.
    assert {name for name, value in said.items() if value} <= {"snapshot_due"}
    await foreign.own.execute("rollback")
    assert (await desk.tick())["promoted"] == 1
    await desk.sql.execute("select jobledger.close()")
    await _as(foreign.own, foreign.role, foreign.how)
    opened = orjson.loads(await foreign.own.fetchval("select jobledger.open()"))
    assert opened == {"opened": True, "rows": 0, "copied": 0}


async def test_a_grant_taken_back_ends_what_it_gave(role: str, database: str, desk: Desk) -> None:
    """The worker of a role whose grant is gone claims nothing more, and its reports are of unknown jobs."""
    job = await desk.enqueue(tenant="other")
    own = await asyncpg.connect(database, user=role)
    worker = await own.fetchval(REGISTER)
    await own.fetch("select * from jobledger.claim_job(0::smallint, $1, 1, $2, array['noop'])", worker, job)
    await desk.sql.execute("delete from jobledger.grants")
    said = await own.fetchrow(
        "select verdict, state, reason from jobledger.report(0::smallint, $1, array[$2::uuid], array[2],"
        " array['succeeded'], array[null::jsonb])",
        worker,
        job,
    )
    await own.close()
    assert said is not None
    assert tuple(said.values()) == ("rejected", None, "unknown_job")
    assert await desk.state(job) == "running"


async def test_a_worker_may_be_used_by_its_own_role_and_by_who_sees_all(role: str, database: str, desk: Desk) -> None:
    """The role that registered a worker beats and stops under its id, and so may who sees every tenant."""
    job = await desk.enqueue(tenant="other")
    own = await asyncpg.connect(database, user=role)
    worker = await own.fetchval(REGISTER)
    await own.fetch("select * from jobledger.claim_job(0::smallint, $1, 1, $2, array['noop'])", worker, job)
    beat = "select kind from jobledger.heartbeat(0::smallint, $1, $2, 0, array[$3::uuid])"
    assert [row["kind"] for row in await own.fetch(beat, worker, 1, job)] == ["lease"]
    assert [row["kind"] for row in await desk.sql.fetch(beat, worker, 2, job)] == ["lease"]
    await own.execute("select jobledger.worker_stop(0::smallint, $1)", worker)
    await own.close()
    who = await desk.sql.fetchval("select actor from jobledger.events where stream_id = $1 and version = 1", worker)
    assert who == role


@pytest.mark.parametrize(
    "name", ["close", "compare", "rebuild", "repair", "partitions_ensure", "append", "taken", "evolve"]
)
async def test_what_is_the_owners_is_refused(role: str, desk: Desk, name: str) -> None:
    """Repair, rebuild, and everything internal: no role of a tenant may call it."""
    rows = await desk.sql.fetch(
        "select has_function_privilege($1, oid, 'execute') as may from pg_proc"
        " where pronamespace = 'jobledger'::regnamespace and proname = $2",
        role,
        name,
    )
    assert [row["may"] for row in rows] == [False]


async def test_the_log_refuses_change_even_to_its_owner(desk: Desk) -> None:
    """UPDATE, DELETE and TRUNCATE fail with JL700 on events, blocks, epochs and each partition, fresh ones too."""
    await desk.enqueue()
    assert await desk.sql.fetchval("select block from jobledger.seal()") == 1
    await desk.sql.execute("select jobledger.pause(0::smallint, 'tenant', 't')")
    assert await desk.sql.fetchval("select jobledger.partition_add(now() + interval '50 months')")
    parts = await desk.sql.fetch(
        "select inhrelid::regclass::text as name from pg_inherits"
        " where inhparent = any (array['jobledger.events'::regclass, 'jobledger.blocks'])"
    )
    names = ["jobledger.events", "jobledger.blocks", "jobledger.epochs", *(row["name"] for row in parts)]
    assert len(names) >= 12
    assert "jobledger.events_control" in names
    column = {"jobledger.blocks": "count", "jobledger.blocks_0": "count", "jobledger.epochs": "timeline"}
    for table in names:
        changes = [f"truncate {table}", f"truncate {table} cascade"]
        if await desk.sql.fetchval(f"select exists (select from {table})"):
            changes += [f"update {table} set {column.get(table, 'actor')} = null", f"delete from {table}"]
        for change in changes:
            with pytest.raises(asyncpg.PostgresError) as refused:
                await desk.sql.execute(change)
            assert refused.value.sqlstate == "JL700", change
    triggers = await desk.sql.fetch(
        "select tgrelid::regclass::text as name, count(*) as n from pg_trigger"
        " where tgfoid in ('jobledger.forbid_change'::regproc, 'jobledger.forbid_change_but_merging'::regproc)"
        " group by 1"
    )
    assert {row["name"]: row["n"] for row in triggers} == {**dict.fromkeys(names, 2), "jobledger.horizon": 1}


async def test_a_readers_question_for_its_tenant_reads_its_rows_only(role: str, database: str, desk: Desk) -> None:
    """Of 10,000 jobs of a hundred tenants a reader's question is answered by the tenants' indexes, not by a scan."""
    jobs = [{"kind": "noop", "tenant": f"t{number % 100}"} for number in range(9_900)]
    jobs += [{"kind": "noop", "tenant": "other"}] * 100
    await desk.sql.fetch("select * from jobledger.enqueue_many($1)", orjson.dumps(jobs).decode())
    own = await asyncpg.connect(database, user=role)
    for analysed in (False, True):
        if analysed:
            await desk.sql.execute("analyze jobledger.ready")
        for question in (
            "where tenant = 'other' order by id desc limit 50",
            "where tenant = 'other' and kind = 'noop'",
            "",
        ):
            plan = await own.fetchval(f"explain (analyze, format json) select * from jobledger.jobs {question}")
            scans = [
                node
                for node in _nodes(orjson.loads(plan)[0]["Plan"])
                if node.get("Relation Name") == "ready" or node.get("Index Name", "").startswith("ready")
            ]
            assert scans
            assert all("Seq" not in node["Node Type"] for node in scans), (question, analysed, scans)
            assert any("tenant" in node.get("Index Cond", "") for node in scans), (question, analysed, scans)
            assert sum(node.get("Rows Removed by Filter", 0) for node in scans) == 0
    assert await own.fetchval("select count(*) from jobledger.jobs") == 100
    await own.close()


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]


async def test_who_only_reads_cannot_sign_as_the_service(desk: Desk) -> None:
    """The key that tokens and signatures are derived from is for those that serve, and is not that of cursors."""
    granted = "select has_function_privilege($1, 'jobledger.service_key()', 'execute')"
    may = {
        role: await desk.sql.fetchval(granted, f"jobledger_{role}")
        for role in ("reader", "producer", "worker", "operator")
    }
    assert may == {"reader": False, "producer": False, "worker": True, "operator": True}
    assert await desk.sql.fetchval("select jobledger.service_key() <> jobledger.cursor_key()")
