"""Requests that nobody sends who means well, as bytes on a connection, with how the connection is then treated."""

from __future__ import annotations

import gzip
import random
import zlib
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOOD: Final = b"Authorization: Bearer good\r\n"
"""The head of who may do everything: what is refused then, is refused for what it is."""
_JSON: Final = b"Content-Type: application/json\r\n"
_PATHS: Final = (
    b"/v1/jobs",
    b"/v1/jobs/batch",
    b"/v1/jobs/acts",
    b"/v1/workers",
    b"/v1/keys",
    b"/v1/parcels",
    b"/v1/tokens",
)


class Attack(NamedTuple):
    """What is sent; then `read`: an answer is waited for; `half`: with our side closed; `drop`: the line is cut."""

    name: str
    pieces: tuple[bytes, ...]
    then: str = "read"


def request(
    method: bytes, path: bytes, body: bytes = b"", *, head: bytes = GOOD + _JSON, length: bytes | None = None
) -> bytes:
    """Return a request of HTTP/1.1, right but for what is put into it."""
    stated = length if length is not None else b"Content-Length: %d\r\n" % len(body)
    return b"%s %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n%s" % (method, path, head, stated, body)


def _post(dice: random.Random, body: bytes, head: bytes = b"") -> tuple[bytes, ...]:
    return (request(b"POST", dice.choice(_PATHS), body, head=GOOD + _JSON + head),)


def _noise(dice: random.Random, most: int) -> bytes:
    return dice.randbytes(dice.randint(1, most))


def malformed(dice: random.Random) -> Attack:
    """Bodies that are no JSON, not UTF-8, or only nearly JSON."""
    body = dice.choice(
        (
            b"{",
            b"[" * 5,
            b'{"kind": ',
            b"\xff\xfe{}",
            b'{"kind": "\xc3\x28"}',
            b"nul",
            b"{}{}",
            b"'kind'",
            b"\x00",
            b'{"kind": "a",}',
            b'{"kind": "\\ud800"}',
            b'{"kind": NaN}',
            b"\xef\xbb\xbf{}",
            b'{"kind": 1e999999}',
            b'"' + b"\\u0000" * 50 + b'"',
            _noise(dice, 300),
        )
    )
    return Attack("malformed", _post(dice, body))


def misfitting(dice: random.Random) -> Attack:
    """JSON of the wrong types, with unknown fields, numbers and texts that nothing can hold."""
    value = dice.choice(
        (
            b"null",
            b"-1",
            b"1e400",
            b"9" * 400,
            b'"\\u0000"',
            b'"\\ud83d"',
            b"[[[]]]",
            b"true",
            b'"' + b"a" * 5000 + b'"',
            b'{"__proto__": 1}',
            b"[" + b"1," * 2000 + b"1]",
            b'"2026-13-45T99:99:99Z"',
            b"0.1",
        )
    )
    field = dice.choice((b"kind", b"args", b"tenant", b"jobs", b"n", b"priority", b"__class__", b"", b"run_at", b"to"))
    return Attack("misfitting", _post(dice, b'{"%s": %s, "hush": 1}' % (field, value)))


def deep(dice: random.Random) -> Attack:
    """Nesting far deeper than any document has."""
    opened, closed = dice.choice(((b"[", b"]"), (b'{"a":', b"}")))
    depth = dice.choice((200, 5000, 50_000))
    body = opened * depth + b"1" + (closed * depth if dice.random() < 0.5 else b"")
    wrapped = b'{"kind": "parcel", "args": {"to": %s}}' % body if dice.random() < 0.5 else body
    return Attack("deep", _post(dice, wrapped))


def oversized(dice: random.Random) -> Attack:
    """Bodies over the limit, stated or sent."""
    if dice.random() < 0.5:
        length = b"Content-Length: %d\r\n" % dice.choice((2**21, 2**31, 2**62))
        return Attack("oversized", (request(b"POST", dice.choice(_PATHS), b'{"kind"', length=length),), "drop")
    return Attack("oversized", _post(dice, b'{"kind": "' + b"a" * (2**20 + dice.randint(1, 2**16)) + b'"}'))


@cache
def _bombs() -> tuple[tuple[bytes, bytes], ...]:
    """Return bodies with the encodings that they are said to have."""
    found: list[tuple[bytes, bytes]] = []
    for plain in (b"\0" * 4_000_000, b"[" * 4_000_000, b'{"a":' * 10_000):
        packed = gzip.compress(plain, 1)
        found += [
            (packed, b"gzip"),
            (packed[:-9], b"gzip"),
            (gzip.compress(packed, 1), b"gzip, gzip"),
            (packed, b"identity"),
        ]
        found += [(zlib.compress(plain, 1), b"deflate"), (plain[:1000], b"gzip"), (plain[:1000], b"br")]
        found += [(b"\x28\xb5\x2f\xfd" + plain[:1000], b"zstd"), (plain[:99], b"x" * 99)]
    return tuple(found)


def bomb(dice: random.Random) -> Attack:
    """Little that unpacks to much, or that is not packed as it says."""
    packed, name = dice.choice(_bombs())
    return Attack("bomb", _post(dice, packed, b"Content-Encoding: %s\r\n" % name))


def chunked(dice: random.Random) -> Attack:
    """Chunks whose lengths are lies."""
    chunks = dice.choice(
        (
            b"5\r\n{}\r\n0\r\n\r\n",
            b"-1\r\n{}\r\n",
            b"FFFFFFFFFFFFFFFFF\r\n{}",
            b"2\r\n{}",
            b"2;" + b"x" * 20_000 + b"\r\n{}\r\n0\r\n\r\n",
            b"0x2\r\n{}\r\n0\r\n\r\n",
            b"2\n{}\n0\n\n",
            b"\r\n\r\n",
            b"2\r\n{}\r\n0\r\n" + b"T: x\r\n" * 500 + b"\r\n",
            b" 2\r\n{}\r\n0\r\n\r\n",
            b"1\r\n{\r\n" * 500,
            b"zz\r\n",
            b"2_0\r\n{}\r\n0\r\n\r\n",
            _noise(dice, 200),
        )
    )
    sent = request(b"POST", dice.choice(_PATHS), chunks, length=b"Transfer-Encoding: chunked\r\n")
    return Attack("chunked", (sent,), dice.choice(("half", "drop")))


def smuggled(dice: random.Random) -> Attack:
    """Two readings of where a request ends, with another request inside."""
    inner = request(b"POST", b"/v1/jobs", b'{"kind": "parcel", "args": {"to": "ada"}}', head=_JSON)
    lengths = dice.choice(
        (
            b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            b"Content-Length: 4\r\nContent-Length: 0\r\n",
            b"Content-Length: 4, 4\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            b"Transfer-Encoding: xchunked\r\n",
            b"Transfer-Encoding : chunked\r\n",
            b"Transfer-Encoding:\x0bchunked\r\n",
            b"Content-Length: +4\r\n",
            b"Content-Length: -4\r\n",
            b"Content-Length: 4\x00\r\n",
            b"Content-Length:\r\n",
            b"X: y\r\n Transfer-Encoding: chunked\r\n",
            b"X: y\nContent-Length: 0\r\n",
            b"Content-Length: 0x4\r\n",
            b"Transfer-Encoding: chunked, identity\r\n",
        )
    )
    return Attack("smuggled", (request(b"POST", b"/v1/jobs", b"0\r\n\r\n" + inner, length=lengths),), "half")


def headed(dice: random.Random) -> Attack:
    """Heads that are too many, too long, or hold what no head holds."""
    head = dice.choice(
        (
            b"X: y\r\n" * 1000,
            b"X: " + b"y" * 20_000 + b"\r\n",
            b"X" * 20_000 + b": y\r\n",
            b"X: a\x00b\r\n",
            b"X: \xff\xfe\r\n",
            b": y\r\n",
            b"no colon\r\n",
            b"X: y\r\n\x01Z: y\r\n",
            b"Expect: 100-continue\r\n",
            b"Expect: the-unexpected\r\n",
            b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings\r\n",
            b"Host: a\r\nHost: b\r\n",
            b"Cookie: " + b"a=b;" * 1500 + b"\r\n",
            b"Range: bytes=0-,-1,5-2\r\n",
            b"If-None-Match: " + b'"",' * 1500 + b"\r\n",
            b"Accept: " + b"*/*;q=9," * 500 + b"\r\n",
            b"Origin: null\r\n",
            b"Idempotency-Key: " + b"k" * 5000 + b"\r\n",
            b"Idempotency-Key: \xff\r\n",
            b"Last-Event-ID: \xc3\x28\r\n",
            b"X-HTTP-Method-Override: DELETE\r\n",
            b"Content-Type: application/json; charset=utf-16\r\n",
            b"Content-Type: \r\n",
            b"Content-Type: multipart/form-data\r\n",
            b"X-Forwarded-Host: [::1\r\n",
        )
    )
    method, path = dice.choice(((b"GET", b"/v1/jobs"), (b"POST", b"/v1/jobs"), (b"GET", b"/v1/events?live=false")))
    return Attack("headed", (request(method, path, head=GOOD + head),), dice.choice(("read", "half")))


def pathed(dice: random.Random) -> Attack:
    """Paths and queries that try to be others, or to be too much."""
    path = dice.choice(
        (
            b"//v1//jobs",
            b"/v1/../v1/keys",
            b"/%2e%2e/%2e%2e/etc/passwd",
            b"/v1/jobs/%00",
            b"/v1/jobs;x=y",
            b"/v1/jobs/../../keys",
            b"/v1/jobs%2Fbatch",
            b"http://other.example/v1/jobs",
            b"*",
            b"/v1/jobs/" + b"a" * 9000,
            b"/v1/jobs/\xff\xfe",
            b"/v1/jobs?" + b"a=b&" * 1900,
            b"/v1/jobs?" + b"state=x&" * 900,
            b"/v1/jobs?limit=99999999999999999999",
            b"/v1/jobs?cursor=%00",
            b"/v1/jobs?tenant=%ff",
            b"/v1/parcels?tenant=%ff&owner=%ed%a0%80",
            b"/v1/parcels?cursor=%ff%00",
            b"/v1/jobs?tenant='%3B drop",
            b"/v1/jobs?tenant=%27%3Bdrop",
            b"/v1/jobs?as_of=%F0%9F",
            b"/v1/events?after=" + b"A" * 4000,
            b"/v1/events?after=%00&live=false",
            b"/v1/jobs?token=..%2f",
            b"/v1/jobs/00000000-0000-0000-0000-000000000000/result?wait_s=1e9",
            b"/v1/jobs/{job}",
            b"/v1/jobs\\..\\keys",
            b"/v1/./jobs/.",
            b"/V1/JOBS",
            b"/v1/jobs/" + b"%41" * 2000,
            b"/v1/parcels/events?after=x&live=false",
            b"",
            b"/v1/jobs#x",
            b"?",
        )
    )
    method = dice.choice(
        (
            b"GET",
            b"GET",
            b"DELETE",
            b"PUT",
            b"TRACE",
            b"get",
            b"GE T",
            b"CONNECT",
            b"OPTIONS",
            b"HEAD",
            b"BREW",
            b"X" * 3000,
        )
    )
    return Attack("pathed", (request(method, path),), dice.choice(("read", "half")))


def keyless(dice: random.Random) -> Attack:
    """Keys that are none."""
    key = dice.choice(
        (
            b"",
            b"Authorization: Bearer\r\n",
            b"Authorization: Bearer jl_" + b"A" * 43 + b"\r\n",
            b"Authorization: Basic YTpi\r\n",
            b"Authorization: Bearer " + b"a" * 7000 + b"\r\n",
            b"Authorization: bearer jl_'; drop\r\n",
            b"Authorization: Bearer \xff\xff\r\n",
            b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
            b"Authorization: good\r\n",
            b"Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.\r\n",
            b"Authorization: Bearer eyJ.eyJ.\r\n",
            b"Authorization: " + _noise(dice, 40).hex().encode() + b"\r\n",
        )
    )
    body = b'{"kind": "parcel", "args": {"to": "ada"}}'
    return Attack(
        "keyless",
        (request(b"POST", dice.choice((b"/v1/jobs", b"/v1/parcels", b"/v1/jobs?token=x.y")), body, head=key + _JSON),),
    )


def slow(dice: random.Random) -> Attack:
    """A request in crumbs, left unfinished."""
    whole = request(b"POST", b"/v1/jobs", b'{"kind": "parcel", "args": {"to": "ada"}}')
    kept = whole[: dice.randint(1, len(whole) - 1)]
    cuts = sorted(dice.randint(0, len(kept)) for _ in range(4))
    pieces = tuple(kept[a:b] for a, b in zip([0, *cuts], [*cuts, len(kept)], strict=True))
    return Attack("slow", pieces, dice.choice(("half", "drop")))


def alien(dice: random.Random) -> Attack:
    """Other protocols, and none."""
    data = dice.choice(
        (
            b"",
            b"\r\n" * 500,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(200),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"SSH-2.0-x\r\n",
            b"\x00" * 3000,
            b"GET / HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            _noise(dice, 5000),
            b"\xff" * 70_000,
            b"GET " + b"/" * 100_000,
        )
    )
    return Attack("alien", (data,), dice.choice(("half", "drop")))


def piled(dice: random.Random) -> Attack:
    """Many requests at once, whose answers nobody waits for."""
    one = dice.choice(
        (request(b"GET", b"/v1/jobs?limit=x"), request(b"POST", b"/v1/jobs", b"{"), request(b"GET", b"/nowhere"))
    )
    return Attack("piled", (one * dice.choice((2, 40)),), dice.choice(("read", "drop")))


KINDS: Final[tuple[Callable[[random.Random], Attack], ...]] = (
    *(malformed, misfitting, deep, oversized, bomb, chunked, smuggled, headed, pathed, keyless, slow, alien, piled),
)


def attacks(count: int, seed: int) -> Iterator[Attack]:
    """Give so many of every kind in turn, the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    for place in range(count):
        yield KINDS[place % len(KINDS)](dice)
