"""JWTs of somebody else's: taken by the key set that was named, and by nothing that a forger could bring along."""

from __future__ import annotations

import base64
import hmac
import json
import time
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from jobledger.errors import InvalidArgument
from jobledger.http import jwt as reader
from jobledger.http.service import Service
from jobledger.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

    from jobledger.store.pool import Store

ISSUER, AUDIENCE = "https://id.example", "jobledger"
RSA = RSAKey.generate_key(2048, {"kid": "r"}, private=True)
EC = ECKey.generate_key("P-256", {"kid": "e"}, private=True)
ED = OKPKey.generate_key("Ed25519", {"kid": "d"}, private=True)
OTHER = ECKey.generate_key("P-256", {"kid": "e"}, private=True)
SIGNERS: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED, "Ed25519": ED}


def key_set(*keys: Any) -> bytes:
    """Return the public key set."""
    return orjson.dumps({"keys": [key.as_dict(private=False) for key in keys]})


def signed(claims: dict[str, Any] | None = None, algorithm: str = "ES256", key: Any = None, **header: Any) -> str:
    """Return a JWT of ada of acme, changed as said; a claim of None is left out."""
    signer = key or SIGNERS[algorithm]
    whole = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "tenant": "acme",
        "roles": ["read", "poet"],
        "exp": int(time.time()) + 300,
        **(claims or {}),
    }
    named = {"alg": algorithm, "kid": signer.kid, **header}
    told = {name: value for name, value in named.items() if value is not None}
    said = {name: value for name, value in whole.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.encode(told, said, signer, algorithms=[algorithm])


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """Return a JWT that nobody signed."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def shared(claims: dict[str, Any], secret: bytes) -> str:
    """Return a JWT that is signed with a public key as if it were a shared secret."""
    text = unsigned({"alg": "HS256", "kid": "r"}, claims).rstrip(".")
    mac = hmac.digest(secret, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


async def me(session: aiohttp.ClientSession, text: str) -> tuple[int, dict[str, Any]]:
    """Ask who one is."""
    async with session.get("/v1/me", headers={"Authorization": f"Bearer {text}"}) as answer:
        return answer.status, await answer.json(content_type=None)


@asynccontextmanager
async def issuing(keys: list[bytes]) -> AsyncIterator[tuple[str, list[int]]]:
    """Serve the key set of the moment (empty: fail), and count how often it is asked for."""
    asked = [0]

    async def answer(_: web.Request) -> web.Response:
        asked[0] += 1
        return web.Response(body=keys[0], status=200 if keys[0] else 500)

    application = web.Application()
    application.router.add_get("/keys", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/keys", asked
    finally:
        await runner.cleanup()


async def test_a_jwt_is_an_owner_with_tenants_and_roles_or_nothing(store: Store, serving: Any, tmp_path: Path) -> None:
    """Of each algorithm that is taken; and whatever is forged, over, or meant for others, is one refusal."""
    path = tmp_path / "keys.json"
    with pytest.warns(SecurityWarning):
        short_key = RSAKey.generate_key(1024, {"kid": "short"}, private=True)
    listed = orjson.loads(key_set(RSA, EC, ED, short_key))["keys"]
    secret = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")
    spoilt = [
        {"kty": "oct", "kid": "o", "k": secret},
        {"kty": "RSA", "kid": "x"},
        {"kty": "EC", "crv": "P-256"},
        {"kty": []},
        5,
    ]
    path.write_bytes(orjson.dumps({"keys": [*listed, *spoilt]}))
    named = {"jwt_keys": str(path), "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    async with serving(store, None, **named) as (session, _):
        for algorithm in SIGNERS:
            status, said = await me(session, signed(algorithm=algorithm))
            assert status == 200, algorithm
            assert (said["name"], said["owner"], said["tenants"], said["roles"]) == (
                "jwt:ada",
                "ada",
                ["acme"],
                ["read"],
            )
        for claims, tenants in (
            ({"tenant": None, "tenants": ["b", "a"]}, ["a", "b"]),
            ({"tenants": ["a"]}, ["a", "acme"]),
            ({"aud": ["other", AUDIENCE]}, ["acme"]),
            ({"roles": None}, ["acme"]),
            ({"roles": "read enqueue"}, ["acme"]),
            ({"nbf": time.time() + 5, "iat": time.time() + 5}, ["acme"]),
            ({"exp": 1e300}, ["acme"]),
        ):
            status, said = await me(session, signed(claims))
            assert (status, said.get("tenants")) == (200, tenants), claims
        # Without an id there must be one key only that fits.
        assert (await me(session, signed(kid=None)))[0] == 200
        now = time.time()
        whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "eve", "tenant": "acme", "exp": now + 300, "roles": ["admin"]}
        good = signed()
        head, body, mac = good.split(".")
        wrongs: list[dict[str, Any]] = [
            {"exp": now - 1}, {"exp": None}, {"exp": "2999"}, {"exp": True}, {"exp": float("nan")}, {"exp": -1},
            {"exp": float("inf")}, {"nbf": now + 60}, {"iat": now + 60}, {"nbf": "soon"}, {"iss": None},
            {"iss": "x"}, {"aud": None}, {"aud": "x"}, {"aud": ["x"]}, {"aud": {AUDIENCE: 1}}, {"sub": None},
            {"sub": ""}, {"sub": 5}, {"sub": "a\nb"}, {"sub": "x" * 251}, {"tenant": None}, {"tenant": ""},
            {"tenant": ["acme"]},
            {"tenant": "_global"}, {"tenant": "a b"}, {"tenant": None, "tenants": []}, {"tenants": "acme"},
            {"tenants": ["a", 5]}, {"tenants": [f"t{n}" for n in range(101)]}, {"roles": {"admin": True}},
        ]  # fmt: skip
        refused = [
            *map(signed, wrongs),
            signed(key=OTHER),
            signed(kid="nobody's"),
            unsigned({"alg": "ES256", "kid": ["e"]}, whole, b"\0" * 64),
            signed(algorithm="RS256", kid="e"),
            signed(kid="r"),
            signed(algorithm="RS256", key=short_key),
            jwt.encode({"alg": "HS256", "kid": "o"}, whole, OctKey.import_key(bytes(32)), algorithms=["HS256"]),
            unsigned({"alg": "ES256", "kid": "e", "crit": ["b64"], "b64": False}, whole, b"\0" * 64),
            signed(algorithm="ES256", jwk=OTHER.as_dict(private=False), key=OTHER),
            shared(whole, RSA.as_pem(private=False)),
            unsigned({"alg": "none"}, whole),
            unsigned({"alg": "None", "kid": "e"}, whole),
            unsigned({"alg": "ES256", "kid": "e"}, whole),
            unsigned({"alg": "ES256", "kid": "e"}, whole, b"\0" * 64),
            unsigned({"alg": ["ES256"], "kid": "e"}, whole, b"\0" * 64),
            unsigned({"kid": "e"}, whole, b"\0" * 64),
            f"{head}.{body}.{mac[:-4]}",
            f"{head}.{body}.",
            f"{head}.{unsigned({}, whole).split('.')[1]}.{mac}",
            f"{head}..{mac}",
            f".{body}.{mac}",
            "..",
            f"{base64.urlsafe_b64encode(b'[1]').decode()}.{body}.{mac}",
            good + "A",
            good + "x" * 7700,
        ]  # fmt: skip
        told = set()
        for text in refused:
            status, said = await me(session, text)
            assert status == 401, text
            told.add(said.get("detail"))
        assert told <= {"The JWT is not taken here, or is over.", "The key is none, or counts no more."}
        assert (await me(session, good))[0] == 200
        # In an address it is not taken: addresses are written down everywhere.
        async with session.get("/v1/me", params={"token": good}) as answer:
            assert answer.status == 401
        # Its token lives no longer than it does, and it makes no key that does.
        short = signed({"exp": int(now) + 60, "roles": ["admin"]})
        headers = {"Authorization": f"Bearer {short}"}
        async with session.post("/v1/tokens", json={"seconds": 3600}, headers=headers) as answer:
            made = await answer.json()
        status, said = await me(session, made["token"])
        assert (status, said["owner"], said["name"], said["key"]) == (200, "ada", "token:ada", None)
        assert said["expires_at"] == (await me(session, short))[1]["expires_at"]
        async with session.post("/v1/keys", json={"name": "k"}, headers=headers) as answer:
            key = (await answer.json())["key"]
        status, said = await me(session, key)
        assert (said["owner"], said["tenants"], said["expires_at"] is not None) == ("ada", ["acme"], True)


async def test_keys_are_rotated_and_an_issuer_is_not_asked_for_each_guess(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is not known makes it look again, at times; one that is gone counts no more; an outage is none."""
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    keys = [b""]
    async with issuing(keys) as (url, asked):
        named = {"jwt_keys": url, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
        async with serving(store, None, **named) as (session, _):
            assert (await me(session, signed()))[0] == 503
            assert asked == [1]
            keys[0] = key_set(EC)
            assert (await me(session, signed()))[0] == 503
            clock[0] += reader.FIRST_S
            assert (await me(session, signed()))[0] == 200
            assert asked == [2]
            for n in range(20):
                assert (await me(session, signed(kid=f"guess{n}")))[0] == 401
            assert asked == [2]
            clock[0] += reader.AGAIN_S
            keys[0] = key_set(EC, RSA)
            assert (await me(session, signed(algorithm="RS256")))[0] == 200
            assert (await me(session, signed(kid="guess")))[0] == 401
            assert asked == [3]
            clock[0] += reader.KEYS_S + 1
            keys[0] = key_set(RSA)
            assert (await me(session, signed()))[0] == 401
            assert (await me(session, signed(algorithm="RS256")))[0] == 200
            assert asked == [4]
            keys[0] = b""
            clock[0] += reader.KEYS_S + 1
            assert (await me(session, signed(algorithm="RS256")))[0] == 200
            keys[0] = b"[" * 100_000
            clock[0] += reader.AGAIN_S
            assert (await me(session, signed(algorithm="RS256")))[0] == 200
            assert asked == [6]
            clock[0] += reader.STALE_S
            assert (await me(session, signed(algorithm="RS256")))[0] == 503


def test_where_keys_come_from_is_checked_at_the_start(store: Store) -> None:
    """A plain address that anybody could answer for is refused; so is a key set without issuer and audience."""
    with pytest.raises(InvalidArgument, match="https"):
        Service(store, settings=Settings(jwt_keys="http://id.example/keys", jwt_issuer="i", jwt_audience="a"))
    with pytest.raises(InvalidArgument):
        Settings(jwt_keys="https://id.example/keys")
