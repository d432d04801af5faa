"""Kinds as resources of their own names: made, shown, listed and cancelled in their own fields and states.

A job of another kind, tenant or owner does not exist here; arguments, attempts, workers and tracebacks are not told.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from jobledger.errors import (
    BadCursor,
    IdempotencyMismatch,
    InvalidArgs,
    InvalidArgument,
    NotFound,
    SecretInPlain,
    TooLarge,
    WrongState,
)
from jobledger.events.vocabulary import MODELS
from jobledger.http.bookmark import Bookmarks
from jobledger.http.route import SSE, Answer, Document, Routes
from jobledger.http.standing import Standings
from jobledger.http.stream import SERVER_SENT, Stream
from jobledger.ids import time_of
from jobledger.jobs.resource import PublicJob, public_jobs
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiohttp import web

    from jobledger.http.route import Call, Route
    from jobledger.jobs.app import App
    from jobledger.jobs.resource import Resource

_KEY_MOST: Final = 256
PAGE_MOST: Final = 200
"""Jobs that a page of a resource has at most."""


class Whose(Document):
    """Of whom: for keys of several tenants, or of no owner of their own."""

    tenant: str | None = Field(None, description="The key's own tenant where it has only one.")
    owner: str | None = Field(None, description="The key's own owner where it has one.")


class Cancelling(Document):
    """Why it is cancelled."""

    reason: str = Field("Cancelled by whom it is for.", min_length=1, max_length=1000)


class Following(Whose):
    """Which of them, and from where."""

    after: str | None = Field(None, description="Begin behind this id. The header Last-Event-ID comes before it.")
    from_end: bool = Field(False, description="Begin at the end, in the place of the beginning.")
    live: bool = Field(True, description="Go on with what comes; else end where the log ends.")


def routes_of(app: App | None, taken: Iterable[Route]) -> list[Route]:
    """Return the routes of an application's resources. Raises `InvalidArgument` for a name that the service has."""
    used = {route.path.split("/")[2] for route in taken if route.path.startswith("/v1/")}
    found: list[Route] = []
    for name, resource in (app.resources if app is not None else {}).items():
        if name in used:
            raise InvalidArgument(f"The service has {name} of its own; a resource needs another name.")
        found += _Served(resource).routes()
    return found


class _Served:
    """One resource as routes."""

    def __init__(self, resource: Resource) -> None:
        """Make the documents that are its own."""
        self.resource = resource
        self.page = _page(resource)
        self.standings: Standings | None = None

    def routes(self) -> list[Route]:
        """Return its routes, with the documents that are its own."""
        name, public = self.resource.name, self.resource.public
        routes = Routes(name.capitalize())
        path, one = f"/v1/{name}", f"/v1/{name}/{{job}}"
        routes.post(
            path,
            needs=(Role.ENQUEUE,),
            query=Whose,
            body=_body(self.resource),
            answer=public,
            status=201,
            also=(200,),
            errors=(InvalidArgs, InvalidArgument, SecretInPlain, TooLarge, IdempotencyMismatch),
            headers={"Idempotency-Key": "The same key makes one only, for 24 hours; 200 shows the first one then."},
        )(_named(self.make, f"make_{name}", f"Make one of the {name}.\n\n{self.resource.job.__doc__ or ''}"))
        routes.get(path, query=_query(self.resource), answer=self.page, errors=(InvalidArgument,))(
            _named(self.listed, f"list_{name}", f"List {name}, newest first.\n\n{_LISTED}")
        )
        routes.get(
            f"{path}/events",
            query=Following,
            answer=public,
            media=(SSE,),
            errors=(BadCursor, InvalidArgument),
            headers={_RESUME: "The id of the last event that came: the stream goes on behind it."},
        )(_named(self.follow, f"follow_{name}", f"Follow {name} as they change.\n\n{_FOLLOWED}"))
        routes.get(one, query=Whose, answer=public, cached=True)(
            _named(self.show, f"show_{name}", f"Show one of the {name}.")
        )
        routes.post(
            f"{one}/cancel",
            needs=(Role.ENQUEUE, Role.OPERATE),
            query=Whose,
            body=Cancelling,
            answer=public,
            errors=(WrongState,),
        )(_named(self.cancel, f"cancel_{name}", f"Cancel one of the {name}.\n\n{_CANCELLED}"))
        return routes.all

    async def make(self, call: Call[Whose, RootModel[dict[str, Any]]]) -> Answer:
        """Enqueue a job of the kind, for the key's owner."""
        tenant, owner = call.access.one_tenant(call.query.tenant), call.access.owner_of(call.query.owner)
        stated: dict[str, Any] = {"tenant": tenant} | ({"owner": owner} if owner is not None else {})
        key = call.request.headers.get("Idempotency-Key")
        if key is not None:
            if not 1 <= len(key) <= _KEY_MOST:
                raise InvalidArgument(f"The idempotency key has 1 to {_KEY_MOST} characters.")
            stated["key"] = _scoped(self.resource.name, call.access.owner, key)
        client = call.service.client
        sent = await client.send(
            await client.call(self.resource.job.name, call.body.root, actor=call.access.name, **stated)
        )
        if sent.created:
            # Not read back: enqueuing works while the live tables are being rebuilt.
            made: PublicJob[Any] = PublicJob(sent.id, self.resource.states["ready"], time_of(sent.id))
            shown = self.resource.shown(made)
        else:
            shown = await self._one(call, sent.id)
        headers = {"Location": f"/v1/{self.resource.name}/{sent.id}"}
        return Answer(shown, status=201 if sent.created else 200, headers=headers)

    async def listed(self, call: Call[Any, None]) -> Answer:
        """Return a page."""
        tenant, owner = call.access.tenant(call.query.tenant), call.access.owner_of(call.query.owner)
        wanted: dict[str, Any] = {"tenant": tenant, "owner": owner, "states": self.resource.meant(call.query.state)}
        limit, client = call.query.limit, call.service.client
        marks = Bookmarks(await call.service.book.service_key(), self.resource.name, tenant, owner)
        cursor = str(marks.read(call.query.cursor)) if call.query.cursor is not None else None
        pages = [await client.jobs(kind=kind, limit=limit, cursor=cursor, **wanted) for kind in self.resource.kinds]
        ids = sorted((job.id for page in pages for job in page.jobs), reverse=True)
        stops = [UUID(page.next) for page in pages if page.next is not None]
        if stops:
            # What lies before the end of one page may be on the next page of that one.
            ids = [id_ for id_ in ids if id_ >= max(stops)]
        following = max(stops, default=None)
        if len(ids) > limit:
            ids, following = ids[:limit], ids[limit - 1]
        found = await self._rows(call, ids)
        shown = [self.resource.shown(self.resource.read(found[id_])) for id_ in ids if id_ in found]
        told: dict[str, Any] = {
            self.resource.name: shown,
            "next": marks.write(following) if following is not None else None,
        }
        return Answer(self.page.model_construct(**told))

    async def show(self, call: Call[Whose, None]) -> Answer:
        """Return one."""
        return Answer(await self._one(call, call.id("job")))

    async def follow(self, call: Call[Following, None]) -> web.StreamResponse:
        """Stream how each stands whenever something happens to it."""
        query, access = call.query, call.access
        wanted: dict[str, Any] = {
            "tenant": access.tenant(query.tenant),
            "owner": access.owner_of(query.owner),
            "types": _OF_JOBS,
            "live": query.live,
        }
        self.standings = self.standings or Standings(self.resource, call.service.store)
        stream = Stream(call, self.standings, partial(call.service.feed, **wanted), SERVER_SENT)
        after = call.request.headers.get(_RESUME) or query.after
        return await stream.run(after=after, from_end=query.from_end)

    async def cancel(self, call: Call[Whose, Cancelling]) -> Answer:
        """Cancel one, whose it is having been looked at."""
        id_ = call.id("job")
        tenant = call.access.tenant(call.query.tenant)
        await self._one(call, id_)
        try:
            await call.service.client.cancel(id_, tenant=tenant, reason=call.body.reason, actor=call.access.name)
        except WrongState:
            raise WrongState("It is over; there is nothing to cancel.") from None
        except NotFound:
            raise self._unknown() from None
        return Answer(await self._one(call, id_))

    async def _one(self, call: Call[Any, Any], id_: UUID) -> BaseModel:
        found = await self._rows(call, [id_])
        if id_ not in found:
            raise self._unknown()
        return self.resource.shown(self.resource.read(found[id_]))

    async def _rows(self, call: Call[Any, Any], ids: Sequence[UUID]) -> dict[UUID, Any]:
        """Return the rows of those ids that are of this kind, and the bearer's."""
        tenant, owner = call.access.tenant(call.query.tenant), call.access.owner_of(call.query.owner)
        store = call.service.store
        async with store.connection(ours=True) as connection:
            rows = await public_jobs(connection, store.shard, ids)
        return {
            id_: row
            for id_, row in rows.items()
            if row["kind"] in self.resource.kinds and tenant in (None, row["tenant"]) and owner in (None, row["owner"])
        }

    def _unknown(self) -> NotFound:
        return NotFound(f"There is no such thing among the {self.resource.name}.")


_OF_JOBS: Final = tuple(name for name in MODELS if name.startswith("job."))
_RESUME: Final = "Last-Event-ID"
_FOLLOWED: Final = """
As `text/event-stream`. The data of each event is one of them, as it stood after a change; its `id` is where to go on.
`reset` and `bye` are as in `/v1/events`.
""".strip()
_LISTED: Final = "A page may have fewer than were asked for, or none; go on while `next` is not null."
_CANCELLED: Final = "One that waits is cancelled at once; one that runs is asked to end, and is shown as it stands now."


def _named(handler: Any, name: str, told: str) -> Any:
    """Return the handler under a name and docstring of its own: the reference has them."""

    async def serve(call: Call[Any, Any]) -> Any:
        return await handler(call)

    serve.__name__ = name.replace("-", "_")
    serve.__doc__ = told
    return serve


def _scoped(resource: str, owner: str | None, key: str) -> str:
    """Return the key under which it is kept: what one owner made, no other owner's request finds."""
    digest = hashlib.blake2b("\0".join((owner or "", key)).encode("utf-8", "surrogateescape"), digest_size=24)
    return f"{resource}:{digest.hexdigest()}"


def _title(resource: Resource) -> str:
    return "".join(part.capitalize() for part in resource.name.replace("-", "_").split("_"))


def _body(resource: Resource) -> type[RootModel[dict[str, Any]]]:
    """Return the document of the kind's arguments; the kind itself checks them."""
    name = f"New{_title(resource)}"

    def described(schema: dict[str, Any]) -> None:
        schema.clear()
        schema.update(resource.job.schema, title=name)

    return type(
        name,
        (RootModel[dict[str, Any]],),
        {"__module__": __name__, "model_config": ConfigDict(json_schema_extra=described, hide_input_in_errors=True)},
    )


def _query(resource: Resource) -> type[BaseModel]:
    """Return the query of its list."""
    words: Any = Literal[tuple(resource.words)]
    return create_model(
        f"{_title(resource)}Query",
        __base__=Whose,
        state=(list[words] | None, Field(None, description="Only those in one of these states.")),
        limit=(int, Field(50, ge=1, le=PAGE_MOST)),
        cursor=(str | None, Field(None, description="`next` of the page before.")),
    )


def _page(resource: Resource) -> type[BaseModel]:
    """Return the document of a page."""
    public: Any = resource.public
    fields: dict[str, Any] = {resource.name: (list[public], ...), "next": (str | None, None)}
    return create_model(f"{_title(resource)}Page", __base__=Document, **fields)
