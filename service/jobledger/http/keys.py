"""Keys over HTTP: made, listed and revoked by who has the role admin; tokens for browsers; and who one is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

from pydantic import Field, field_validator

from jobledger.errors import Forbidden, InvalidArgument, InvalidFields, NotFound
from jobledger.http import token
from jobledger.http.route import Document, Routes
from jobledger.http.words import Reason, Why
from jobledger.store import keys
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from jobledger.http.access import Access
    from jobledger.http.route import Call

routes = Routes("Keys")

_TENANTS_MOST: Final = 100
_NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9._:@/-]{0,127}$"
Tenant = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$")]


class NewKey(Document):
    """A key to be made. It may no more than the one that makes it, and counts no longer."""

    name: str = Field(pattern=_NAME, description="What people call it; the log says `key:NAME` of what it does.")
    roles: list[Role] = Field(default_factory=list, description="None: its tenant's public resources only.")
    tenants: list[Tenant] | None = Field(
        None, min_length=1, max_length=_TENANTS_MOST, description="Whose jobs; left out: as the key that makes it."
    )
    every_tenant: bool = Field(False, description="Of every tenant; said, not left out, by a key that is so itself.")
    owner: str | None = Field(None, min_length=1, max_length=256, description="Bound to this person's jobs only.")
    rate: int | None = Field(None, ge=1, le=1_000_000, description="Requests a second; left out: the service's rate.")
    expires_at: datetime | None = Field(None, description="Counts until then; left out: until it is revoked.")
    reason: Reason = None

    @field_validator("expires_at")
    @classmethod
    def _has_zone(cls, at: datetime | None) -> datetime | None:
        if at is not None and at.tzinfo is None:
            raise ValueError("a time with its offset")
        return at


class KeyFacts(Document):
    """A key, without the key itself. `prefix` are its first characters; `last_used` is up to a minute behind."""

    id: UUID
    name: str
    prefix: str
    roles: list[Role]
    tenants: list[str] | None = Field(description="None: of every tenant.")
    owner: str | None
    rate: int | None
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used: datetime | None


class MadeKey(Document):
    """A new key. `key` is shown here and never again."""

    key: str
    id: UUID
    name: str
    prefix: str
    created_at: datetime


class KeyQuery(Document):
    """Which keys are listed."""

    ended: bool = Field(False, description="Also those that were revoked, or are over.")
    limit: int = Field(100, ge=1, le=1000)
    cursor: UUID | None = Field(None, description="`next` of the page before.")


class KeyPage(Document):
    """Keys, oldest first."""

    keys: list[KeyFacts]
    next: UUID | None


class NewToken(Document):
    """A token to be made. It may no more than the key that makes it."""

    tenant: Tenant | None = Field(None, description="Whose jobs; left out: the key's own tenant.")
    every_tenant: bool = Field(False, description="Of every tenant; only with a key that is so itself.")
    owner: str | None = Field(None, min_length=1, max_length=256, description="Bound to this person's jobs only.")
    roles: list[Role] = Field(default_factory=list, description="None: the tenant's public resources only.")
    seconds: int = Field(300, ge=1, le=token.LIFE_MOST_S, description="How long it counts.")


class MadeToken(Document):
    """A token for a browser, sent as a key is, or as `?token=` to what reads."""

    token: str
    expires_at: datetime


class Me(Document):
    """Who asks, and what they may."""

    name: str
    roles: list[Role]
    tenants: list[str] | None = Field(description="None: of every tenant.")
    owner: str | None
    rate: int | None
    expires_at: datetime | None
    key: UUID | None = Field(description="The key, or the one that the token was made with; None with a JWT.")


@routes.post(
    "/v1/keys", needs=(Role.ADMIN,), body=NewKey, answer=MadeKey, status=201, errors=(NotFound, InvalidArgument)
)
async def create_key(call: Call[None, NewKey]) -> MadeKey:
    """Make a key.

    It may no more than the one that makes it: no other tenants, no other owner, no higher rate, no later end. The
    key is in this answer and nowhere else; only its hash is kept.
    """
    access, new = call.access, call.body
    _must_be_no_token(access)
    owner = access.owner_of(new.owner)
    tenants = _tenants(access, new, owner)
    text = keys.new_key(await call.service.book.service_key())
    async with call.service.store.transaction() as connection:
        if access.tenants is not None:
            await keys.must_have_room(connection, call.service.store.shard, tenants or ())
        id_, at = await keys.create_key(
            connection,
            call.service.store.shard,
            text,
            new.name,
            roles=new.roles,
            tenants=tenants,
            owner=owner,
            rate=_rate(access, new.rate, call.service.settings.http_rate),
            expires_at=_end(access, new.expires_at),
            actor=access.name,
            reason=new.reason,
        )
    return MadeKey(key=text, id=id_, name=new.name, prefix=text[: keys.PREFIX], created_at=at)


@routes.get("/v1/keys", needs=(Role.ADMIN,), query=KeyQuery, answer=KeyPage)
async def list_keys(call: Call[KeyQuery, None]) -> KeyPage:
    """List keys, oldest first: those whose tenants, and owner, are all the asking key's own."""
    query = call.query
    async with call.service.store.connection(ours=True) as connection:
        found = await keys.list_keys(
            connection,
            call.service.store.shard,
            tenants=call.access.tenants,
            owner=call.access.owner,
            ended=query.ended,
            after=query.cursor,
            limit=query.limit,
        )
    shown = [KeyFacts.model_validate(key._asdict()) for key in found]
    return KeyPage(keys=shown, next=found[-1].id if len(found) == query.limit else None)


@routes.delete("/v1/keys/{key}", needs=(Role.ADMIN,), body=Why, errors=(NotFound,))
async def revoke_key(call: Call[None, Why]) -> None:
    """Take a key back.

    It opens nothing any more within 2 seconds, in every process of the service, nor do tokens that were made with it;
    streams that are open with them end. Keys that it made stay. One that was taken back before stays so.
    """
    _must_be_no_token(call.access)
    id_ = call.id("key")
    async with call.service.store.transaction() as connection:
        await keys.revoke_key(
            connection,
            call.service.store.shard,
            id_,
            tenants=call.access.tenants,
            owner=call.access.owner,
            actor=call.access.name,
            reason=call.body.reason,
        )
    call.service.book.forget(id_)


@routes.post("/v1/tokens", body=NewToken, answer=MadeToken, status=201, errors=(NotFound, Forbidden))
async def create_token(call: Call[None, NewToken]) -> MadeToken:
    """Make a token for a browser.

    It counts for its seconds, an hour at most, and no longer than the key that makes it; it may be sent as
    `?token=` by an EventSource, which sends no header. A token makes no token.
    """
    access, new = call.access, call.body
    _must_be_no_token(access)
    if not all(access.may(role) for role in new.roles):
        raise Forbidden("A token has no role that its key has not.")
    owner = access.owner_of(new.owner)
    if new.every_tenant:
        access.must_see_all()
        if new.tenant is not None or owner is not None:
            raise _fault("every_tenant", "without a tenant and an owner")
    tenant = None if new.every_tenant else access.tenant(new.tenant)
    if tenant is None and not new.every_tenant:
        raise _fault("tenant", "one tenant; the key is of every one")
    now = await call.service.book.now()
    # Whole seconds, as they stand in it.
    end = (now + timedelta(seconds=new.seconds)).replace(microsecond=0)
    if access.expires_at is not None:
        end = min(end, access.expires_at.replace(microsecond=0))
    claims = token.Claims(
        key=access.key,
        name=access.name.partition(":")[2],
        roles=frozenset(new.roles),
        tenant=tenant,
        owner=owner,
        rate=access.rate,
        expires_at=end,
    )
    return MadeToken(token=token.written(await call.service.book.service_key(), claims), expires_at=end)


@routes.get("/v1/me", answer=Me)
async def show_me(call: Call[Any, Any]) -> Me:
    """Say who asks, and what they may."""
    access = call.access
    return Me(
        name=access.name,
        roles=sorted(access.roles),
        tenants=None if access.tenants is None else sorted(access.tenants),
        owner=access.owner,
        rate=access.rate,
        expires_at=access.expires_at,
        key=access.key,
    )


def _must_be_no_token(access: Access) -> None:
    # It lies in a browser: what it makes would outlive it.
    if access.name.startswith("token:"):
        raise Forbidden("A browser's token makes and revokes nothing.", hint="Ask with the key that it was made with.")


def _tenants(access: Access, new: NewKey, owner: str | None) -> list[str] | None:
    if new.every_tenant:
        access.must_see_all()
        if new.tenants is not None or owner is not None:
            raise _fault("every_tenant", "without tenants and an owner")
        return None
    if new.tenants is None:
        if access.tenants is None:
            raise _fault("tenants", "the tenants that it is of, or every_tenant")
        return sorted(access.tenants)
    return [name for name in new.tenants if access.tenant(name)]


def _rate(access: Access, rate: int | None, default: int) -> int | None:
    # The service's rate bounds a key without one of its own; who is of every tenant may give more than that.
    most = access.rate or (default if access.tenants is not None else 0)
    if rate is not None and most and rate > most:
        raise _fault("rate", "at most that of the key that makes it")
    return rate or access.rate


def _end(access: Access, at: datetime | None) -> datetime | None:
    if access.expires_at is None:
        return at
    if at is not None and at > access.expires_at:
        raise _fault("expires_at", "no later than the end of the key that makes it")
    return at or access.expires_at


def _fault(field: str, rule: str) -> InvalidFields:
    return InvalidFields(detail={"fields": [{"field": field, "rule": rule}]})
