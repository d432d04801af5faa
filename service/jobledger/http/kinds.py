"""Kinds over HTTP: what can be enqueued, and the schema of its arguments. They are the same for all tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from jobledger.errors import NotFound
from jobledger.http.route import Answer, Document, Routes
from jobledger.http.tenants import Named
from jobledger.http.wire import document_of, json_of
from jobledger.store import registers
from jobledger.store.registers import KindRow
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from jobledger.http.route import Call

routes = Routes("Kinds")

_ANY: Final = (Role.READ, Role.ENQUEUE, Role.WORK, Role.OPERATE)


class Kinds(Document):
    """Kinds by name; `next` is the cursor of the following page, null at the end."""

    kinds: list[document_of(KindRow)]  # type: ignore[valid-type]
    next: str | None


class KindDetail(Document):
    """A kind with the JSON Schema of its arguments; null for one that was never described."""

    kind: document_of(KindRow)  # type: ignore[valid-type]
    arguments: dict[str, Any] | bool | None = Field(alias="schema")


@routes.get("/v1/kinds", needs=_ANY, query=Named, answer=Kinds, cached=True)
async def list_kinds(call: Call[Named, None]) -> Answer:
    """List the kinds that were registered, by name."""
    asked, store = call.query, call.service.store
    async with store.connection(ours=True) as connection:
        found = await registers.list_kinds(connection, store.shard, after=asked.cursor, limit=asked.limit + 1)
    page = found[: asked.limit]
    return Answer(json_of({"kinds": page, "next": page[-1].name if len(found) > asked.limit else None}))


@routes.get("/v1/kinds/{kind}", needs=_ANY, answer=KindDetail, cached=True)
async def show_kind(call: Call[Any, None]) -> Answer:
    """Show a kind, by its name or an alias, with the JSON Schema of its arguments."""
    store = call.service.store
    async with store.connection(ours=True) as connection:
        found = await registers.show_kind(connection, store.shard, call.name("kind"))
    if found is None:
        raise NotFound("There is no such kind.")
    return Answer(json_of({"kind": found.kind, "schema": found.args_schema}))
