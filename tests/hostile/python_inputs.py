"""Malformed arguments of the Python interface: for each call a sound form and what is malformed in place of a part.

`{mark}` in a text is replaced by one that must not come back in any error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import jobledger
from jobledger import App, Client
from jobledger.store.enqueue import NewJob, enqueue, enqueue_many
from jobledger.store.filters import JobFilter
from jobledger.store.pool import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LONG: Final = "{mark}" + "x" * 5000
OBJECT: Final = object()
NO_ZONE: Final = datetime(2026, 12, 24)  # noqa: DTZ001 - that is what is wrong with it
NO_TEXT: Final[list[Any]] = [5, 1.5, True, b"{mark}", [], ["{mark}"], {"a": "{mark}"}, OBJECT, ("a",)]
NO_NAME: Final[list[Any]] = ["", " ", "-x", "a b{mark}", "é{mark}", "a\n", "a\0{mark}", "\ud800{mark}", LONG, *NO_TEXT]
NO_KEY: Final[list[Any]] = ["", LONG, "\0{mark}", "\ud800{mark}", *NO_TEXT]
NO_WORDS: Final[list[Any]] = [LONG, "\0{mark}", "\ud800{mark}", *NO_TEXT]
NO_MOMENT: Final[list[Any]] = [
    *("{mark}", "2026-12-24T00:00:00Z", 5, 1.5, True, [], OBJECT, timedelta(1), NO_ZONE),
    *(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)),
    datetime(4999, 1, 1, tzinfo=UTC),
]
NO_PAST: Final[list[Any]] = [*NO_MOMENT, "", "t", "u", "p", "t{mark}", "\ud800{mark}", "t\0{mark}", "p" + LONG, b"t"]
NO_NUMBER: Final[list[Any]] = [
    *(
        "5",
        "{mark}",
        1.5,
        True,
        math.nan,
        math.inf,
        -math.inf,
        10**30,
        -(10**30),
        [],
        {"a": 1},
        OBJECT,
        2**31,
        -(2**31),
    ),
]
NO_ID: Final[list[Any]] = [
    *("{mark}", "", 5, 1.5, True, b"x", [], OBJECT, UUID(int=0), UUID("019aa0b1-7c00-4000-8000-000000000000")),
    *(UUID("019aa0b1-7c00-7000-8000-000000000000"), UUID(int=2**128 - 1)),
]
_ROUND: Final[list[Any]] = []
_ROUND.append(_ROUND)


def deep(levels: int) -> Any:
    """Return a list in a list in a list."""
    found: Any = "{mark}"
    for _ in range(levels):
        found = [found]
    return found


NO_ARGS: Final[list[Any]] = [
    *({"a": {1, 2}}, {"a": OBJECT}, {"a": _ROUND}, {"a": "\0{mark}"}, {"a": "\ud800{mark}"}, {"a": deep(100_000)}),
    *(
        {"a": 10**40},
        {"a": math.nan},
        {"a": [{"b": -math.inf}]},
        {"a": LONG * 100},
        [1],
        "{mark}",
        5,
        b"{}",
        OBJECT,
        {1: "{mark}"},
        {"a": b"{mark}"},
        {"a": 1j},
    ),
]
NO_DOCUMENT: Final[list[Any]] = [
    *("{", b"\xff\xfe", '{"a": NaN}', '{"a": Infinity}', '"\\u0000{mark}"', "\ud800", OBJECT, {1, 2}, {"a": OBJECT}, 5),
    *({"a": LONG * 100}, _ROUND, deep(100_000), {"a": "\0{mark}"}, "", b"[1,"),
]
NO_LIST: Final[list[Any]] = [
    "{mark}",
    5,
    [5],
    [""],
    ["{mark}" + "x" * 100],
    ["t"] * 40,
    [None],
    OBJECT,
    ["\0"],
    ["\ud800"],
]

Spoilt = dict[str, list[Any]]
OPTIONS: Final[Spoilt] = {
    "tenant": NO_NAME,
    "queue": NO_NAME,
    "priority": [*NO_NUMBER, -1001, 1001],
    "run_at": NO_MOMENT,
    "kill_at": NO_MOMENT,
    "timeout": [*NO_NUMBER, 0, -1, 604_801],
    "max_attempts": [*NO_NUMBER, 0, -1, 1001],
    "owner": NO_KEY,
    "key": NO_KEY,
    "unique_key": NO_KEY,
    "tags": NO_LIST,
    "id": NO_ID,
}
SAID: Final[Spoilt] = {"actor": [value for value in NO_WORDS if value != []], "reason": NO_WORDS}


@dataclass
class Attack:
    """One public call: with its sound parts, it is accepted; with any of `spoilt` in place, it must be refused."""

    call: Callable[..., Any]
    sound: Mapping[str, Any]
    spoilt: Mapping[str, Sequence[Any]]


def _read(client: Client) -> Callable[..., Any]:
    async def call(**parts: Any) -> Any:
        return [event async for event in client.events(live=False, **parts)]

    return call


def _replayed(client: Client) -> Callable[..., Any]:
    async def call(**parts: Any) -> Any:
        return [one async for one in client.replay(**parts)]

    return call


def _new_job(name: str) -> Callable[..., Any]:
    async def call(connection: Any, **parts: Any) -> Any:
        job = NewJob(**parts)
        if name == "one":
            return await enqueue(connection, job)
        return await enqueue_many(connection, [NewJob(kind="k"), job])

    return call


def declarations() -> dict[str, Attack]:
    """Return what an application declares: it never reaches the database."""

    def declare(**parts: Any) -> Any:
        def handler(n: int) -> None:
            """Do nothing."""

        return App().job(**parts)(handler)

    async def fold(_events: Any, _connection: Any) -> None:
        """Do nothing."""

    def project(function: Any, **parts: Any) -> Any:
        return App().projection(**parts)(function)

    number = [*NO_NUMBER, -1]
    delays = [value for value in number if value not in (1.5, 2**31)] + [10**9]
    return {
        "App.job": Attack(
            declare,
            {"name": "k"},
            {
                "name": [value for value in NO_NAME if value != ""],
                "queue": NO_NAME,
                "version": [*NO_NUMBER, 0],
                "aliases": [5, [5], ["a b{mark}"], [None], "a b", OBJECT],
                "priority": [*NO_NUMBER, 1001],
                "max_attempts": [*NO_NUMBER, 0, 1001],
                "timeout": [*NO_NUMBER, 0, 604_801, timedelta(milliseconds=5), timedelta(days=8)],
                "kill_after": [*NO_NUMBER[:9], 0, -5, timedelta(milliseconds=5), OBJECT],
                "backoff": ["{mark}", 5, OBJECT],
                "retry": ["{mark}", 5, OBJECT],
                "isolation": ["{mark}", 5, "fibre", None],
            },
        ),
        "App.projection": Attack(
            project,
            {"name": "waits", "function": fold},
            {
                "name": [*NO_NAME, "Waits", "waits_next", "9waits"],
                "version": [*NO_NUMBER, 0],
                "tables": [5, b"{mark}", OBJECT, [5], Path("/no/such/{mark}"), {"a": 1}],
                "effects": [5, "yes{mark}", None, OBJECT],
                "function": [5, None, "{mark}", OBJECT, print],
            },
        ),
        "App.sql_projection": Attack(
            lambda **parts: App().sql_projection(**parts),
            {"folder": "."},
            {"folder": ["", "/no/such/{mark}", "a\0{mark}", "\ud800{mark}", LONG, Path("/"), *NO_TEXT, None]},
        ),
        "App.kind": Attack(lambda name: App().kind(name), {}, {"name": ["{mark}", "", 5, OBJECT, []]}),
        "App.secret_resolver": Attack(
            lambda scheme: App().secret_resolver(scheme)(str), {}, {"scheme": ["", "A b{mark}", 5, OBJECT, "\0", "1x"]}
        ),
        "Client": Attack(
            Client,
            {},
            {
                "source": [5, OBJECT, [], b"{mark}"],
                "app": [5, OBJECT],
                "actor": [5, b"{mark}", OBJECT],
                "url": [5, b"{mark}", OBJECT, "{mark}"],
                "key": [5, b"{mark}", "{mark}", OBJECT],
            },
        ),
        "Store": Attack(Store, {}, {"pool": [None]}),
        "Secret": Attack(
            jobledger.Secret,
            {},
            {"reference": ["{mark}", "", "env:", "env", "ENV:{mark}", 5, None, OBJECT, "file:\0", "x" * 5000]},
        ),
        "Snooze": Attack(
            jobledger.Snooze,
            {},
            {"delay": [*NO_NUMBER[:2], *NO_NUMBER[3:9], -1, 10**9, NO_ZONE, None, OBJECT]},
        ),
        "Retry": Attack(
            jobledger.Retry,
            {},
            {"after": [*NO_NUMBER[:2], *NO_NUMBER[3:9], -1, 10**9, NO_ZONE, None, OBJECT]},
        ),
        "Exponential": Attack(
            jobledger.Exponential,
            {},
            {
                "base": delays,
                "factor": [0, 1001, "{mark}", math.nan],
                "cap": delays,
                "jitter": [-1, 2, "{mark}", math.nan],
            },
        ),
        "Linear": Attack(jobledger.Linear, {}, {"step": delays, "cap": delays, "jitter": [-1, 2, "{mark}", math.nan]}),
        "Fixed": Attack(jobledger.Fixed, {"delay": 1}, {"delay": delays, "jitter": [-1, 2, "{mark}"]}),
        "Table": Attack(
            jobledger.Table,
            {"delays": [1]},
            {"delays": ["{mark}", 5, [-1], ["{mark}"], [], [math.nan], [1] * 1001, OBJECT]},
        ),
        "Settings": Attack(
            jobledger.Settings,
            {},
            {
                "shard": [-1, 40_000, "{mark}", 1.5],
                "lease_s": [0, -1, "{mark}", math.nan],
                "pooler": ["{mark}", 5],
                "log_format": ["{mark}"],
                "concurrency": [0, -1, "{mark}"],
                "pool_max": [0, -1, "{mark}"],
            },
        ),
        "Worker": Attack(
            lambda **parts: jobledger.Worker(_app(), **parts),
            {},
            {
                "database": [5, OBJECT, []],
                "concurrency": [0, -1, 10_001, "{mark}", 1.5, math.nan, True],
                "queues": [
                    5,
                    OBJECT,
                    {"q": 0},
                    {"q": -1},
                    {"q": "{mark}"},
                    {"a b{mark}": 1},
                    {5: 1},
                    ["a b{mark}"],
                    [5],
                ],
                "kinds": [["{mark}"], 5, [5], [None], [], OBJECT],
                "tenants": [5, ["a b{mark}"], [5], [None], "{mark}", OBJECT],
            },
        ),
    }


def _app() -> App:
    app = App()

    @app.job()
    async def known(n: int = 0) -> None:
        """Do nothing."""

    return app


def calls(
    client: Client, connection: Any, waiting: UUID, of_app: Callable[[App], Client] | None = None
) -> dict[str, Attack]:
    """Return what reaches the database, by a client, and by one (`of_app`) of an app with one kind, `known`."""
    app = _app()
    known: Any = app.kind("known")
    own = of_app(app) if of_app is not None else Client(client.store, app=app)
    act = {"reason": "because"}
    which = {"job": waiting, **act}
    one: Spoilt = {"job": [*NO_ID, None], "tenant": [*NO_TEXT, "\0", "\ud800{mark}"], **SAID}
    soon = datetime.now(UTC) + timedelta(hours=1)
    no_kind = [*NO_NAME, "unknown"]
    filters: Spoilt = {
        "tenant": NO_TEXT,
        "states": ["{mark}", ["{mark}"], 5, [5], OBJECT],
        "queue": NO_TEXT,
        "kind": NO_TEXT,
        "owner": NO_TEXT,
        "tag": NO_TEXT,
    }
    held: Spoilt = {"scope": [*NO_NAME, "service", "jobs"], "name": NO_NAME, **SAID}

    async def by_name(**parts: Any) -> Any:
        return await own.enqueue(parts.pop("kind"), parts.pop("args", {}), **parts)

    async def by_kind(n: Any = 1, **options: Any) -> Any:
        return await known.using(client=own, **options).enqueue(n)

    async def bulk(**options: Any) -> Any:
        return await own.enqueue_many([known.call(), await own.call("known", {}, **options)])

    async def look(**parts: Any) -> Any:
        return await client.handle(parts.pop("id"), **parts).result(timeout=0.0)

    async def act_on(**parts: Any) -> Any:
        return await client.act_on(parts.pop("act"), parts.pop("jobs"), **parts)

    return {
        "NewJob": Attack(
            lambda **parts: _new_job("one")(connection, **parts),
            {"kind": "k"},
            {
                "kind": [*NO_NAME, None],
                **OPTIONS,
                "args": NO_DOCUMENT,
                "meta": NO_DOCUMENT,
                "backoff": NO_DOCUMENT,
                "trace": NO_DOCUMENT,
            },
        ),
        "enqueue_many": Attack(
            lambda **parts: _new_job("many")(connection, **parts),
            {"kind": "k"},
            {"kind": [*NO_NAME, None], **OPTIONS, "args": NO_DOCUMENT, "meta": NO_DOCUMENT},
        ),
        "Client.enqueue": Attack(
            by_name,
            {"kind": "known"},
            {
                "kind": no_kind,
                "args": NO_ARGS,
                **OPTIONS,
                "actor": ["", *NO_WORDS],
                "other": [1],
                "backoff": ["{mark}", OBJECT, 5],
                "meta": NO_ARGS[:8],
            },
        ),
        "Client.call": Attack(client.call, {"kind": "k"}, {"args": NO_ARGS[:3], "run_at": NO_MOMENT[:9], "other": [1]}),
        "Client.send": Attack(client.send, {}, {"call": [5, None, OBJECT]}),
        "Client.enqueue_many": Attack(bulk, {}, OPTIONS),
        "Job.using": Attack(
            by_kind, {}, {"n": ["{mark}", None, [], OBJECT, 1.5, math.nan, b"{mark}", LONG], **OPTIONS}
        ),
        "Client.handle": Attack(
            look,
            {"id": waiting, "tenant": "t"},
            {"id": [*NO_ID, None], "tenant": ["unknown", *NO_TEXT, "\0"]},
        ),
        "Client.job": Attack(
            client.job, {"job": waiting}, {"job": [*NO_ID, None], "tenant": [*NO_TEXT, "\0"], "as_of": NO_PAST}
        ),
        "Client.history": Attack(client.history, {"job": waiting}, {"job": [*NO_ID, None], "tenant": [*NO_TEXT, "\0"]}),
        "Client.events": Attack(
            _read(client),
            {},
            {
                "after": ["", "{mark}", "p", "p{mark}", "\ud800", 5, b"p", True, [], OBJECT, LONG],
                "tenant": [*NO_TEXT, "", "\0{mark}", "\ud800{mark}", LONG],
                "queue": [*NO_TEXT, "", "\0{mark}", "\ud800{mark}", LONG],
                "owner": [*NO_TEXT, "", "\0{mark}", "\ud800{mark}", LONG],
                "types": ["{mark}", "job.failed", [], ["job.nothing"], ["{mark}"], [5], [None], 5, OBJECT, [[]]],
                "job": ["{mark}", "", 5, 1.5, True, b"x", [], OBJECT],
            },
        ),
        "Client.tenant": Attack(
            client.tenant,
            {"tenant": "acme"},
            {"tenant": [*NO_NAME, None], "since": NO_MOMENT, "until": NO_MOMENT},
        ),
        "Client.tenants": Attack(
            client.tenants, {}, {"after": [*NO_TEXT, "\0", "\ud800{mark}"], "limit": [0, 1001, *NO_NUMBER]}
        ),
        "Client.counts": Attack(
            client.counts,
            {"as_of": datetime(2026, 1, 1, tzinfo=UTC)},
            {"as_of": [*NO_PAST, None], "tenant": [*NO_TEXT, "\0"]},
        ),
        "Client.replay": Attack(
            _replayed(client),
            {},
            {
                "after": ["", "{mark}", "p", "\ud800", 5, b"p", True, [], LONG, NO_ZONE],
                "until": ["", "{mark}", "p", "\ud800", 5, b"p", True, [], LONG, NO_ZONE],
                **{
                    name: [*NO_TEXT, "", "\0{mark}", "\ud800{mark}", LONG]
                    for name in ("tenant", "queue", "owner", "kind")
                },
                "types": ["{mark}", "job.failed", [], ["job.nothing"], ["{mark}"], [5], [None], 5, OBJECT, [[]]],
                "job": ["{mark}", "", 5, 1.5, True, b"x", [], OBJECT],
            },
        ),
        **_subscriptions(client),
        "Client.jobs": Attack(
            client.jobs,
            {},
            {
                **filters,
                "limit": [0, -1, 1001, "{mark}", 1.5, None, math.nan, True],
                "cursor": ["{mark}", 5, OBJECT, "\0"],
                "as_of": NO_PAST,
            },
        ),
        "Client.cancel": Attack(client.cancel, which, one),
        "Client.kill": Attack(client.kill, which, one),
        "Client.unpark": Attack(client.unpark, which, one),
        "Client.retry": Attack(
            client.retry, which, {**one, "attempts": [*NO_NUMBER, 0, 1001], "run_at": NO_MOMENT, "kill_at": NO_MOMENT}
        ),
        "Client.reschedule": Attack(
            client.reschedule, which | {"run_at": soon}, {**one, "run_at": [*NO_MOMENT, None], "kill_at": NO_MOMENT}
        ),
        "Client.reprioritise": Attack(
            client.reprioritise, which | {"priority": 1}, {**one, "priority": [*NO_NUMBER, 1001, None]}
        ),
        "Client.move": Attack(client.move, which | {"queue": "q"}, {**one, "queue": [*NO_NAME, None]}),
        "Client.act_on": Attack(
            act_on,
            {"act": "unpark", "jobs": [waiting], **act},
            {
                "act": [*NO_NAME, None],
                "jobs": [5, None, ["{mark}"], [None], [], [5], [waiting] * 10_001, OBJECT],
                "data": [5, OBJECT, {"a": OBJECT}, {"a": "\0"}],
                **SAID,
            },
        ),
        "Client.preview": Attack(
            client.preview, {"act": "cancel", "jobs": JobFilter()}, {"act": [*NO_NAME, None], "jobs": [5, None, OBJECT]}
        ),
        "Client.pause": Attack(client.pause, {"scope": "queue", "name": "q", **act}, held),
        "Client.resume": Attack(client.resume, {"scope": "queue", "name": "q", **act}, held),
        "Client.set_limit": Attack(
            client.set_limit,
            {"scope": "queue", "name": "q", "timeout": 60, **act},
            {
                **held,
                "scope": [*NO_NAME, "jobs"],
                "timeout": [*NO_NUMBER, 0, -1],
                "other": [1],
                "max_attempts": [*NO_NUMBER, 0],
            },
        ),
        "Client.limits": Attack(client.limits, {}, {"scope": NO_TEXT, "name": [*NO_TEXT, "\0"]}),
        "Store.connect": Attack(
            Store.connect,
            {},
            {
                "dsn": [
                    "{mark}",
                    "http://{mark}",
                    "postgresql://nowhere:99999/x",
                    "postgresql://u:{mark}@127.0.0.1:1/x",
                    5,
                ]
            },
        ),
    }


def _subscriptions(client: Client) -> dict[str, Attack]:
    """Return the calls on a durable subscription; it is there only where it is created."""

    def on(name: str) -> Callable[..., Any]:
        async def call(*, subscription: Any = "s", of: Any = None, **parts: Any) -> Any:
            one = client.subscription(subscription, tenant=of)
            return await getattr(one, name)(**parts)

        return call

    names: Spoilt = {
        "subscription": ["", "\0{mark}", "\ud800{mark}", LONG, None, *NO_TEXT],
        "of": ["", "_global", "\0{mark}", "\ud800{mark}", LONG, *NO_TEXT],
    }
    cursors: list[Any] = ["", "{mark}", "p", "p{mark}", "\ud800", 5, b"p", True, [], OBJECT, LONG]
    texts: list[Any] = [*NO_TEXT, "", "\0{mark}", "\ud800{mark}", LONG]
    place: Spoilt = {"after": cursors, "at": NO_MOMENT[:9], "from_end": [5, "{mark}", OBJECT]}
    return {
        "Subscription.create": Attack(
            on("create"),
            {},
            {
                **names,
                **place,
                "types": ["{mark}", "job.failed", [], ["job.nothing"], ["{mark}"], [5], [None], 5, OBJECT, [[]]],
                "queue": texts,
                "kind": texts,
                "owner": texts,
                "slices": [*NO_NUMBER, 0, 257],
                "strict": ["{mark}", 5, None, OBJECT],
                "max_failures": [*NO_NUMBER, 0, 1001],
                "backoff_s": ["{mark}", -1, 3601, math.nan, math.inf, None, True, OBJECT],
                "lease_s": [*NO_NUMBER, 1, 3601],
                **SAID,
            },
        ),
        "Subscription.reset": Attack(on("reset"), {}, {**names, **place, **SAID}),
        "Client.subscription": Attack(on("status"), {}, names),
        "Client.subscriptions": Attack(client.subscriptions, {}, {"tenant": [*NO_TEXT, "\0{mark}", "\ud800{mark}"]}),
        "Subscription.set_aside": Attack(on("set_aside"), {}, {"limit": [*NO_NUMBER, 0, 10_001]}),
        "Subscription.retry": Attack(on("retry"), {}, {"jobs": ["{mark}", 5, [5], ["{mark}"], OBJECT], **SAID}),
        "Subscription.consume": Attack(
            on("consume"),
            {"handler": print},
            {"batch": [*NO_NUMBER, 0, 1001], "consumer": NO_KEY, "subscription": ["x"]},
        ),
    }


HANDED_ON: Final = {
    *("Call", "CancellationToken", "Context", "Handle", "Job", "JobledgerError", "Stopped"),
    *("EnqueueOptions", "Masked", "current", "RetryPolicy", "Cancel", "Park", "PublicJob"),
    *("Failure", "PermanentFailure", "PermissionFailure", "QuotaFailure", "TransientFailure"),
}
"""What the library makes, or what only names something: there is no input of a caller's to refuse."""
