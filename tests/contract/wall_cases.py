"""The calls that a role of another tenant makes, one entry for each function it may execute.

A case is a statement with one parameter, and what that parameter is: a `job` in some state, a `tenant`, or a `worker`.
The wall holds when the answer is the same for a foreign one as for one that does not exist. `MINE` stands for the id of
the caller's own worker, `CLAIM` for the argument list of a claim that names the lane of tenant $1.
"""

# ruff: noqa: S608 - the statements are put together from what stands in this folder
from __future__ import annotations

LANE = (
    "0::smallint, {worker}, 1, 10, array['noop'], array['default'], null, {any}, array['default'], array[$1::text],"
    " array[0::smallint], array['-infinity'::timestamptz], array['00000000-0000-0000-0000-000000000000'::uuid],"
    " array['infinity'::timestamptz], array['ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid], array[null::int], array[0],"
    " array[false], array['default'], array[''], array[(-32768)::smallint], array['~'], array[0::smallint], 100,"
    " array[]::text[], array[]::int[]"
)
CLAIMED = (
    "select ids, tenants, datas, l_queue, l_tenant, l_asked, l_looked, l_got, l_strange, l_more from jobledger.claim("
)
MOMENT = "'(1,0,,2026-01-01,0,9,9,100:100:,100:100:)'::jobledger.moment"
TOP = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"
START = "select jobledger.worker_start(0::smallint, null, null, array['noop'], array[$1::text], 30) is not null"
TAKE = "select ids, l_tenant from jobledger.claim("


def _act(name: str, data: str) -> tuple[str, str]:
    return (
        f"select verdict, state from jobledger.act(0::smallint, '{name}', null, array[$1::uuid], 'eve', 'w', '{data}')",
        "job",
    )


def _report(claim: int, outcome: str, data: str, worker: str = "MINE") -> tuple[str, str]:
    return (
        (
            f"select id, verdict, state, reason from jobledger.report(0::smallint, {worker}, array[$1::uuid],"
            f" array[{claim}], array['{outcome}'], array[{data}::jsonb])"
        ),
        "job",
    )


REPORTS = [
    _report(claim, outcome, data)
    for claim in (1, 2)
    for outcome, data in (("succeeded", "null"), ("failed", "'{}'"), ("progressed", "null"), ("cancelled", "null"))
]

CASES: dict[str, list[tuple[str, str]]] = {
    "enqueue": [
        ("select jobledger.enqueue('noop', tenant => $1)", "tenant"),
        ("select jobledger.enqueue('noop', tenant => $1, key => 'key', unique_key => 'unique')", "tenant"),
        ("select jobledger.enqueue('noop', '{\"other\": 1}', tenant => $1, key => 'key')", "tenant"),
    ],
    "enqueue_job": [
        ("select job, created from jobledger.enqueue_job('noop', tenant => $1)", "tenant"),
        (
            "select job, created from jobledger.enqueue_job('noop', '{\"other\": 1}', tenant => $1, key => 'key')",
            "tenant",
        ),
    ],
    "enqueue_many": [
        (
            (
                "select * from jobledger.enqueue_many(jsonb_build_array(jsonb_build_object('kind', 'noop'),"
                " jsonb_build_object('kind', 'noop', 'tenant', $1::text, 'key', 'key', 'unique_key', 'unique')))"
            ),
            "tenant",
        )
    ],
    "act": [
        _act("cancel", "{}"),
        _act("kill", "{}"),
        _act("retry", "{}"),
        _act("unpark", "{}"),
        _act("reschedule", '{"run_at": "2050-01-01T00:00:00Z"}'),
        _act("reprioritise", '{"priority": 1}'),
        _act("move", '{"queue": "q"}'),
        ("select * from jobledger.act(0::smallint, 'kill', 'acme', array[$1::uuid], 'eve', 'why')", "job"),
        ("select * from jobledger.act(0::smallint, 'kill', null, array[$1::uuid], 'eve', 'why', '{}', 'me')", "job"),
    ],
    "pause": [("select jobledger.pause(0::smallint, 'tenant', $1, 'eve', 'why')", "tenant")],
    "resume": [("select jobledger.resume(0::smallint, 'tenant', $1, 'eve', 'why')", "tenant")],
    "set_limit": [
        ("select jobledger.set_limit(0::smallint, 'tenant', $1, '{\"timeout\": 5}', 'eve', 'why')", "tenant")
    ],
    "worker_start": [(START, "tenant")],
    "worker_stop": [("select jobledger.worker_stop(0::smallint, $1, 'why')", "worker")],
    "channel": [("select jobledger.channel(0::smallint) is null, $1::text is null", "tenant")],
    "worker_idle": [("select jobledger.worker_idle(0::smallint, $1, true)", "worker")],
    "heartbeat": [
        ("select kind, job from jobledger.heartbeat(0::smallint, $1, 100, 100, '{}')", "worker"),
        ("select kind, job from jobledger.heartbeat(0::smallint, MINE, 100, 100, array[$1::uuid])", "job"),
    ],
    "claim": [
        (CLAIMED + LANE.format(worker="MINE", any="true") + ")", "tenant"),
        (TAKE + LANE.replace("$1::text", "'acme'").format(worker="$1", any="true") + ")", "worker"),
    ],
    "claim_job": [
        ("select * from jobledger.claim_job(0::smallint, MINE, 1, $1, array['noop'])", "job"),
        ("select * from jobledger.claim_job(0::smallint, MINE, 1, $1, array['other'])", "job"),
        ("select * from jobledger.claim_job(0::smallint, $1, 1, null, array['noop'])", "worker"),
    ],
    "claim_hinted": [
        ("select * from jobledger.claim_hinted(0::smallint, MINE, 1, $1, array['noop'])", "job"),
        ("select * from jobledger.claim_hinted(0::smallint, $1, 1, null, array['noop'])", "worker"),
    ],
    "claimed": [("select id, data from jobledger.claimed(0::smallint, $1, 1)", "worker")],
    "report": [
        *REPORTS,
        _report(2, "succeeded", "null", "'00000000-0000-7000-8000-00000000000f'::uuid"),
        # Whatever a foreign worker's name is used for: a job of nobody, and the foreign worker's own running job.
        (
            (
                "select verdict, state, reason from jobledger.report(0::smallint, $1,"
                " array['00000000-0000-7000-8000-000000000001'::uuid], array[2], array['succeeded'], '{null}')"
            ),
            "worker",
        ),
        (
            (
                "select verdict, state, reason from jobledger.report(0::smallint, $1,"
                " array['{running}'::uuid], array[2], array['succeeded'], array[null::jsonb])"
            ),
            "worker",
        ),
    ],
    "may": [("select jobledger.may($1)", "tenant")],
    "is_gone": [("select jobledger.is_gone(0::smallint, $1)", "job")],
    "partitions": [("select * from jobledger.partitions(), (select $1::text) as foreign_thing", "tenant")],
    # Answers that name no tenant's things: they are the same whatever others do, up to what `test_..._tells` checks.
    "tick": [],
    "open": [],
    "queue_snapshot": [],
    "is_open": [],
    "open_epoch": [],
    # Alone in its transaction, which a case is not; what it tells is looked at in tests/order.
    "seal": [],
    # The order of the log is everybody's: refused to who is bound to tenants, whatever it asks for.
    "read_log": [
        ("select * from jobledger.read_log(0::smallint, 0, 0, 0, 100, $1)", "tenant"),
        ("select * from jobledger.read_log(0::smallint, 0, 0, 0, 100, null, null, $1)", "job"),
        ("select * from jobledger.read_log(0::smallint, 0, 0, 0, 100, null, null, $1)", "worker"),
    ],
    # The log as a whole is everybody's, too.
    "verify_events": [
        (
            "select * from jobledger.verify_events(0::smallint, $1, 0, 'ffffffff-ffff-ffff-ffff-ffffffffffff', 10)",
            "job",
        ),
        (
            "select * from jobledger.verify_events(0::smallint, $1, 0, 'ffffffff-ffff-ffff-ffff-ffffffffffff', 10)",
            "worker",
        ),
    ],
    "verify_rows": [("select * from jobledger.verify_rows(0::smallint, $1, $1)", "job")],
    "verify_views": [("select * from jobledger.verify_views(0::smallint, $1, $1)", "job")],
    "verify_keys": [("select * from jobledger.verify_keys(0::smallint, 'unique', $1, '', 10)", "tenant")],
    "verify_blocks": [("select *, $1::text from jobledger.verify_blocks(0::smallint, 0, 10)", "tenant")],
    "verify_unsealed": [("select * from jobledger.verify_unsealed(0::smallint, 1, array[$1::uuid], array[1])", "job")],
    "sealed_between": [
        ("select * from jobledger.sealed_between(0::smallint, 0, 100) as e where e.tenant = $1", "tenant"),
    ],
    # Projections are folded from everybody's events: refused to who is bound to tenants.
    "projections_due": [("select * from jobledger.projections_due() as p where p.name = $1", "tenant")],
    "projection_list": [("select * from jobledger.projection_list() as p where p.name = $1", "tenant")],
    "projection_begin": [("select jobledger.projection_begin(0::smallint, 'waits', 1), $1::text", "tenant")],
    "projection_make": [("select jobledger.projection_make(0::smallint, 'waits', false, 1, $1)", "tenant")],
    "projection_take": [("select *, $1::text from jobledger.projection_take(0::smallint, 'waits', false)", "tenant")],
    "projection_stop": [("select jobledger.projection_stop(0::smallint, 'waits', $1)", "tenant")],
    "projection_resume": [("select jobledger.projection_resume(0::smallint, 'waits'), $1::text", "tenant")],
    "projection_swap": [("select jobledger.projection_swap(0::smallint, 'waits'), $1::text", "tenant")],
    "projection_drop": [("select jobledger.projection_drop(0::smallint, 'waits'), $1::text", "tenant")],
    # A moment of the past is a place in everybody's order: refused to who is bound to tenants, and no token is given.
    "seen": [("select *, $1::text from jobledger.seen(0::smallint)", "tenant")],
    "moment_of_token": [
        ("select jobledger.moment_of_token(0::smallint, 1, 0, 0, 0, '1:1:', now()), $1::text", "tenant")
    ],
    "moment_of_place": [("select jobledger.moment_of_place(0::smallint, 0, 0, 0), $1::text", "tenant")],
    "moment_of_time": [("select jobledger.moment_of_time(0::smallint, now()), $1::text", "tenant")],
    "counts_as_of": [(f"select * from jobledger.counts_as_of(0::smallint, $1, {MOMENT})", "tenant")],
    "tenant_status": [
        ("select jobledger.tenant_status(0::smallint, $1) - 'tenant' - 'at' - 'since' - 'until' - 'counted'", "tenant")
    ],
    "tenants": [
        ("select * from jobledger.tenants(0::smallint), (select $1::text) as foreign_thing", "tenant"),
        ("select * from jobledger.tenants(0::smallint, p_among => array[$1::text])", "tenant"),
    ],
    "job_as_of": [(f"select * from jobledger.job_as_of(0::smallint, $1, {MOMENT})", "job")],
    "jobs_as_of": [
        (f"select * from jobledger.jobs_as_of(0::smallint, {MOMENT}, $1, array['ready'], {TOP}, 50)", "tenant"),
    ],
    "log_end": [("select * from jobledger.log_end(0::smallint), (select $1::text) as foreign_thing", "tenant")],
    "follow_channel": [("select jobledger.follow_channel(0::smallint) is null, $1::text is null", "tenant")],
    # Tells those who may listen, and its caller nothing.
    "tell_sealed": [],
    "own_streams": [("select jobledger.own_streams(0::smallint, $1, 10)", "tenant")],
    "read_own": [
        ("select * from jobledger.read_own(0::smallint, 0, 0, 0, 100, $1)", "tenant"),
        ("select * from jobledger.read_own(0::smallint, 0, 0, 0, 100, null, null, $1)", "job"),
    ],
    "read_events": [("select * from jobledger.read_events(0::smallint, array[$1::uuid], array[1])", "job")],
    "origins": [("select * from jobledger.origins(0::smallint, array[$1::uuid])", "job")],
    # A checkpoint is a place in everybody's order: refused to who is bound to tenants.
    "subscription_create": [("select jobledger.subscription_create(0::smallint, $1, 'mail')", "tenant")],
    "subscription_list": [("select * from jobledger.subscription_list(0::smallint, $1)", "tenant")],
    "subscription_places": [("select * from jobledger.subscription_places(0::smallint, $1, 'mail')", "tenant")],
    "subscription_aside": [("select * from jobledger.subscription_aside(0::smallint, $1, 'mail')", "tenant")],
    "subscription_reset": [("select jobledger.subscription_reset(0::smallint, $1, 'mail', 'end')", "tenant")],
    "subscription_disable": [("select jobledger.subscription_disable(0::smallint, $1, 'mail')", "tenant")],
    "subscription_remove": [("select jobledger.subscription_remove(0::smallint, $1, 'mail')", "tenant")],
    "subscription_retry": [("select jobledger.subscription_retry(0::smallint, $1, 'mail')", "tenant")],
    "push_list": [("select * from jobledger.push_list(0::smallint, $1)", "tenant")],
    "push_set": [("select jobledger.push_set(0::smallint, 'q', $1, 'https://a.example/x')", "tenant")],
    "push_remove": [("select jobledger.push_remove(0::smallint, 'q', $1)", "tenant")],
    "subscription_take": [
        ("select * from jobledger.subscription_take(0::smallint, $1, $1)", "job"),
        (
            (
                "select * from jobledger.subscription_take(0::smallint,"
                " jobledger.control_id($1, 'subscription', 'mail'), gen_random_uuid())"
            ),
            "tenant",
        ),
    ],
    "subscription_advance": [
        (
            (
                "select * from jobledger.subscription_advance(0::smallint, $1, $1, array[0::smallint], array[1],"
                " array[0::bigint], array[0::bigint], array[0], array[0::bigint], array[0::bigint])"
            ),
            "job",
        )
    ],
    "subscription_failed": [
        (
            (
                "select * from jobledger.subscription_failed(0::smallint, $1, $1, 0::smallint, 1, 'failed',"
                " 1, 1, 1, $1, 1, 'e')"
            ),
            "job",
        )
    ],
    "subscription_release": [("select jobledger.subscription_release(0::smallint, $1, $1)", "job")],
    "subscription_again": [("select * from jobledger.subscription_again(0::smallint, $1, $1)", "job")],
    "subscription_settled": [("select jobledger.subscription_settled(0::smallint, $1, $1, 1)", "job")],
    "subscription_mend": [("select * from jobledger.subscription_mend(0::smallint, $1)", "job")],
    # What a webhook reads is everybody's order, too.
    "webhook_create": [
        ("select * from jobledger.webhook_create(0::smallint, $1, 'audit', 'https://a.example/')", "tenant")
    ],
    "webhook_list": [("select * from jobledger.webhook_list(0::smallint, $1)", "tenant")],
    "webhook_due": [("select * from jobledger.webhook_due(0::smallint) where $1::text is not null", "tenant")],
    "webhook_reset": [("select jobledger.webhook_reset(0::smallint, null, null, $1, 'end')", "job")],
    "webhook_disable": [("select jobledger.webhook_disable(0::smallint, null, null, $1)", "job")],
    "webhook_rotate": [("select jobledger.webhook_rotate(0::smallint, null, null, $1)", "job")],
    "webhook_remove": [("select jobledger.webhook_remove(0::smallint, null, null, $1)", "job")],
    "webhook_succeeded": [("select jobledger.webhook_succeeded(0::smallint, $1, array[0::smallint], 200)", "job")],
    "webhook_failed": [
        (
            "select * from jobledger.webhook_failed(0::smallint, $1, array[0::smallint], 500, 'status', false, 60)",
            "job",
        )
    ],
    "cursor_key": [("select jobledger.cursor_key() is null, $1::text is null", "tenant")],
    "service_key": [("select jobledger.service_key() is null, $1::text is null", "tenant")],
    # The keys of the service are everybody's: refused to who is bound to tenants.
    "key_create": [
        (
            (
                "select * from jobledger.key_create(0::smallint, sha256('x'), 'jl_abcdefgh', 'k', array['read'],"
                " array[$1::text])"
            ),
            "tenant",
        )
    ],
    "key_find": [("select * from jobledger.key_find(0::smallint, null, $1)", "job")],
    "key_list": [("select * from jobledger.key_list(0::smallint, array[$1::text])", "tenant")],
    "key_revoke": [("select * from jobledger.key_revoke(0::smallint, $1)", "job")],
    "key_standing": [("select jobledger.key_standing(0::smallint, array[$1::uuid])", "job")],
    "key_used": [("select * from jobledger.key_used(0::smallint, array[$1::uuid], array[0::real])", "job")],
    # Kinds are the application's words, shared by all tenants.
    "register_kind": [],
    # Pure, or about the caller.
    "now": [],
    "answered_at": [],
    "new_id": [],
    "first_id_at": [],
    "time_of": [],
    "control_id": [],
    "bucket_middle": [],
    "caller": [],
    "my_tenants": [],
    "every_tenant": [],
    "serves": [],
}
