"""Tiny measurements: the form of the result, the floor beside it, and nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from jobledger.embedded import Server


def _bench(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "jobledger", "bench", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_drain_counts_whole_histories(database: str) -> None:
    """Two processes empty the backlog; the figures come with settings and the floor of the same run."""
    found = _bench(
        "drain", "--jobs", "600", "--tenants", "3", "--processes", "2", "--concurrency", "50", "--dsn", database
    )
    assert found["bench"] == "drain"
    assert found["events_per_job"] == 3
    assert found["jobs_per_s"] > 0
    assert found["wal_bytes_per_job"] > 0
    middle = (found["floor_before_rows_per_s"] + found["floor_after_rows_per_s"]) / 2
    assert found["floor_rows_per_s"] == pytest.approx(middle, abs=1)
    assert found["ratio_to_floor"] == pytest.approx(found["jobs_per_s"] / found["floor_rows_per_s"], abs=1e-3)
    assert found["settings"]["jobs"] == 600
    assert found["settings"]["embedded"] is False


@pytest.mark.parametrize("batch", ["1", "50"])
def test_enqueue_hands_in_singly_or_in_batches(database: str, batch: str) -> None:
    """Both ways hand in every job."""
    found = _bench("enqueue", "--jobs", "120", "--batch", batch, "--clients", "3", "--dsn", database)
    assert found["jobs_per_s"] > 0
    assert found["settings"]["batch"] == int(batch)


def test_enqueue_beside_workers(database: str) -> None:
    """With --processes workers run the jobs while more are handed in."""
    found = _bench("enqueue", "--jobs", "3000", "--batch", "5", "--processes", "1", "--dsn", database)
    assert 0 < found["run_meanwhile"] <= 3000
    assert found["settings"]["processes"] == 1


@pytest.mark.parametrize("more", [(), ("--processes", "2", "--batch", "3", "--clients", "2", "--concurrency", "5")])
def test_pickup_times_idle_workers(database: str, more: tuple[str, ...]) -> None:
    """The quantiles of the wait are in order, however the jobs come and whichever process takes them."""
    waits = _bench("pickup", "--jobs", "20", *more, "--dsn", database)["pickup_ms"]
    assert 0 <= waits["p50"] <= waits["p95"] <= waits["p99"] <= waits["max"]


def test_a_measurement_leaves_no_database_behind(database: str, postgres: Server) -> None:
    """Its own database is dropped, and the one that was named is left as it was."""
    _bench("enqueue", "--jobs", "10", "--dsn", database)
    with psycopg.connect(postgres.dsn_for("postgres")) as connection:
        left = connection.execute("select count(*) from pg_database where datname like 'jobledger_bench%'").fetchone()
    assert left == (0,)
