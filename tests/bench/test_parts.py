"""The parts of measurements: pictures, quantiles, thirds, addresses for other drivers, rows made in bulk."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

import pytest

from jobledger.bench.compare import reachable_by_all, words_of
from jobledger.bench.drain import thirds
from jobledger.bench.lag import Lag
from jobledger.bench.noop import KIND
from jobledger.bench.plot import Bars, Lines, Panel, number, svg
from jobledger.bench.quantiles import medians, ratio, spread
from jobledger.cli.measuring import tell
from jobledger.errors import InvalidArgument
from jobledger.store.recovery import compare
from jobledger.store.statements import statement
from jobledger.store.workers import start_worker

if TYPE_CHECKING:
    from jobledger.store.pool import Store

SVG = "{http://www.w3.org/2000/svg}"


def test_a_picture_says_in_words_what_it_shows() -> None:
    """It is one well-formed document with a title and every value in its description, whatever the names are."""
    panels: list[Panel] = [
        Bars("Rates <&>", "jobs/s", {'"ours" & <theirs>': 1234.5, "none": 0}, {"none": 2000}),
        Lines("Over time", "seconds", "MB", {"resident": [(0.0, 50.0), (2.0, 51.5)], "nothing": []}),
    ]
    root = ET.fromstring(svg("bench <drain>", panels))  # noqa: S314 - our own picture
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "bench <drain>"
    said = root.findtext(f"{SVG}desc") or ""
    assert '"ours" & <theirs> 1,234' in said
    assert "resident from 50 to 51.5" in said
    assert "prefers-color-scheme: dark" in (root.findtext(f"{SVG}style") or "")
    assert len(root.findall(f".//{SVG}polyline")) == 2


def test_a_picture_of_nothing_is_still_one() -> None:
    """No values, or only zeros, divide nothing."""
    ET.fromstring(svg("empty", [Bars("b", "u", {}), Lines("l", "x", "y", {}), Bars("z", "u", {"zero": 0})]))  # noqa: S314


@pytest.mark.parametrize(("value", "shown"), [(0, "0"), (1234.5, "1,234"), (0.15, "0.15"), (12.0, "12")])
def test_numbers_in_pictures_are_short(value: float, shown: str) -> None:
    """Thousands are parted, and zeros at the end left out."""
    assert number(value) == shown


def test_quantiles_of_few_values() -> None:
    """One value is every quantile, none is nothing."""
    assert spread([]) is None
    assert spread([3.0]) == {"mean": 3.0, "p50": 3.0, "p95": 3.0, "p99": 3.0, "max": 3.0}
    assert ratio(1, 0) is None


def test_medians_are_those_of_the_runs_that_know_the_figure() -> None:
    """A spread has the median of each of its values; what no run knows is nothing."""
    runs: list[dict[str, Any]] = [
        {"a": 1.0, "b": None, "c": {"p50": 1.0, "p99": 9.0}},
        {"a": None, "b": None, "c": {"p50": 3.0, "p99": 7.0}},
        {"a": 2.0, "b": None, "c": None},
    ]
    assert medians(runs, ("a", "b", "c")) == {"a": 1.5, "b": None, "c": {"p50": 2.0, "p99": 8.0}}


def test_a_result_is_read_by_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Each figure by its whole name, a spread on one line, the runs of a list side by side, and no JSON."""
    waits = spread([1.0, 3.0])
    runs = [{"jobs_per_s": 1500, "thirds": [], "claim_ms": waits}, {"jobs_per_s": 7, "thirds": [], "claim_ms": waits}]
    sides = {name: {"with_ms": waits} for name in ("tenants", "global")}
    tell({"bench": "x", "sides": sides, "runs": {"held": runs}, "thirds": []}, [], as_json=False, plot=None)
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    shown = "mean 2  p50 2  p95 2.9  p99 2.98  max 3"
    assert [(name, value.rstrip()) for name, value in lines] == [
        ("bench", "x"),
        ("sides.tenants.with_ms", shown),
        ("sides.global.with_ms", shown),
        ("runs.held.jobs_per_s", "1,500, 7"),
    ]


def test_thirds_tell_a_rate_that_decays() -> None:
    """300 jobs, each hundred slower than the one before."""
    assert thirds([(0.0, 0), (1.0, 100), (3.0, 200), (7.0, 300)]) == [100, 50, 25]
    assert thirds([(0.0, 0), (1.0, 300)]) == []


def test_other_drivers_reach_the_same_socket() -> None:
    """The folder of the socket stands as an encoded host, which drivers without `?host=` read too; others pass."""
    parts = urlsplit(reachable_by_all("postgresql://postgres@/bench?host=/tmp/a%20b/s&port=5433"))
    assert unquote(parts.netloc) == "postgres@/tmp/a b/s:5433"
    assert parts.path == "/bench"
    plain = "postgresql://u@localhost:5432/x?sslmode=disable"
    assert reachable_by_all(plain) == plain


@pytest.mark.parametrize("command", ["", " ", "true", "{dsn}", "'true {dsn}", "/no/such/program {dsn}"])
def test_a_peers_command_names_a_program_and_where_its_database_goes(command: str) -> None:
    """Whatever lacks one of the two is refused."""
    with pytest.raises(InvalidArgument):
        words_of(command)


async def test_finished_jobs_made_in_bulk_are_what_the_log_says(store: Store) -> None:
    """The rows written for a recovery are those that a rebuild would make of their events."""
    async with store.connection() as connection:
        worker = (await start_worker(connection, 0, kinds=[KIND])).worker
        await connection.execute(statement("bench/make_finished"), 0, 25, 3, KIND, worker, timedelta(minutes=5))
        assert await connection.fetchval("select count(*) from jobledger.jobs where state = 'succeeded'") == 25
        assert await compare(connection, 0) == []


async def test_jobs_filled_in_are_of_their_tenants_and_wait_as_long_as_said(store: Store) -> None:
    """Tenants take turns, none but the prefix where their number is 0, and a delay makes them scheduled."""
    async with store.connection() as connection:
        await connection.fetchval(statement("bench/fill"), 0, 6, 3, "tenant-", KIND, None, None)
        await connection.fetchval(statement("bench/fill"), 0, 2, 0, "_global", KIND, "system", 3600.0)
        rows = await connection.fetch(
            "select tenant, queue, state::text, count(*) from jobledger.jobs group by 1, 2, 3 order by 1"
        )
        assert [tuple(row) for row in rows] == [
            ("_global", "system", "scheduled", 2),
            *((f"tenant-{n}", "default", "ready", 2) for n in range(3)),
        ]
        assert await compare(connection, 0) == []


async def test_two_may_look_how_far_the_sealer_is_at_the_same_time(store: Store) -> None:
    """Who waits for the rest looks beside the one that looks all the time."""
    async with store.connection() as connection:
        lag = Lag(connection)
        looks = await asyncio.gather(*[lag.look() for _ in range(5)])
        assert len(set(looks)) == 1
