"""`bench compare`: a drain of ours and a peer's command in turns, each on a fresh database of the same server."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import statistics
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from jobledger.bench.database import bare_database
from jobledger.bench.drain import drain
from jobledger.bench.floor import rows_per_s
from jobledger.bench.meter import COSTS
from jobledger.bench.plot import Bars
from jobledger.bench.quantiles import medians, ratio
from jobledger.errors import InvalidArgument, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.bench.measurement import Bench

FIELDS: Final = ("jobs_per_s", "jobs_per_second", "throughput", "rate")
"""The names under which a peer's line may give its rate, the first that is there."""
_LINES_BYTES: Final = 16 * 1024 * 1024


def words_of(command: str) -> list[str]:
    """Return the words of a peer's command, parted as a shell does; no shell runs it.

    Raises:
        InvalidArgument: it has no `{dsn}`, no program that can be run, or its quotes do not close.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words or "\0" in command or not any("{dsn}" in word for word in words[1:]):
        raise InvalidArgument(
            "The peer's command names a program and, as {dsn}, where its database goes.",
            hint="For example: 'node peer.mjs {dsn} 100000'.",
        )
    if shutil.which(words[0]) is None:
        raise InvalidArgument("The program of the peer's command is not there, or may not be run.")
    return words


async def compare(bench: Bench, *, command: str, turns: int, field: str | None, timeout_s: float) -> None:
    """Run ours and the peer's in turns, so many times each; medians, and the ratio of the two.

    Raises:
        InvalidArgument: the command cannot be run at all.
        Unavailable: it ended with an error, took longer than `timeout_s`, or printed no rate.
    """
    words = words_of(command)
    bench.options |= {"peer": command, "turns": turns}
    ours: list[dict[str, Any]] = []
    peers: list[dict[str, Any]] = []
    for turn in range(turns):
        floor = await rows_per_s(bench.connection)
        async with bench.elsewhere() as own:
            bench.say(f"turn {turn + 1} of {turns}: ours")
            await drain(own)
        rate = own.figures["jobs_per_s"]
        ours.append({**own.figures, "floor_rows_per_s": round(floor), "ratio_to_floor": ratio(rate, floor)})
        async with bare_database(bench.place.server, bench.place.dsn_of, bench.say) as dsn:
            bench.say(f"turn {turn + 1} of {turns}: the peer")
            line = await _told(words, dsn, timeout_s)
        peers.append({"jobs_per_s": _rate(line, field), "line": line})
    _conclude(bench, ours, peers)


def _conclude(bench: Bench, ours: list[dict[str, Any]], peers: list[dict[str, Any]]) -> None:
    ours_median = statistics.median(one["jobs_per_s"] for one in ours)
    peers_median = statistics.median(one["jobs_per_s"] for one in peers)
    floor = statistics.median(one["floor_rows_per_s"] for one in ours)
    bench.figures |= {
        "jobs_per_s": ours_median,
        "peer_jobs_per_s": peers_median,
        "ratio_to_peer": ratio(ours_median, peers_median),
        "ratio_to_floor": ratio(ours_median, floor),
        "peer_ratio_to_floor": ratio(peers_median, floor),
        **medians(ours, COSTS),
        "ours": ours,
        "peers": peers,
    }
    pairs = zip(ours, peers, strict=True)
    turns = {
        f"turn {turn}, {name}": one["jobs_per_s"]
        for turn, pair in enumerate(pairs, 1)
        for name, one in zip(("ours", "peer"), pair, strict=True)
    }
    bench.panels.append(
        Bars("Drain, in turns", "jobs/s", {**turns, "median, ours": ours_median, "median, peer": peers_median})
    )


async def _told(words: list[str], dsn: str, timeout_s: float) -> dict[str, Any]:
    """Run the peer's command and return the last line of its output that is a JSON object."""
    filled = [word.replace("{dsn}", reachable_by_all(dsn)) for word in words]
    async with _running(filled) as process:
        try:
            async with asyncio.timeout(timeout_s):
                assert process.stdout is not None  # noqa: S101 - made with a pipe
                output = await process.stdout.read(_LINES_BYTES)
                while more := await process.stdout.read(_LINES_BYTES):
                    output = (output + more)[-_LINES_BYTES:]
                status = await process.wait()
        except TimeoutError:
            raise Unavailable(f"The peer's command was not done in {timeout_s:g} s, and was ended.") from None
    if status:
        raise Unavailable(f"The peer's command ended with status {status}.", hint="What it said is above.")
    for line in reversed(output.decode("utf-8", "replace").splitlines()):
        with suppress(ValueError):
            if isinstance(found := json.loads(line), dict):
                return found
    raise Unavailable("The peer's command printed no line of JSON.")


@asynccontextmanager
async def _running(words: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise InvalidArgument(f"The peer's command cannot be run: {error.strerror}.") from None
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _rate(line: dict[str, Any], field: str | None) -> float:
    for name in (field,) if field else FIELDS:
        value = line.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return value
    raise Unavailable(
        "The peer's line of JSON holds no rate above 0.",
        hint=f"It is looked for as {', '.join(FIELDS)}; name another by --field.",
    )


def reachable_by_all(dsn: str) -> str:
    """Return a DSN with the socket folder, if any, as an encoded host: drivers that know no `?host=` read that too."""
    parts = urlsplit(dsn)
    given = dict(parse_qsl(parts.query))
    place = given.pop("host", None)
    if place is None or parts.hostname or not place.startswith("/"):
        return dsn
    port = given.pop("port", "5432")
    user = f"{parts.username}@" if parts.username else ""
    rest = "&".join(f"{name}={quote(value)}" for name, value in given.items())
    return f"{parts.scheme}://{user}{quote(place, safe='')}:{port}{parts.path}{'?' + rest if rest else ''}"
