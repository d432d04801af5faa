"""What the state machine draws from, and how it reads the tables."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from hypothesis import strategies as st

TENANTS: Final = ("ada", "bob", "cyd")
QUEUES: Final = ("default", "other")
KINDS: Final = ("k", "l")
ERROR: Final = {"type": "OSError", "message": "no", "class": "quota"}
STRANGER: Final = UUID("019aa0b1-7c00-7000-8000-000000000000")
NUMBER: Final = st.integers(0, 10_000)
SOON: Final = st.sampled_from([-3600, 1, 30, 4000, 200_000])
OUTCOMES: Final[list[tuple[str, dict[str, Any] | None]]] = [
    ("succeeded", {"result": [1]}),
    ("succeeded", None),
    ("failed", {"error": ERROR, "retry_in": 0}),
    ("failed", {"error": ERROR, "retry_in": 45}),
    ("failed", {"error": ERROR}),
    ("failed", {"error": ERROR, "final": True}),
    ("failed", None),
    ("snoozed", {"run_at": "soon", "reason": "r"}),
    ("interrupted", {"reason": "SIGTERM"}),
    ("cancelled", {"reason": "asked"}),
    ("parked", {"reason": "rights", "needs": {"scope": "x"}}),
    ("progressed", {"progress": 0.5}),
]
JUMPS: Final = (1, 10, 31, 61, 400, 4000, 90_000, 8 * 86_400)

STREAMS: Final = """
select *, type::text as type from jobledger.events where type <= 'job.redacted' order by stream_id, version
"""
CRASH: Final = "truncate jobledger.running, jobledger.ready, jobledger.waiting, jobledger.live"
GAPS: Final = """
select stream_id from jobledger.events group by stream_id having count(*) <> max(version) or min(version) <> 1
"""
ROWS: Final = """
select id, 'ready' as place, head, attempt, max_attempts, run_at, kill_at, priority, queue, null::uuid as worker,
  null::int as claim, null::timestamptz as ended
from jobledger.ready
union all
select id, case state when 'scheduled' then 'scheduled' when 'ready' then 'held' else 'parked' end, head, attempt,
  max_attempts, run_at, kill_at, priority, queue, null, null, null
from jobledger.waiting
union all
select id, 'running', head, attempt, max_attempts, run_at, kill_at, priority, queue, worker, claim, null
from jobledger.running
union all
select id, 'finished', head, attempt, max_attempts, null, null, priority, queue, null, null, finished_at
from jobledger.finished
"""
WORKERS: Final = "select id, head, beat, lease_until, seen_at, stopped_at is not null as stopped from jobledger.workers"
KEPT: Final = "select tenant, key, id, expires from jobledger.idempotency"
UNIQUES: Final = "select tenant, key, id from jobledger.unique_keys"
SPOIL: Final = {
    "lost": "delete from jobledger.{table} where id = $1",
    "ahead": "update jobledger.{table} set head = head + 1 where id = $1",
    "elsewhere": """
insert into jobledger.finished
select id, jobledger.now(), head, 'killed', shard, priority, attempt, max_attempts, tenant, queue, kind, owner
from jobledger.{table} where id = $1
""",
}
"""How the row of a job is spoilt: it is gone, says too much, or lies in two places."""

NEW_JOBS: Final = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS),
        "tenant": st.sampled_from(TENANTS),
        "args": st.sampled_from([{}, {"a": [1, None]}]),
    },
    optional={
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from([-5, 0, 7]),
        "run_at": SOON,
        "kill_at": st.sampled_from([300_000, 3_000_000]),
        "timeout": st.sampled_from([1, 20, 1800]),
        "max_attempts": st.integers(1, 3),
        "owner": st.just("ada"),
        "tags": st.just(["x", "y"]),
        "key": st.sampled_from(["key1", "key2"]),
        "unique_key": st.sampled_from(["one", "two"]),
    },
)
SCOPED: Final = st.sampled_from(
    [
        *(("tenant", name) for name in TENANTS),
        *(("queue", name) for name in QUEUES),
        *(("kind", name) for name in KINDS),
    ]
)
LIMITS: Final = st.fixed_dictionaries(
    {},
    optional={
        "max_attempts": st.sampled_from([None, 1, 2]),
        "timeout": st.sampled_from([None, 15]),
        "kill_after": st.sampled_from([None, 250_000]),
    },
).filter(bool)
