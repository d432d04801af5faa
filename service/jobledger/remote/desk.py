"""Subscriptions as a service keeps them: made, looked at, acted on and consumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from jobledger.errors import InvalidArgument
from jobledger.order.checkpoints import SetAside, Slice
from jobledger.order.desk import Status
from jobledger.remote.answer import read
from jobledger.remote.connection import path_of
from jobledger.remote.consumer import ServiceConsumer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from jobledger.order.checkpoints import Options
    from jobledger.order.desk import Begin, By
    from jobledger.order.filters import EventFilter
    from jobledger.remote.connection import Reply, ServiceConnection


class Ask(Protocol):
    """Sends a request and returns its answer."""

    async def __call__(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: object = None
    ) -> Reply:
        """Send it."""


class ServiceDesk:
    """Subscriptions by requests to a service."""

    def __init__(self, ask: Ask, connection: ServiceConnection) -> None:
        """Ask by this; each consumer gets a connection of its own like that one."""
        self._ask = ask
        self._connection = connection

    async def create(
        self, name: str, wanted: EventFilter, kind: str | None, options: Options, begin: Begin, by: By
    ) -> bool:
        """Create one; false where it was there."""
        body = {
            "name": name,
            "tenant": wanted.tenant,
            "types": wanted.types,
            "queue": wanted.queue,
            "owner": wanted.owner,
            "kind": kind,
            "after": begin.after,
            "from_end": begin.to == "end",
            "at": begin.at,
            **options._asdict(),
            "reason": _reason(by),
        }
        return bool((await self._ask("POST", path_of("subscriptions"), None, body)).json()["created"])

    async def reset(self, tenant: str | None, name: str, begin: Begin, by: By) -> None:
        """Let it go on from a place."""
        body = {
            "after": begin.after,
            "from_end": begin.to == "end",
            "at": begin.at,
            "from_start": begin.to == "beginning",
            "reason": _reason(by),
        }
        await self._act(tenant, name, "reset", body)

    async def disable(self, tenant: str | None, name: str, by: By) -> bool:
        """Give its consumers nothing; false where that was so."""
        return bool((await self._act(tenant, name, "disable", {"reason": _reason(by)})).json()["changed"])

    async def remove(self, tenant: str | None, name: str, by: By) -> None:
        """Remove it."""
        await self._ask("DELETE", path_of("subscriptions", name), {"tenant": tenant, "reason": _reason(by)})

    async def again(self, tenant: str | None, name: str, jobs: Sequence[UUID] | None, by: By, *, drop: bool) -> int:
        """Hand out again, or give up, what was set aside; return how many events."""
        body = {"jobs": None if jobs is None else [str(one) for one in jobs], "drop": drop, "reason": _reason(by)}
        return int((await self._act(tenant, name, "retry", body)).json()["events"])

    async def status(self, tenant: str | None, name: str) -> Status:
        """Return how it stands."""
        return read(Status, await self._shown(tenant, name, "status"))

    async def slices(self, tenant: str | None, name: str) -> list[Slice]:
        """Return its slices."""
        return read(list[Slice], await self._shown(tenant, name, "slices"))

    async def set_aside(self, tenant: str | None, name: str, limit: int) -> list[SetAside]:
        """Return the first events that it has set aside."""
        return read(list[SetAside], await self._shown(tenant, name, "set_aside", {"limit": limit}))

    async def consumer(self, tenant: str | None, name: str, about: str) -> ServiceConsumer:
        """Return what takes its events; it joins by `async with`."""
        return ServiceConsumer(self._connection.another(), tenant, name, about)

    async def _shown(self, tenant: str | None, name: str, part: str, more: Mapping[str, Any] | None = None) -> Any:
        query = {"tenant": tenant, **(more or {})}
        return (await self._ask("GET", path_of("subscriptions", name), query)).json()[part]

    async def _act(self, tenant: str | None, name: str, act: str, body: Mapping[str, Any]) -> Reply:
        return await self._ask("POST", path_of("subscriptions", name, act), {"tenant": tenant}, body)


def _reason(by: By) -> str | None:
    if by.actor is not None:
        raise InvalidArgument("By a service the actor in the log is the key's own name.", hint="Leave actor out.")
    return by.reason
