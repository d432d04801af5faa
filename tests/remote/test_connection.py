"""The connection to a service: its problems as errors, what is sent again, and what is never done."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from jobledger import errors
from jobledger.errors import BY_CODE, InvalidArgument, JobledgerError, Unavailable, Unreachable
from jobledger.http.problem import problem
from jobledger.remote import connection
from jobledger.remote.connection import ServiceConnection, path_of
from jobledger.remote.problem import error_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(
    handler: Handler, socket: Path | None = None, secure: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve every path by `handler`; give the address."""
    application = web.Application(client_max_size=8 * 1024 * 1024)
    application.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site: web.BaseSite
    site = web.UnixSite(runner, str(socket)) if socket else web.TCPSite(runner, "127.0.0.1", 0, ssl_context=secure)
    await site.start()
    try:
        yield f"unix:{socket}" if socket else f"http{'s' * bool(secure)}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_error_comes_back_as_itself(code: str) -> None:
    """Class, sentence, way out and facts survive the way over HTTP."""
    sent = BY_CODE[code]("A sentence.", hint="A way out.", detail={"items": [1, 2]})
    answer = problem(sent)
    assert isinstance(answer.body, bytes)
    found = error_of(answer.status, answer.body)
    assert type(found) is type(sent)
    assert (found.message, found.hint, found.detail) == (sent.message, sent.hint, sent.detail)


def test_an_answer_without_a_known_code_is_told_by_its_status() -> None:
    """What a proxy or a newer service answers is still an error of this package."""
    found = [type(error_of(status, b"<html>")) for status in (400, 401, 403, 404, 409, 418, 429, 500, 502, 503)]
    assert found == [
        *(errors.BadInput, errors.Unauthenticated, errors.Forbidden, errors.NotFound, errors.Conflict),
        *(errors.BadInput, errors.RateLimited, JobledgerError, Unavailable, Unavailable),
    ]
    assert type(error_of(409, b'{"code": "of_tomorrow", "detail": "Said."}')) is errors.Conflict


@pytest.mark.parametrize(
    ("fault", "method", "again", "tries"),
    [
        ("busy", "POST", False, 3),
        ("rate_limited", "POST", False, 3),
        ("unavailable", "GET", False, 3),
        ("unavailable", "POST", True, 3),
        ("unavailable", "POST", False, 1),
        ("not_open", "GET", False, 1),
        ("lease_over", "POST", True, 1),
        ("cut", "GET", False, 3),
        ("cut", "POST", True, 3),
        ("cut", "POST", False, 1),
    ],
)
async def test_only_what_does_nothing_twice_is_sent_again(
    fault: str, method: str, again: bool, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request is repeated where it was turned away at the door, or is safe, or carries a key; never otherwise."""
    monkeypatch.setattr(connection, "_FIRST_WAIT_S", 0.005)
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.method)
        if len(seen) > 2:
            return web.json_response({"done": True})
        if fault == "cut":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return problem(BY_CODE[fault](), {"Retry-After": "0"})

    async with answering(handler) as url, ServiceConnection(url, "jl_key") as service:
        if tries == 3:
            assert (await service.ask(method, path_of("jobs"), again=again)).json() == {"done": True}
        else:
            with pytest.raises(Unavailable):
                await service.ask(method, path_of("jobs"), again=again)
    assert seen == [method] * tries


async def test_a_request_waits_as_long_as_the_service_says_and_no_longer_than_it_has_patience() -> None:
    """Retry-After is honoured; where that is longer than the patience, the error comes at once and says when."""
    seen: list[float] = []

    async def handler(_: web.Request) -> web.StreamResponse:
        seen.append(asyncio.get_running_loop().time())
        return problem(errors.Busy(), {"Retry-After": "0.3" if len(seen) == 1 else "60"})

    async with answering(handler) as url, ServiceConnection(url, "jl_key") as service:
        with pytest.raises(errors.Busy) as raised:
            await service.ask("GET", path_of("jobs"))
    assert len(seen) == 2
    assert seen[1] - seen[0] >= 0.3
    assert raised.value.detail["retry_after_s"] == 60


async def test_the_key_goes_nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A redirect is refused, a proxy of the environment not used, a cookie not sent back; a unix socket works."""
    seen: list[dict[str, Any]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append({"path": request.raw_path, **request.headers})
        if "redirect" in request.path:
            raise web.HTTPTemporaryRedirect("/v1/elsewhere")
        return web.json_response({}, headers={"Set-Cookie": "a=b"})

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with answering(handler) as url, ServiceConnection(url, "jl_key") as service:
        with pytest.raises(Unreachable, match="redirect"):
            await service.ask("GET", path_of("redirect"))
        await service.ask("GET", path_of("tenants", "a/b ü", "x"), query={"n": 1, "none": None, "of": ["a", "b"]})
    async with answering(handler, tmp_path / "s") as url, ServiceConnection(url) as service:
        await service.ask("GET", path_of("tenants"), query={"token": True})
    assert [one["path"] for one in seen] == [
        "/v1/redirect",
        "/v1/tenants/a%2Fb%20%C3%BC/x?n=1&of=a&of=b",
        "/v1/tenants?token=true",
    ]
    assert seen[1]["Authorization"] == "Bearer jl_key"
    assert not [one for one in seen if "Cookie" in one]
    assert "Authorization" not in seen[2]


async def test_a_large_body_arrives_whole_each_time_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three mebibytes, twice: what is sent again is the same from its beginning."""
    monkeypatch.setattr(connection, "_FIRST_WAIT_S", 0.005)
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((await request.json())["text"])
        return web.json_response({}) if len(seen) > 1 else problem(errors.Busy(), {"Retry-After": "0"})

    text = "ü" * (3 * 1024 * 1024 // 2)
    async with answering(handler) as url, ServiceConnection(url) as service:
        await service.ask("POST", path_of("jobs"), body={"text": text})
    assert seen == [text, text]


async def test_many_requests_take_turns() -> None:
    """No more are under way than there are places; who waits for one is not out of time, nor behind who waits long."""
    under_way, most, met, over = 0, 0, asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        if "result" in request.path:
            await over.wait()
            return web.json_response({})
        under_way += 1
        most = max(most, under_way)
        if most == 2:
            met.set()
        await met.wait()
        await asyncio.sleep(0.01)
        under_way -= 1
        return web.json_response({})

    async with answering(handler) as url, ServiceConnection(url, timeout_s=5, connections=2) as service:
        results = [asyncio.create_task(service.ask("GET", path_of("result"), wait_s=20)) for _ in range(5)]
        await asyncio.gather(*(service.ask("GET", path_of("jobs")) for _ in range(10)))
        over.set()
        await asyncio.gather(*results)
    assert most == 2


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """The key is not sent to who cannot show that it is the service; and that is not tried again."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    (tmp_path / "both.pem").write_bytes(made + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.load_cert_chain(tmp_path / "both.pem")

    async def handler(_: web.Request) -> web.StreamResponse:
        raise AssertionError

    async with answering(handler, secure=secure) as url, ServiceConnection(url, "jl_key") as service:
        with pytest.raises(Unreachable, match="certificate"):
            await service.ask("GET", path_of("jobs"))


async def test_nobody_there_is_unreachable_and_was_not_sent() -> None:
    """Where no connection comes about, the error says so, and that the request did not arrive."""
    async with ServiceConnection("http://127.0.0.1:1", "jl_key", patience_s=0) as service:
        with pytest.raises(Unreachable) as raised:
            await service.ask("POST", path_of("jobs"), body={})
    assert raised.value.detail == {"sent": False}
    with pytest.raises(Unreachable):
        await service.ask("GET", path_of("jobs"))


async def test_a_service_that_is_silent_is_given_up() -> None:
    """A request has an end, whatever the service does; a stream that says nothing, too."""
    over = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if "stream" in request.path:
            await response.prepare(request)
            await response.write(b"one\ntwo\r\nthr")
        await over.wait()
        return response

    async with answering(handler) as url, ServiceConnection(url, timeout_s=0.1, patience_s=0) as service:
        with pytest.raises(Unreachable, match="in time"):
            await service.ask("POST", path_of("jobs"))
        async with service.stream(path_of("stream"), silence_s=0.5) as lines:
            assert [await anext(lines), await anext(lines)] == [b"one", b"two"]
            with pytest.raises(Unreachable):
                await anext(lines)
        over.set()


@pytest.mark.parametrize(
    "url",
    ["", "host:80", "ftp://host", "http://", "http://u:p@host", "http://host/?q=1", "unix:s", "http://h:0", None, 3],
)
def test_what_is_no_address_is_refused(url: Any) -> None:
    """An address is checked before anything is sent, and is not repeated in the error."""
    with pytest.raises(InvalidArgument) as raised:
        ServiceConnection(url)
    assert "p@host" not in str(raised.value)


@pytest.mark.parametrize("key", ["a b", "a\nb", "", "ü", 3])
def test_what_is_no_key_is_refused(key: Any) -> None:
    """A key with a line end would be a header of the caller's choice."""
    with pytest.raises(InvalidArgument):
        ServiceConnection("http://host", key)
