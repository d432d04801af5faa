"""Webhooks: endpoints that are sent the events of a tenant, an owner or everybody. Made, listed and changed here.

What a webhook wants is fixed. Whom it is for is, too: one that is another tenant's or owner's is answered as none.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import orjson

from jobledger.delivery import signature
from jobledger.delivery.address import checked
from jobledger.delivery.sender import TIMEOUT_S, Sender
from jobledger.errors import InvalidArgument, NotFound
from jobledger.ids import new_id
from jobledger.order.checkpoints import EVERYBODY
from jobledger.order.cursor import Place, cursors_for
from jobledger.order.filters import EventFilter
from jobledger.order.kinds import Kinds
from jobledger.store.failures import translated
from jobledger.store.service_key import ServiceKey
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Collection

    import asyncpg

    from jobledger.delivery.sender import Sent
    from jobledger.store.pool import Connection, Store

BATCH_MOST: Final = 100
ROTATION: Final = timedelta(days=1)
"""For so long after a change of secrets the one before signs, too."""
TEST_TYPE: Final = "dev.jobledger.webhook.test"
EVENT: Final = "application/cloudevents+json; charset=utf-8"
EVENTS: Final = "application/cloudevents-batch+json; charset=utf-8"


class WebhookRow(NamedTuple):
    """A webhook, and how its deliveries go. `state` is `active`, `failing` or `disabled`.

    Of a failing one: `failing_since` when the first of the events that it does not take was tried first, `failures` how
    often one was tried. `last_fault` is a word: `status`, `timeout`, `connection`, `tls`, `name`, `address`, `redirect`
    or `answer`. `behind_s`: for how many seconds something has been waiting to be sent, or passed over; `behind` how
    many events that are, of everybody, so it is None for who does not see them all. `tenant` None: everybody's.
    """

    id: UUID
    tenant: str | None
    name: str
    url: str
    state: str
    types: tuple[str, ...] | None
    queue: str | None
    kind: str | None
    owner: str | None
    batch: int
    created_at: datetime
    changed_at: datetime
    rotated_at: datetime | None
    attempted_at: datetime | None
    succeeded_at: datetime | None
    last_status: int | None
    last_fault: str | None
    failing_since: datetime | None
    failures: int
    disabled_reason: str | None
    behind_s: int
    behind: int | None


class MadeWebhook(NamedTuple):
    """A webhook's id and secret; `created` is false where it was there, the same."""

    id: UUID
    secret: str
    created: bool


class Webhooks:
    """The webhooks of one tenant, of one owner in it, or (None) of everybody. Nothing is sent before one is awaited."""

    def __init__(
        self,
        store: Store,
        *,
        tenant: str | None = None,
        owner: str | None = None,
        actor: str | None = None,
        private: bool = False,
    ) -> None:
        """Say whose they are; `private`: endpoints may be at private addresses."""
        if tenant == EVERYBODY:
            raise InvalidArgument("A webhook has a tenant or none.", hint="None is everybody.")
        if not all(one is None or _is_text(one) for one in (tenant, owner, actor)):
            raise InvalidArgument("tenant, owner and actor are names.")
        self._store = store
        self._tenant = tenant
        self._owner = owner
        self._actor = actor
        self._private = private

    async def create(
        self,
        name: str,
        url: str,
        *,
        types: Collection[str] | None = None,
        queue: str | None = None,
        kind: str | None = None,
        owner: str | None = None,
        batch: int = 1,
        after: str | None = None,
        from_start: bool = False,
        at: datetime | None = None,
        reason: str | None = None,
    ) -> MadeWebhook:
        """Create one; it begins at the end, behind a cursor, at a time or at the start.

        types, queue, kind, owner: which events. With a `batch` over 1 (to 100) a request has a list of up to so many.
        The secret is given here and by `rotate` only; where the webhook is there, the same, it is given again.

        Raises:
            AddressRefused: the URL leads where requests are not sent.
            SubscriptionDiffers: one of this name is there with another URL, filter or batch.
            BadCursor, FeedReset: the cursor is none, or the log does not have what comes after it.
        """
        if isinstance(types, str):
            raise InvalidArgument("types is a list of names of events.")
        if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= BATCH_MOST:
            raise InvalidArgument(f"A request has 1 to {BATCH_MOST} events.")
        checked(url, private=self._private)
        wanted = EventFilter(self._tenant, None if types is None else tuple(types), None, queue, self._owner or owner)
        Kinds(self._store, kind)
        document = {"types": wanted.types, "queue": queue, "kind": kind, "owner": wanted.owner}
        kept = orjson.dumps({key: value for key, value in document.items() if value is not None}).decode()
        async with self._store.connection() as connection:
            to = await self._place(connection, after, at, "beginning" if from_start else "end")
            with translated():
                row = await connection.fetchrow(
                    statement("delivery/webhook_create"),
                    *(self._store.shard, self._tenant or EVERYBODY, name, url, kept, batch, *to),
                    *(self._actor, reason),
                )
            assert row is not None  # noqa: S101 - the function returns one row or raises
            key = await ServiceKey.load(connection)
        return MadeWebhook(row["id"], signature.secret(key, label_of(row["id"]), row["generation"]), row["created"])

    async def all(self) -> list[WebhookRow]:
        """Return all of them, by tenant and name: at most 1,000."""
        async with self._store.connection() as connection:
            return await self._listed(connection, None)

    async def get(self, webhook: UUID) -> WebhookRow:
        """Return one. Raises `NotFound`."""
        async with self._store.connection() as connection:
            return await self._one(connection, webhook)

    async def reset(
        self,
        webhook: UUID,
        *,
        after: str | None = None,
        from_start: bool = False,
        from_end: bool = False,
        at: datetime | None = None,
        reason: str | None = None,
    ) -> None:
        """Go on behind a cursor, from a time, the start or the end; with none of them from where it was.

        A disabled one goes on again, and a failing one is tried at once.

        Raises:
            NotFound: there is no such webhook.
            BadCursor, FeedReset: the cursor is none, or the log does not have what comes after it.
        """
        if from_start and from_end:
            raise InvalidArgument("A webhook goes on from one place.")
        word = "beginning" if from_start else "end" if from_end else None
        async with self._store.connection() as connection:
            to = await self._place(connection, after, at, word)
            await self._act(connection, "reset", webhook, *to, self._actor, reason)

    async def disable(self, webhook: UUID, *, reason: str | None = None) -> bool:
        """Send it nothing until it is reset; false where that was so already. Raises `NotFound`."""
        async with self._store.connection() as connection:
            return bool(await self._act(connection, "disable", webhook, self._actor, reason))

    async def remove(self, webhook: UUID, *, reason: str | None = None) -> None:
        """Remove it and its place in the log. Raises `NotFound`."""
        async with self._store.connection() as connection:
            await self._act(connection, "remove", webhook, self._actor, reason)

    async def rotate(self, webhook: UUID, *, reason: str | None = None) -> str:
        """Give it another secret, and return that; for a day requests are signed with the one before, too.

        Raises:
            NotFound: there is no such webhook.
        """
        async with self._store.connection() as connection:
            generation = int(await self._act(connection, "rotate", webhook, self._actor, reason))
            return signature.secret(await ServiceKey.load(connection), label_of(webhook), generation)

    async def test(self, webhook: UUID, *, timeout_s: float = TIMEOUT_S, sender: Sender | None = None) -> Sent:
        """Send it an event of the type `dev.jobledger.webhook.test`, once and now, also where it is disabled.

        Raises:
            NotFound: there is no such webhook.
        """
        async with self._store.connection() as connection:
            row = await self._row(connection, webhook)
            key = await ServiceKey.load(connection)
        event = new_id()
        body: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"test/{event}",
            "source": f"/jobledger/{self._store.shard}",
            "type": TEST_TYPE,
            "subject": f"webhook/{webhook}",
            "time": datetime.now(UTC).isoformat(),
            "tenant": row["tenant"],
        }
        document = orjson.dumps(body if row["batch"] == 1 else [body])
        headers = signature.sign(signing(key, webhook, row["generation"], row["rotated_at"]), f"test_{event}", document)
        headers["Content-Type"] = EVENT if row["batch"] == 1 else EVENTS
        if sender is not None:
            return await sender.post(row["url"], document, headers, timeout_s=timeout_s)
        async with Sender(private=self._private, connections=1) as own:
            return await own.post(row["url"], document, headers, timeout_s=timeout_s)

    async def _place(
        self, connection: Connection, after: str | None, at: datetime | None, word: str | None
    ) -> tuple[str | None, int | None, int | None, int | None, datetime | None]:
        """Return where to go on, as the functions of the database want it."""
        if at is not None and not (isinstance(at, datetime) and at.tzinfo is not None):
            raise InvalidArgument("at is a time with its zone.")
        if after is not None and at is not None:
            raise InvalidArgument("A webhook goes on from one place.")
        if at is not None:
            return "time", None, None, None, at
        if after is None:
            return word, None, None, None, None
        place: Place = (await cursors_for(connection, self._tenant)).read(after)
        return "cursor", place.epoch, place.block, place.position, None

    async def _one(self, connection: Connection, webhook: UUID) -> WebhookRow:
        found = await self._listed(connection, webhook)
        if not found:
            raise NotFound("There is no such webhook.", hint="Create it, or look at the list.")
        return found[0]

    async def _row(self, connection: Connection, webhook: UUID) -> asyncpg.Record:
        rows = await self._rows(connection, webhook)
        if not rows:
            raise NotFound("There is no such webhook.", hint="Create it, or look at the list.")
        return rows[0]

    async def _listed(self, connection: Connection, webhook: UUID | None) -> list[WebhookRow]:
        whole = self._tenant is None and self._owner is None
        return [_shown(row, whole=whole) for row in await self._rows(connection, webhook)]

    async def _rows(self, connection: Connection, webhook: UUID | None) -> list[asyncpg.Record]:
        if webhook is not None and not isinstance(webhook, UUID):
            raise InvalidArgument("webhook is a webhook's id.")
        with translated():
            return list(
                await connection.fetch(
                    statement("delivery/webhook_list"), self._store.shard, self._tenant, self._owner, webhook
                )
            )

    async def _act(self, connection: Connection, act: str, webhook: UUID, *arguments: object) -> Any:
        if not isinstance(webhook, UUID):
            raise InvalidArgument("webhook is a webhook's id.")
        with translated():
            return await connection.fetchval(
                statement(f"delivery/webhook_{act}"),
                *(self._store.shard, self._tenant, self._owner, webhook, *arguments),
            )


def _is_text(word: object) -> bool:
    """Say whether Postgres could store it as a word."""
    if not isinstance(word, str) or not 0 < len(word) <= 256 or "\0" in word:
        return False
    return not any("\ud800" <= one <= "\udfff" for one in word)


def label_of(webhook: UUID) -> str:
    """Return what a webhook's secrets are derived by."""
    return f"webhook:{webhook}"


def signing(key: ServiceKey, webhook: UUID, generation: int, rotated_at: datetime | None) -> list[str]:
    """Return the secrets with which requests are signed now."""
    recent = rotated_at is not None and datetime.now(UTC) - rotated_at < ROTATION
    return signature.secrets(key, label_of(webhook), generation, kept=1 if recent else 0)


def wanted_by(row: asyncpg.Record) -> tuple[EventFilter, str | None]:
    """Return which events a webhook wants, and of which kind of jobs."""
    kept: dict[str, Any] = orjson.loads(row["filter"])
    tenant = None if row["tenant"] == EVERYBODY else row["tenant"]
    types = tuple(kept["types"]) if "types" in kept else None
    return EventFilter(tenant, types, None, kept.get("queue"), kept.get("owner")), kept.get("kind")


def _shown(row: asyncpg.Record, *, whole: bool) -> WebhookRow:
    wanted, kind = wanted_by(row)
    state = "disabled" if row["disabled"] else "failing" if row["failing_since"] is not None else "active"
    return WebhookRow(
        *(row["id"], wanted.tenant, row["name"], row["url"], state, wanted.types, wanted.queue, kind, wanted.owner),
        *(row["batch"], row["created_at"], row["changed_at"], row["rotated_at"]),
        *(row["attempted_at"], row["succeeded_at"], row["last_status"], row["last_fault"]),
        *(row["failing_since"], row["failures"], row["disabled_reason"] if row["disabled"] else None),
        *(int(row["lag_s"]), row["lag_events"] if whole else None),
    )
