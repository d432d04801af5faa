"""Sending: whatever an endpoint does, the request ends in time, its answer is bounded, and it leads nowhere else."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from tests.delivery.endpoint import endpoint

from jobledger.delivery.address import GateError, GuardedResolver, gate
from jobledger.delivery.sender import Sender, _retry_after_s

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@asynccontextmanager
async def raw(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[tuple[str, list[int]]]:
    """Listen for what is no proper HTTP; give the URL and a list that grows with each connection."""
    connected: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(1)
        try:
            await reader.read(1)
            await answer(writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", connected
    finally:
        server.close()


async def test_a_request_carries_nothing_but_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of the software, no cookies, no proxy; the answer's status and first bytes come back."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9/")
    async with endpoint() as hook, Sender(private=True) as sender:

        async def answer(_: web.Request, __: Any) -> web.StreamResponse:
            return web.Response(text="thanks", headers={"Set-Cookie": "a=b", "Retry-After": "7"})

        hook.answer = answer
        sent = [await sender.post(hook.url, b"{}", {"X-Own": "1"}) for _ in range(2)][1]
        assert (sent.ok, sent.status, sent.fault, sent.body, sent.retry_after_s) == (True, 200, None, b"thanks", 7)
        headers = hook.requests[1][0]
        assert "cookie" not in headers
        assert headers["user-agent"].startswith("jobledger/")
        assert headers["x-own"] == "1"


async def test_a_redirect_is_not_followed() -> None:
    """Neither to a private address nor to another path of the same server; the request has failed."""
    async with endpoint() as inner, endpoint() as hook, Sender(private=True) as sender:
        for status in (301, 302, 303, 307, 308):

            async def answer(_: web.Request, __: Any, status: int = status) -> web.StreamResponse:
                return web.Response(status=status, headers={"Location": inner.url})

            hook.answer = answer
            sent = await sender.post(hook.url, b"{}", {})
            assert (sent.ok, sent.status, sent.fault, sent.told) == (False, status, "redirect", f"status {status}")
        assert inner.requests == []


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def silent(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def bomb(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbomb")
    await writer.drain()


async def many_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 1_000_000 + b"\r\n\r\n")
    await writer.drain()


async def no_http(writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.com ESMTP secret-of-the-network\r\n")
    await writer.drain()


async def no_status(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 007 OK\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def cut(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
    await writer.drain()


async def test_an_answer_is_read_to_a_limit_and_to_the_end_of_its_time() -> None:
    """Endless, dripping, silent, packed, malformed and cut answers: each ends, and tells no more than a word."""

    cases: list[tuple[Any, str | None, int]] = [
        (endless, "answer", 64),
        (dripping, "timeout", 0),
        (silent, "timeout", 0),
        (bomb, None, 4),
        (many_headers, "answer", 0),
        (no_http, "answer", 0),
        (cut, "answer", 0),
        (no_status, "answer", 0),
    ]
    async with Sender(private=True) as sender:

        async def one(how: Any, fault: str | None, size: int) -> None:
            async with raw(how) as (url, _):
                began = time.monotonic()
                timeout_s = 0.3 if fault == "timeout" else 30
                sent = await sender.post(url, b"{}", {}, timeout_s=timeout_s, answer_bytes=64)
                assert (how.__name__, sent.fault, len(sent.body)) == (how.__name__, fault, size)
                assert time.monotonic() - began < 15
                assert "secret" not in repr(sent)

        await asyncio.gather(*(one(*case) for case in cases))


async def test_a_name_is_judged_by_the_address_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of a loopback or of both kinds of addresses gets no connection, nor does one that changes meanwhile."""
    answers: dict[str, list[list[str]]] = {
        "inner.example.com": [["127.0.0.1"]],
        "both.example.com": [["93.184.216.34", "127.0.0.1"]],
        "mapped.example.com": [["::ffff:127.0.0.1"]],
        "metadata.example.com": [["169.254.169.254"]],
        "rebound.example.com": [["93.184.216.34"], ["127.0.0.1"]],
    }
    asked: list[str] = []

    def look(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = answers[host]
        addresses = found.pop(0) if len(found) > 1 else found[0]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port, 0, 0))
            if ":" in one
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    # Whoever looked the name up before the request saw a public address.
    look("rebound.example.com", 443)
    async with endpoint() as hook:
        port = hook.url.split(":")[2].split("/")[0]
        async with Sender() as sender:
            for host in answers:
                sent = await sender.post(f"https://{host}:{port}/", b"{}", {}, timeout_s=30)
                assert (host, sent.status, sent.fault) == (host, None, "address")
        assert asked == ["rebound.example.com", *answers]
        assert hook.requests == []
    for host in answers:
        resolver = GuardedResolver()
        with pytest.raises(GateError):
            await resolver.resolve(host, 443)
        await resolver.close()


async def test_an_odd_way_to_write_an_address_gets_no_connection() -> None:
    """Numbers, other bases, embedded and short forms, straight to the sender."""
    async with raw(_nothing) as (url, connected), Sender() as sender:
        port = url.split(":")[2].strip("/")
        for host in ("127.0.0.1", "0x7f.1", "2130706433", "0177.1", "127.1", "[::1]", "[::ffff:7f00:1]", "localhost"):
            sent = await sender.post(f"https://{host}:{port}/", b"{}", {}, timeout_s=30)
            assert (host, sent.fault) == (host, "address")
            sent = await sender.post(f"http://{host}:{port}/", b"{}", {}, timeout_s=30)
            assert (host, sent.fault) == (host, "address")
        assert connected == []


async def _nothing(_: asyncio.StreamWriter) -> None:
    return


async def test_the_last_gate_stands_where_the_socket_is_made() -> None:
    """Also an address that no resolver of the package gave gets no socket."""

    class Careless(AbstractResolver):
        async def resolve(
            self,
            host: str,
            port: int = 0,
            family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
        ) -> list[ResolveResult]:
            return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

        async def close(self) -> None:
            return

    async with raw(_nothing) as (url, connected):
        connector = aiohttp.TCPConnector(resolver=Careless(), socket_factory=gate())
        async with aiohttp.ClientSession(connector=connector) as session:
            for target in (url, url.replace("127.0.0.1", "a.example.com")):
                with pytest.raises(aiohttp.ClientConnectorError):
                    await session.get(target)
        assert connected == []


async def test_what_cannot_be_reached_is_one_word() -> None:
    """No such name, nobody listening, TLS that is none."""
    async with endpoint() as hook, Sender(private=True) as sender:
        with socket.socket() as bound:  # so that nobody else comes to listen there
            bound.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
            assert (await sender.post(url, b"", {})).fault == "connection"
        assert (await sender.post("http://nothing.invalid/", b"", {}, timeout_s=60)).fault == "name"
        assert (await sender.post(hook.url.replace("http:", "https:"), b"", {})).fault == "tls"


def test_the_time_to_wait_is_read_as_seconds_or_a_date_and_bounded() -> None:
    """`Retry-After` in either form, at most a day; what is neither says nothing."""
    assert _retry_after_s("120") == 120
    assert _retry_after_s("9" * 30) == 86_400
    assert _retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _retry_after_s("Fri, 31 Dec 9999 23:59:59 GMT") == 86_400
    for said in (None, "", "soon", "-5", "1.5", "\u0661", "inf"):
        assert _retry_after_s(said) is None


async def test_no_time_left_is_not_time_without_end() -> None:
    """A request that may last 0 s ends at once; to the client underneath 0 means no limit."""
    async with raw(silent) as (url, _), Sender(private=True) as sender, asyncio.timeout(30):
        assert (await sender.post(url, b"{}", {}, timeout_s=0)).fault == "timeout"
