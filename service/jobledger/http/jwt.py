"""JSON Web Tokens of somebody else's: checked by the key set that the settings name (extra `jwt`).

Taken are RS256, ES256 and EdDSA, never `none` and no shared secret. `iss`, `aud` and `exp` must be there and fit, `nbf`
where it is there; `sub` is the owner, `tenant` or `tenants` whose jobs, `roles` what of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import re
import time
import warnings
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson

from jobledger.errors import InvalidArgument, Unauthenticated, Unavailable
from jobledger.http.access import Access
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joserfc.jwk import Key

    from jobledger.settings import Settings

_log = logging.getLogger("jobledger.http")

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA", "Ed25519")
"""The algorithms that are taken; the last two are two names of one."""
KEYS_S: Final = 300.0
"""Seconds for which a key set is used before it is fetched again."""
AGAIN_S: Final = 30.0
"""Least seconds between two fetches of it, whoever asks with whatever key id."""
FIRST_S: Final = 2.0
"""The same while there is no key set yet."""
STALE_S: Final = 86_400.0
"""Seconds for which a key set counts that cannot be fetched anew."""
LEEWAY_S: Final = 30
"""Seconds by which a clock may differ for `nbf` and `iat`."""
SET_BYTES: Final = 1024 * 1024
JWT_CHARS: Final = 8000
SUBJECT_CHARS: Final = 250
TENANTS_MOST: Final = 100
_FETCH_S: Final = 5.0
_CHECKED_S: Final = 10.0
_CHECKED_MOST: Final = 10_000
_LATEST: Final = 64_060_588_800.0  # the year 4000
_MODULUS_CHARS: Final = 342  # of 2048 bits
_ALGORITHM_OF: Final[dict[tuple[object, object], str]] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
_NAMES: Final = {"Ed25519": "EdDSA"}
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of the set: its id, the one algorithm that it is used with, and the public part of it."""

    id: str | None
    algorithm: str
    key: Key = field(compare=False)
    public: str


class JwtReader:
    """Checks JWTs by a key set, and keeps that set: fetched when it is old, or does not know a key."""

    def __init__(self, settings: Settings) -> None:
        """Keep where the keys are. Raises `InvalidArgument` where they cannot be read so, or the extra is missing."""
        source = settings.jwt_keys
        if source is None:
            raise InvalidArgument("No key set is named.", hint="Set JOBLEDGER_JWT_KEYS.")
        try:
            import joserfc  # noqa: F401, PLC0415 - an extra, needed only here
        except ImportError:
            raise InvalidArgument("JWTs need the extra `jwt`.", hint="pip install 'jobledger[jwt]'") from None
        parts = urlsplit(source)
        self._url = source if parts.scheme in ("http", "https") else None
        if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise InvalidArgument("JOBLEDGER_JWT_KEYS is an https address, or a file.", hint="Who could change it?")
        self._source = source
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._keys: tuple[_Key, ...] = ()
        self._fetched = self._tried = -math.inf
        self._fetching: asyncio.Task[None] | None = None
        self._checked: OrderedDict[bytes, tuple[float, Access]] = OrderedDict()

    async def read(self, text: str, now: datetime) -> Access:
        """Return what the bearer of a JWT may.

        Raises:
            Unauthenticated: it is none that is taken here, or it is over, or not begun.
            Unavailable: there is no key set yet, and it cannot be fetched.
        """
        if len(text) > JWT_CHARS:
            raise _refused()
        digest = hashlib.sha256(text.encode()).digest()
        known = self._checked.get(digest)
        if known is None or time.monotonic() - known[0] > _CHECKED_S:
            access = self._access(await self._claims(text), now)
            self._checked[digest] = known = (time.monotonic(), access)
            self._checked.move_to_end(digest)
            if len(self._checked) > _CHECKED_MOST:
                self._checked.popitem(last=False)
        access = known[1]
        if access.expires_at is None or access.expires_at <= now:
            raise _refused()
        return access

    async def _claims(self, text: str) -> Mapping[str, Any]:
        from joserfc import jwt, util  # noqa: PLC0415 - an extra, needed only here
        from joserfc.errors import JoseError, SecurityWarning  # noqa: PLC0415

        try:
            header = orjson.loads(util.urlsafe_b64decode(text.partition(".")[0].encode()))
            algorithm, key_id = header["alg"], header.get("kid")
            if algorithm not in ALGORITHMS or "crit" in header or not (key_id is None or isinstance(key_id, str)):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _refused() from None
        key = await self._key_for(algorithm, key_id)
        if key is None:
            raise _refused()
        try:
            with warnings.catch_warnings():
                # The older name of Ed25519 is still the one that issuers write.
                warnings.simplefilter("ignore", SecurityWarning)
                return jwt.decode(text, key, algorithms=[algorithm]).claims
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            raise _refused() from None

    def _access(self, claims: Mapping[str, Any], now: datetime) -> Access:
        at = now.timestamp()
        audience, subject = claims.get("aud"), claims.get("sub")
        meant = audience if isinstance(audience, list) else [audience]
        end, begins = _moment(claims.get("exp")), [_moment(claims[name]) for name in ("nbf", "iat") if name in claims]
        if (
            claims.get("iss") != self._issuer
            or self._audience not in meant
            or end is None
            or not all(one is not None and one <= at + LEEWAY_S for one in begins)
            or not (isinstance(subject, str) and 1 <= len(subject) <= SUBJECT_CHARS and subject.isprintable())
        ):
            raise _refused()
        return Access(
            name=f"jwt:{subject}",
            roles=_roles(claims.get("roles")),
            tenants=_tenants(claims),
            owner=subject,
            expires_at=datetime.fromtimestamp(min(end, _LATEST), UTC),
        )

    async def _key_for(self, algorithm: str, key_id: str | None) -> Key | None:
        age = time.monotonic() - self._fetched
        if age > KEYS_S:
            await self._fetch()
            age = time.monotonic() - self._fetched
        if age > STALE_S:
            raise Unavailable("The keys for JWTs cannot be had now.", hint="Try again.")
        key = self._chosen(algorithm, key_id)
        if key is None and key_id is not None:
            await self._fetch()
            key = self._chosen(algorithm, key_id)
        return key

    def _chosen(self, algorithm: str, key_id: str | None) -> Key | None:
        named = _NAMES.get(algorithm, algorithm)
        fit = [one for one in self._keys if one.algorithm == named and key_id in (None, one.id)]
        # Without an id there must be no choice: a set is not tried through.
        return fit[0].key if len(fit) == 1 else None

    async def _fetch(self) -> None:
        """Fetch the key set, unless that was tried a moment ago. Requests of the same moment share one attempt."""
        if self._fetching is None:
            if time.monotonic() - self._tried < (AGAIN_S if self._keys else FIRST_S):
                return
            self._tried = time.monotonic()
            self._fetching = asyncio.create_task(self._fetched_anew())
            self._fetching.add_done_callback(self._ended)
        await asyncio.shield(self._fetching)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetched_anew(self) -> None:
        try:
            raw = await asyncio.to_thread(_file, self._source) if self._url is None else await _get(self._url)
            keys = _usable(raw)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # The old set goes on counting for a while: an outage of who issues tokens is not one of this service.
            _log.warning("the key set for JWTs cannot be read: %s", type(error).__name__)
            return
        if keys != self._keys:
            self._checked.clear()
        self._keys, self._fetched = keys, time.monotonic()


async def _get(url: str) -> bytes:
    limit = aiohttp.ClientTimeout(total=_FETCH_S)
    async with (
        aiohttp.ClientSession(timeout=limit, trust_env=True) as session,
        session.get(url, allow_redirects=False) as answer,
    ):
        raw = await answer.content.read(SET_BYTES + 1)
        while len(raw) <= SET_BYTES and (more := await answer.content.read(SET_BYTES)):
            raw += more
        if answer.status != 200 or len(raw) > SET_BYTES:
            raise ValueError
        return raw


def _file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        raw = file.read(SET_BYTES + 1)
    if len(raw) > SET_BYTES:
        raise ValueError
    return raw


def _usable(raw: bytes) -> tuple[_Key, ...]:
    """Return those keys of a set by which something here can be checked; the others are passed over."""
    from joserfc import jwk  # noqa: PLC0415 - an extra, needed only here
    from joserfc.errors import JoseError  # noqa: PLC0415

    document = orjson.loads(raw)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError
    found = []
    for one in listed:
        form = (one.get("kty"), one.get("crv")) if isinstance(one, dict) else (None, None)
        algorithm = _ALGORITHM_OF.get(form) if all(isinstance(part, str | None) for part in form) else None
        stated = one.get("alg", algorithm) if algorithm is not None else None
        if algorithm is None or one.get("use", "sig") != "sig" or algorithm not in (stated, _NAMES.get(str(stated))):
            continue
        try:
            public = {name: one[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in one}
            if algorithm == "RS256" and len(one["n"]) < _MODULUS_CHARS:
                continue
            key = jwk.import_key(public)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        found.append(_Key(one.get("kid"), algorithm, key, str(sorted(public.items()))))
    return tuple(found)


def _roles(said: object) -> frozenset[Role]:
    names = said.split() if isinstance(said, str) else said
    if names is None:
        return frozenset()
    if not isinstance(names, list):
        raise _refused()
    # Other applications of the same issuer have other roles; they mean nothing here.
    return frozenset(Role(name) for name in names if isinstance(name, str) and name in set(Role))


def _tenants(claims: Mapping[str, Any]) -> frozenset[str]:
    named = claims.get("tenants", [])
    if not isinstance(named, list):
        raise _refused()
    names = [claims["tenant"], *named] if "tenant" in claims else named
    sound = all(isinstance(name, str) and _TENANT.fullmatch(name) for name in names)
    if not sound or not 1 <= len(set(names)) <= TENANTS_MOST:
        raise _refused()
    return frozenset(names)


def _moment(value: object) -> float | None:
    # A number that is none compares with nothing: such an end would never come.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def _refused() -> Unauthenticated:
    # One sentence for whatever is wrong: who tries things out learns nothing from it.
    return Unauthenticated("The JWT is not taken here, or is over.", hint="Ask its issuer for a new one.")
