"""How each route is called from outside the wall: one entry for each route of the service, by its name.

An entry is a list of calls. In their texts stand for what belongs to somebody else, and then for what nobody has:
`{tenant} {owner} {job} {parked} {running} {worker} {key} {webhook} {hook} {again} {unique} {queue} {subscription}
{pushed}`; `{mine}` is the caller's own tenant and `{me}` its own owner. The wall holds when both answers are the same,
and nothing was written.

A route that serves everybody alike is `SHARED`; one whose answer holds nothing of a tenant's is called all the same.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Ask(NamedTuple):
    """One call of a route: its path's parts, its query and its body. `owned`: only by a key bound to an owner.

    For who is bound to none, an owner of its own tenant is just a name.
    """

    path: Mapping[str, str] = _NONE
    query: Mapping[str, str] = _NONE
    body: Any = None
    owned: bool = False


SHARED: Final[list[Ask]] = []
"""The same for everybody, without a key: there is nothing of a tenant's in it."""

WHY: Final = {"reason": "to see"}
_LATER: Final = "2900-01-01T00:00:00Z"


def _job(body: Any = None, **query: str) -> list[Ask]:
    """Return the calls for a job: by its id alone in each state, with the caller's tenant, and with that of the job."""
    plain = [Ask({"job": which}, query, body) for which in ("{job}", "{parked}", "{running}")]
    return plain + [Ask({"job": "{job}"}, {**query, "tenant": whose}, body) for whose in ("{mine}", "{tenant}")]


def _act(**body: Any) -> list[Ask]:
    return _job({**WHY, **body})


def _filter(act: str) -> list[dict[str, Any]]:
    filters: list[dict[str, Any]] = [{}, {"owner": "{owner}"}, {"queue": "{queue}"}, {"tag": "mark-tag"}]
    bodies = [{"act": act, "filter": one} for one in filters]
    return [*bodies, {"act": act, "tenant": "{tenant}", "filter": {}}]


def _control(scope: str) -> list[Ask]:
    return [Ask({"name": f"{{{scope}}}"}, body=WHY)]


_WEBHOOK: Final = [Ask({"webhook": "{webhook}"}, whose, WHY) for whose in ({}, {"tenant": "{tenant}"})]
_WEBHOOK_ONLY: Final = [ask._replace(body=None) for ask in _WEBHOOK]
_SUBSCRIPTION: Final = [
    Ask({"name": "{subscription}"}, whose, WHY) for whose in ({}, {"tenant": "{tenant}"}, {"tenant": "{mine}"})
]
_SUBSCRIPTION_ONLY: Final = [ask._replace(body=None) for ask in _SUBSCRIPTION]
_CONSUMER: Final = [ask._replace(path={**ask.path, "consumer": "{worker}"}) for ask in _SUBSCRIPTION_ONLY]
_REPORT: Final = {"id": "{running}", "claim": 2, "outcome": "succeeded"}

CASES: Final[dict[str, list[Ask]]] = {
    # jobs
    "enqueue_job": [
        Ask(body={"kind": "noop", "tenant": "{tenant}", "owner": "{owner}"}),
        Ask(body={"kind": "noop", "tenant": "{mine}", "owner": "{owner}"}, owned=True),
        Ask(body={"kind": "noop", "tenant": "{tenant}"}),
        Ask(body={"kind": "noop", "args": {"site": "x"}, "tenant": "{mine}", "key": "{again}"}),
        Ask(body={"kind": "noop", "args": {"site": "x"}, "tenant": "{mine}", "unique_key": "{unique}"}),
    ],
    "enqueue_jobs": [
        Ask(body={"jobs": [{"kind": "noop", "tenant": "{mine}", "key": "{again}2", "unique_key": "{unique}2"}]}),
        Ask(body={"jobs": [{"kind": "noop", "tenant": "{mine}"}, {"kind": "noop", "tenant": "{tenant}"}]}),
        Ask(body={"jobs": [{"kind": "noop", "owner": "{owner}"}]}, owned=True),
    ],
    "list_jobs": [
        Ask(query=query)
        for query in (
            {},
            {"tenant": "{tenant}"},
            {"owner": "{owner}"},
            {"queue": "{queue}"},
            {"tag": "mark-tag"},
            {"state": "running"},
            {"cursor": "{job}"},
            {"owner": "{owner}", "tenant": "{tenant}"},
        )
    ],
    "show_job": _job(),
    "job_history": _job() + _job(heartbeats="true"),
    "job_result": _job() + _job(wait_s="0.05")[2:3],
    "cancel_job": _act(),
    "kill_job": _act(),
    "retry_job": _act(),
    "unpark_job": _act(),
    "reschedule_job": _act(run_at=_LATER),
    "reprioritise_job": _act(priority=5),
    "move_job": _act(queue="other"),
    "preview_acts": [Ask(body=body) for body in _filter("kill") + _filter("unpark")],
    "act_on_jobs": [Ask(body={**WHY, **body}) for body in _filter("unpark") + _filter("kill")[1:4]]
    + [
        Ask(body={**WHY, "act": "kill", "ids": ["{job}", "{parked}", "{running}"]}),
        Ask(body={**WHY, "act": "unpark", "ids": ["{parked}"], "tenant": "{tenant}"}),
        Ask(body={**WHY, "act": "unpark", "ids": ["{parked}"], "tenant": "{mine}"}),
    ],
    # what there is
    "list_tenants": [Ask(), Ask(query={"cursor": "a"})],
    "tenant_status": [Ask({"tenant": "{tenant}"}), Ask({"tenant": "{mine}"})],
    "past_counts": [Ask(query={"as_of": "2026-01-01T00:00:00Z", "tenant": "{tenant}"})],
    "list_queues": [Ask(), Ask(query={"tenant": "{tenant}"})],
    "list_kinds": [Ask()],
    "show_kind": [Ask({"kind": "noop"})],
    "list_workers": [Ask()],
    "show_worker": [Ask({"worker": "{worker}"})],
    "list_limits": [Ask(), Ask(query={"scope": "tenant"}), Ask(query={"scope": "tenant", "name": "{tenant}"})],
    "set_service_limits": [Ask({"scope": "service"}, body={"set": {"timeout": 5}, **WHY})],
    "set_limits": [
        Ask({"scope": "tenant", "name": "{tenant}"}, body={"set": {"timeout": 5}, **WHY}),
        Ask({"scope": "queue", "name": "{queue}"}, body={"set": {"timeout": 5}, **WHY}),
    ],
    "pause_tenant": _control("tenant"),
    "resume_tenant": _control("tenant"),
    "pause_queue": _control("queue"),
    "resume_queue": _control("queue"),
    "pause_kind": [Ask({"name": "noop"}, body=WHY)],
    "resume_kind": [Ask({"name": "noop"}, body=WHY)],
    # push
    "set_push": [Ask({"queue": "{queue}"}, body={"url": "https://f.example/", "tenant": "{tenant}"})],
    "show_push": [Ask({"queue": "{queue}"}, query) for query in ({}, {"tenant": "{tenant}"})],
    "remove_push": [Ask({"queue": "{queue}"}, query) for query in ({}, {"tenant": "{tenant}"})],
    # Of a token that was signed for another purpose, and of one that nobody signed.
    "report_pushed": [Ask({"token": "{pushed}"}, body={"outcome": "succeeded"})],
    # events
    "follow_events": [
        Ask(query={"live": "false", **query})
        for query in (
            {},
            {"tenant": "{tenant}"},
            {"owner": "{owner}"},
            {"job": "{job}"},
            {"job": "{running}", "tenant": "{tenant}"},
            {"job": "{worker}"},
            {"job": "{key}"},
            {"queue": "{queue}"},
            {"type": "key.created"},
            {"type": "worker.started"},
            {"type": "webhook.created"},
        )
    ],
    "replay_events": [
        Ask(query=query)
        for query in (
            {},
            {"tenant": "{tenant}"},
            {"owner": "{owner}"},
            {"job": "{job}"},
            {"job": "{running}", "tenant": "{tenant}"},
            {"job": "{running}", "heartbeats": "true"},
            {"job": "{running}", "until": _LATER},
            {"job": "{worker}"},
            {"job": "{key}"},
            {"queue": "{queue}", "heartbeats": "true"},
            {"type": "subscription.created"},
        )
    ],
    # subscriptions
    "list_subscriptions": [Ask(), Ask(query={"tenant": "{tenant}"})],
    "create_subscription": [Ask(body={"name": "{subscription}", "tenant": "{tenant}"})],
    "show_subscription": _SUBSCRIPTION_ONLY,
    "remove_subscription": _SUBSCRIPTION_ONLY,
    "reset_subscription": _SUBSCRIPTION,
    "disable_subscription": _SUBSCRIPTION,
    "retry_subscription": _SUBSCRIPTION,
    "join_subscription": [ask._replace(body={"about": "me"}) for ask in _SUBSCRIPTION],
    "next_events": [ask._replace(body={"call": 1}) for ask in _CONSUMER],
    "leave_subscription": _CONSUMER,
    # workers
    "register_worker": [Ask(body={"kinds": ["noop"], "tenants": ["{tenant}"]})],
    "claim_jobs": [Ask({"worker": "{worker}"}, body={"n": 5, "wait_s": 0, "call": 1})],
    "claim_job": [Ask({"worker": "{worker}", "job": "{job}"}, body={"call": 1})],
    "heartbeat_worker": [Ask({"worker": "{worker}"}, body={"held": ["{running}"]})],
    "report_outcomes": [Ask({"worker": "{worker}"}, body={"reports": [_REPORT]})],
    "register_kind": [Ask({"kind": "noop"}, body={"version": 9})],
    "stop_working": [Ask({"worker": "{worker}"}, body=WHY)],
    # webhooks
    "list_webhooks": [Ask(), Ask(query={"tenant": "{tenant}"})],
    "create_webhook": [
        Ask(body={"name": "{hook}", "url": "https://f.example/"}),
        Ask(body={"name": "n", "url": "https://f.example/", "tenant": "{tenant}", "owner": "{owner}"}),
        Ask(body={"name": "n", "url": "https://f.example/", "tenant": "{mine}", "owner": "{owner}"}, owned=True),
    ],
    "show_webhook": _WEBHOOK_ONLY,
    "remove_webhook": _WEBHOOK,
    "reset_webhook": _WEBHOOK,
    "disable_webhook": _WEBHOOK,
    "rotate_webhook": _WEBHOOK,
    "test_webhook": _WEBHOOK_ONLY,
    # keys
    "create_key": [
        Ask(body={"name": "n", "tenants": ["{tenant}"], "owner": "{owner}"}),
        Ask(body={"name": "n", "tenants": ["{mine}"], "owner": "{owner}"}, owned=True),
    ],
    "list_keys": [Ask(query={"ended": "true"})],
    "revoke_key": [Ask({"key": "{key}"}, body=WHY)],
    "create_token": [Ask(body={"tenant": "{tenant}", "owner": "{owner}"}), Ask(body={"owner": "{owner}"}, owned=True)],
    "show_me": [Ask()],
    # resources, of the application that the test has
    "make_launches": [
        Ask(query={"tenant": "{tenant}"}, body={"site": "a"}),
        Ask(query={"owner": "{owner}"}, body={"site": "a"}, owned=True),
    ],
    "list_launches": [Ask(), Ask(query={"tenant": "{tenant}"}), Ask(query={"owner": "{owner}"})],
    "show_launches": _job(),
    "cancel_launches": _job(WHY),
    "follow_launches": [
        Ask(query={"live": "false", **query}) for query in ({}, {"tenant": "{tenant}"}, {"owner": "{owner}"})
    ],
    "openapi": SHARED,
    "reference_page": SHARED,
    "livez": SHARED,
    "readyz": SHARED,
}
