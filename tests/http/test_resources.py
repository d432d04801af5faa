"""Kinds as resources of their own names."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

import orjson
import pytest
from pydantic import BaseModel, Field
from tests.order.stress import seal_all

from jobledger import App, Context, PermanentFailure, PublicJob
from jobledger.errors import InvalidArgument
from jobledger.http.access import Access
from jobledger.http.frames import Streams
from jobledger.http.resources import routes_of
from jobledger.http.service import PARTS
from jobledger.ids import new_id
from jobledger.store import jobs_read
from jobledger.store.roles import Role
from jobledger.testing import drain

if TYPE_CHECKING:
    from aiohttp import web

    from jobledger.store.pool import Store


class Launched(BaseModel):
    """What a launch comes to."""

    site: str
    pages: int


class LaunchView(BaseModel):
    """A launch as a tenant sees it."""

    id: UUID
    state: Literal["waiting", "running", "live", "failed", "cancelled"]
    created_at: datetime
    ended_at: datetime | None = None
    result: Launched | None = None
    error: str | None = None


class Sight(BaseModel):
    """An export as a tenant sees it, by a function."""

    number: UUID
    ready: bool
    rows: int | None = Field(None, serialization_alias="rowCount")


def _sight(job: PublicJob[int]) -> Sight:
    return Sight(number=job.id, ready=job.state == "done", rows=job.result)


def _app() -> App:
    app = App()

    @app.resource(
        "launches",
        public=LaunchView,
        states={"succeeded": "live"},
        errors={"BadSite": "The site cannot be launched."},
        error="Something went wrong.",
    )
    @app.job(max_attempts=1)
    async def launch(context: Context, site: str, pages: int = 1) -> Launched:
        if site == "bad":
            raise BadSite("no such host: 10.0.0.7")
        if site == "odd":
            raise RuntimeError("the insides")
        await context.progress(0.5, "half way")
        return Launched(site=site, pages=pages)

    @app.resource("exports", public=Sight, view=_sight)
    @app.job(aliases=["dump"])
    async def export(rows: int) -> int:
        return rows

    return app


class BadSite(PermanentFailure):
    """A site that is none."""


ACCESSES = {
    "ada": Access("key:ada", frozenset({Role.ENQUEUE}), frozenset({"acme"}), "ada", new_id()),
    "bob": Access("key:bob", frozenset({Role.ENQUEUE}), frozenset({"acme"}), "bob", new_id()),
    "acme": Access("key:acme", frozenset({Role.OPERATE}), frozenset({"acme"}), None, new_id()),
    "mute": Access("key:mute", frozenset(), frozenset({"acme"}), "ada", new_id()),
    "other": Access("key:other", frozenset({Role.ENQUEUE, Role.READ}), frozenset({"other"}), None, new_id()),
    "admin": Access("key:admin", frozenset({Role.ADMIN}), None, None, new_id()),
}


async def _by_name(request: web.Request) -> Access:
    return ACCESSES[request.headers["As"]]


class Asking:
    """A session that asks as one of `ACCESSES`."""

    def __init__(self, session: Any) -> None:
        """Keep the session."""
        self.session = session

    async def __call__(self, who: str, method: str, path: str, **given: Any) -> tuple[int, Any]:
        """Return the status and the document."""
        headers = {"As": who, **given.pop("headers", {})}
        async with self.session.request(method, path, headers=headers, **given) as response:
            return response.status, await response.json(content_type=None)


async def test_a_kind_is_made_shown_listed_and_cancelled_under_its_own_name(store: Store, serving: Any) -> None:
    """In its own fields and states, for a key that may not read jobs; what failed says a sentence of the app's own."""
    app = _app()
    async with serving(store, app=app) as (session, service):
        service.authenticate = _by_name
        ask = Asking(session)
        status, made = await ask("ada", "POST", "/v1/launches", json={"site": "a.org", "pages": 3})
        assert status == 201
        assert (made["state"], set(made)) == ("waiting", set(LaunchView.model_fields))
        bad = (await ask("ada", "POST", "/v1/launches", json={"site": "bad"}))[1]
        odd = (await ask("ada", "POST", "/v1/launches", json={"site": "odd"}))[1]
        assert (await ask("ada", "GET", "/v1/jobs/" + made["id"]))[0] in (403, 404)
        await drain(app, store)
        late = (await ask("ada", "POST", "/v1/launches", json={"site": "late"}))[1]

        _, shown = await ask("ada", "GET", f"/v1/launches/{made['id']}")
        assert (shown["state"], shown["result"], shown["error"]) == ("live", {"site": "a.org", "pages": 3}, None)
        assert shown["ended_at"] is not None
        _, gone = await ask("ada", "POST", f"/v1/launches/{late['id']}/cancel", json={"reason": "changed my mind"})
        assert gone["state"] == "cancelled"
        assert (await ask("ada", "POST", f"/v1/launches/{made['id']}/cancel"))[0] == 409

        _, page = await ask("ada", "GET", "/v1/launches")
        told = [(one["id"], one["state"], one["error"]) for one in page["launches"]]
        assert told == [
            (late["id"], "cancelled", None),
            (odd["id"], "failed", "Something went wrong."),
            (bad["id"], "failed", "The site cannot be launched."),
            (made["id"], "live", None),
        ]
        _, failed = await ask("ada", "GET", "/v1/launches", params={"state": "failed", "limit": "1"})
        assert [one["id"] for one in failed["launches"]] == [odd["id"]]
        _, rest = await ask("ada", "GET", "/v1/launches", params={"state": "failed", "cursor": failed["next"]})
        assert ([one["id"] for one in rest["launches"]], rest["next"]) == ([bad["id"]], None)
        # A cursor tells nothing, and is worth nothing to others.
        for cursor in (failed["next"], failed["next"][:-2], odd["id"], "", "\N{SNOWMAN}"):
            assert (await ask("bob", "GET", "/v1/launches", params={"cursor": cursor}))[0] == 400

        _, sight = await ask("ada", "POST", "/v1/exports", json={"rows": 7})
        await drain(app, store)
        _, sight = await ask("ada", "GET", f"/v1/exports/{sight['number']}")
        assert sight == {"number": sight["number"], "ready": True, "rowCount": 7}
        assert (await ask("ada", "GET", f"/v1/exports/{made['id']}"))[0] == 404
        # Jobs from before the kind was renamed are among them, page by page.
        for name in ("dump", "export", "dump"):
            await service.client.enqueue(name, {"rows": 1}, tenant="acme", owner="ada")
        numbers: list[str] = []
        params: dict[str, Any] = {"limit": "1"}
        while "cursor" not in params or params["cursor"] is not None:
            _, page = await ask("ada", "GET", "/v1/exports", params=params)
            numbers += [one["number"] for one in page["exports"]]
            params["cursor"] = page["next"]
        assert (len(numbers), numbers) == (4, sorted(numbers, reverse=True))


async def test_what_is_not_the_bearers_own_does_not_exist_in_a_resource(store: Store, serving: Any) -> None:
    """Another owner's and another tenant's key get the answers that they get for an id that was never given."""
    async with serving(store, app=_app()) as (session, service):
        service.authenticate = _by_name
        ask = Asking(session)
        _, made = await ask("ada", "POST", "/v1/launches", json={"site": "a"}, headers={"Idempotency-Key": "k"})
        status, again = await ask("ada", "POST", "/v1/launches", json={"site": "a"}, headers={"Idempotency-Key": "k"})
        assert (status, again["id"]) == (200, made["id"])
        nowhere = f"/v1/launches/{new_id()}"
        for who in ("bob", "other"):
            for method, rest in (("GET", ""), ("POST", "/cancel")):
                theirs = await ask(who, method, f"/v1/launches/{made['id']}{rest}")
                assert theirs == await ask(who, method, nowhere + rest)
                assert theirs[0] == 404
            assert (await ask(who, "GET", "/v1/launches"))[1] == {"launches": [], "next": None}
        # The key of an idempotent request is its owner's own.
        status, his = await ask("bob", "POST", "/v1/launches", json={"site": "b"}, headers={"Idempotency-Key": "k"})
        assert (status, his["id"] != made["id"]) == (201, True)
        assert (await ask("mute", "GET", f"/v1/launches/{made['id']}"))[0] == 200
        assert (await ask("mute", "POST", f"/v1/launches/{made['id']}/cancel"))[0] == 403
        assert (await ask("mute", "POST", "/v1/launches", json={"site": "a"}))[0] == 403
        assert len((await ask("acme", "GET", "/v1/launches"))[1]["launches"]) == 2
        assert (await ask("bob", "GET", "/v1/launches", params={"owner": "ada"}))[0] == 404
        status, refused = await ask("ada", "POST", "/v1/launches", json={"site": 7, "hush": "secret"})
        assert (status, refused["code"]) == (422, "invalid_args")
        assert "secret" not in str(refused)
        assert (await ask("acme", "POST", f"/v1/launches/{made['id']}/cancel"))[1]["state"] == "cancelled"


def test_a_resource_that_could_not_be_served_is_refused_where_it_is_declared() -> None:
    """A name out of rule or taken, fields that nobody fills, words that the model does not take."""
    app = _app()
    job = app.kind("launch")

    class More(BaseModel):
        id: UUID
        price: int = 0

    for stated in (
        {"name": "Launch es", "public": LaunchView},
        {"name": "launches", "public": LaunchView},
        {"name": "l", "public": dict},
        {"name": "l", "public": More},
        {"name": "l", "public": LaunchView},  # its state takes no "done"
        {"name": "l", "public": Sight, "view": 7},
        {"name": "l", "public": LaunchView, "states": {"done": "live"}},
    ):
        with pytest.raises(InvalidArgument):
            app.resource(**stated)(job)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        app.resource("l", public=Sight)(lambda: None)  # type: ignore[type-var]
    app.resource("jobs", public=Sight, view=_sight)(job)
    with pytest.raises(InvalidArgument):
        routes_of(app, [route for part in PARTS for route in part.all])


async def test_a_resource_is_followed_in_its_own_fields_by_its_owner_only(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change with a cursor, from which another stream goes on; nothing of other kinds, owners and tenants."""
    app = _app()
    async with serving(store, app=app) as (session, service):
        service.authenticate = _by_name
        ask = Asking(session)

        async def followed(who: str, **headers: str) -> tuple[list[str], list[Any]]:
            """Return ids and documents up to the end of the log."""
            given = {"As": who, **headers}
            async with session.get("/v1/launches/events", params={"live": "false"}, headers=given) as response:
                assert (response.status, response.content_type) == (200, "text/event-stream")
                frames = [frame.split("\n") for frame in (await response.text()).split("\n\n")]
            fields = [dict(line.split(": ", 1) for line in frame if ": " in line) for frame in frames]
            told = [frame for frame in fields if "data" in frame]
            return [frame["id"] for frame in told], [orjson.loads(frame["data"]) for frame in told]

        _, made = await ask("ada", "POST", "/v1/launches", json={"site": "a"})
        await ask("ada", "POST", "/v1/exports", json={"rows": 1})
        await drain(app, store)
        async with store.connection() as connection:
            await seal_all(connection)
        ids, told = await followed("ada")
        assert [one["id"] for one in told] == [made["id"]] * len(told)
        assert [one["state"] for one in told] == ["waiting", "running", "running", "live"]
        assert ([one["result"] for one in told[:3]], told[3]["result"]["site"]) == ([None] * 3, "a")
        assert told[3] == (await ask("ada", "GET", f"/v1/launches/{made['id']}"))[1]
        assert set(told[0]) == set(LaunchView.model_fields)
        # A process that begins in the middle reads what came before, in pages.
        service.streams = Streams()
        monkeypatch.setattr(jobs_read, "HISTORY_MAX", 2)
        assert (await followed("ada", **{"Last-Event-ID": ids[1]}))[1] == told[2:]
        assert (await followed("bob"))[1] == (await followed("other"))[1] == []
        assert (await followed("mute"))[1] == told
