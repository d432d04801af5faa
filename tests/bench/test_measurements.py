"""Tiny measurements: the form of the result, the floor beside it, and nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import psycopg
import pytest

from jobledger.cli.failures import run

if TYPE_CHECKING:
    from pathlib import Path

    from jobledger.embedded import Server

PEER = "import json, sys; print('warming up'); print(json.dumps({'jobs_per_s': 1234, 'dsn': sys.argv[1]})); print('{')"


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobledger", "bench", *words, "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own


def _bench(*words: str) -> dict[str, Any]:
    done = _run(*words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    middle = (found["floor_before_rows_per_s"] + found["floor_after_rows_per_s"]) / 2
    assert found["floor_rows_per_s"] == pytest.approx(middle, abs=1)
    return found


def _refused(*words: str) -> dict[str, Any]:
    done = _run(*words)
    assert done.returncode != 0
    told: dict[str, Any] = json.loads(done.stderr.strip().splitlines()[-1])
    return told


@pytest.mark.slow
def test_drain_counts_whole_histories(database: str, tmp_path: Path) -> None:
    """Two processes empty the backlog; figures come with the costs, settings and floor of the same run, and a picture.

    What lies beside (partitions, paused tenants, jobs that wait) is left alone, and is no part of the count.
    """
    drawn = tmp_path / "drain.svg"
    found = _bench(
        *("drain", "--jobs", "600", "--tenants", "3", "--processes", "2", "--concurrency", "50", "--dsn", database),
        *("--partitions", "12", "--paused", "5", "--waiting", "30", "--plot", str(drawn)),
    )
    assert found["bench"] == "drain"
    assert found["events_per_job"] == 3
    assert found["jobs_per_s"] > 0
    assert found["paused_jobs_held"] == 5
    assert 0 <= found["sealer_behind_s"]["max"] < 60
    assert found["sealed_after_s"] >= 0
    assert found["wal_bytes_per_job"] > 0
    assert found["drain_wal_images_by"] in {"pg_walinspect", "estimate"}
    assert found["postgres_cpu_us_per_job"] > 0
    assert found["worker_cpu_us_per_job"] > 0
    assert 0 < found["claim_ms"]["p50"] <= found["claim_ms"]["p99"]
    assert found["ratio_to_floor"] == pytest.approx(found["jobs_per_s"] / found["floor_rows_per_s"], abs=1e-3)
    assert found["settings"]["jobs"] == 600
    assert found["settings"]["partitions"] == 12
    assert found["settings"]["embedded"] is False
    root = ET.fromstring(drawn.read_text(encoding="utf-8"))  # noqa: S314 - our own picture
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.find("{http://www.w3.org/2000/svg}desc") is not None


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["1", "50"])
def test_enqueue_hands_in_singly_or_in_batches(database: str, batch: str) -> None:
    """Both ways hand in every job."""
    found = _bench("enqueue", "--jobs", "120", "--batch", batch, "--clients", "3", "--dsn", database)
    assert found["jobs_per_s"] > 0
    assert found["settings"]["batch"] == int(batch)


@pytest.mark.slow
def test_enqueue_beside_workers(database: str) -> None:
    """With --processes workers run the jobs while more are handed in."""
    found = _bench("enqueue", "--jobs", "3000", "--batch", "5", "--processes", "1", "--dsn", database)
    assert 0 < found["run_meanwhile"] <= 3000
    assert found["settings"]["processes"] == 1


@pytest.mark.slow
def test_enqueue_every_way_beside_its_yardstick(database: str) -> None:
    """One command: batches beside the floor, single ones beside bare inserts, by the client and by the SQL function."""
    found = _bench("enqueue", "--all", "--seconds", "0.1", "--turns", "1", "--batch", "20", "--dsn", database)
    ways = found["ways"]
    names = ("batch", "single_1", "single_32", "callers_32")
    assert set(ways) == {*names, *(f"{name}_keys" for name in names), "sql_1", "sql_32"}
    assert ways["batch"]["ratio_to_floor"] > 0
    for name in names:
        assert ways[f"{name}_keys"]["ratio_to_without_keys"] > 0
    for name in ("single_1", "single_32", "sql_1", "sql_32", "callers_32"):
        one = ways[name]
        # All three are rounded, and few are done in so short a time.
        least = (one["jobs_per_s"] - 1) / (one["bare_rows_per_s"] + 1)
        assert least <= one["ratio_to_bare"] <= (one["jobs_per_s"] + 1) / max(1, one["bare_rows_per_s"] - 1)


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--processes", "2", "--batch", "3", "--clients", "2", "--concurrency", "5")])
def test_pickup_times_idle_workers(database: str, more: tuple[str, ...]) -> None:
    """The quantiles of the wait are in order, however the jobs come and whichever process takes them."""
    waits = _bench("pickup", "--jobs", "20", *more, "--dsn", database)["pickup_ms"]
    assert 0 <= waits["p50"] <= waits["p95"] <= waits["p99"] <= waits["max"]


@pytest.mark.slow
def test_compare_takes_turns_with_a_peer(database: str, tmp_path: Path) -> None:
    """Each run of the peer gets a database of its own; its last line of JSON counts; medians and their ratio."""
    program = tmp_path / "peer.py"
    program.write_text(PEER, encoding="utf-8")
    found = _bench("compare", f"{sys.executable} {program} {{dsn}}", "--turns", "2", "--jobs", "100", "--dsn", database)
    assert found["peer_jobs_per_s"] == 1234
    assert found["ratio_to_peer"] == pytest.approx(found["jobs_per_s"] / 1234, abs=1e-3)
    given = {one["line"]["dsn"] for one in found["peers"]}
    assert len(given) == 2
    assert len(found["ours"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise SystemExit(3)", ()),
        ("print('nothing')", ()),
        ("print('{\"jobs_per_s\": 0}')", ()),
        ("print('{\"jobs_per_s\": 5}')", ("--field", "speed")),
        ("import time; time.sleep(60)", ("--patience", "0.5")),
    ],
)
def test_compare_says_what_is_wrong_with_a_peer(
    database: str, tmp_path: Path, source: str, words: tuple[str, ...]
) -> None:
    """A peer that fails, prints no rate or takes too long ends the measurement with an error of its own."""
    program = tmp_path / "peer.py"
    program.write_text(source, encoding="utf-8")
    command = f"{sys.executable} {program} {{dsn}}"
    told = _refused("compare", command, *words, "--turns", "1", "--jobs", "10", "--dsn", database)
    assert told["code"] == "unavailable"


@pytest.mark.slow
def test_held_snapshot_drains_without_and_with(database: str) -> None:
    """Both runs come out, and their ratio."""
    found = _bench("held-snapshot", "--jobs", "400", "--concurrency", "50", "--dsn", database)
    assert found["ratio_to_without"] == pytest.approx(found["jobs_per_s"] / found["without_jobs_per_s"], abs=1e-3)
    assert {name: len(runs) for name, runs in found["runs"].items()} == {"without": 1, "held": 1}


@pytest.mark.slow
def test_memory_watches_the_worker(database: str) -> None:
    """The sizes come out of the worker's own process."""
    found = _bench("memory", "--jobs", "2000", "--concurrency", "50", "--dsn", database)
    assert found["resident_mb_after_tenth"] > 10
    assert found["growth_mb"] == pytest.approx(
        found["resident_mb_after_all"] - found["resident_mb_after_tenth"], abs=0.2
    )


@pytest.mark.slow
def test_fairness_counts_claims_and_waits(database: str) -> None:
    """Every part has its figures; a newcomer among ten tenants is within its bound of claims."""
    small = ("--tenants", "10", "--claim", "20", "--trials", "3", "--many", "300", "--few", "10", "--waiting", "200")
    found = _bench("fairness", *small, "--jobs", "100", "--dsn", database)
    among = found["newcomers"]["10"]
    assert among["claims_allowed"] == 2
    assert among["within"] is True
    assert found["wal_bytes_per_job"] > 0
    assert found["kinds"]["few_s"] > 0
    assert set(found["sides"]) == {"tenants", "global"}
    assert found["sides"]["tenants"]["worst_ratio"] > 0
    assert found["behind"]["late_rows"] == 200
    assert found["behind"]["never_taken"] == 0


@pytest.mark.slow
def test_recovery_kills_a_server_of_its_own(tmp_path: Path) -> None:
    """The worker claims again after each kill, no job is lost, and the server's folder is gone."""
    found = _bench("recovery", "--open", "300", "--finished", "2000", "--kills", "2", "--scratch", str(tmp_path))
    assert len(found["kills"]) == 2
    assert all(kill["first_claim_s"] > 0 for kill in found["kills"])
    assert found["drain_after_jobs_per_s"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "true"),
        ("compare", "/no/such/program {dsn}"),
        ("fairness", "--tenants", "1"),
        ("recovery", "--open", "0"),
        ("recovery", "--kills", "0"),
        ("recovery", "--scratch", "/no/such/folder"),
        ("enqueue", "--seconds", "nan"),
        ("drain", "--paused", "1000000"),
        ("memory", "--plot", "/no/such/folder/a.svg"),
    ],
)
def test_options_out_of_range_are_refused_before_anything_runs(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is started for a measurement that could not end well."""
    assert run(["bench", *words, "--json"]) != 0
    assert json.loads(capsys.readouterr().err.strip().splitlines()[-1])["code"] == "invalid_argument"


def test_a_measurement_leaves_no_database_behind(database: str, postgres: Server) -> None:
    """Its own database is dropped, and the one that was named is left as it was."""
    _bench("enqueue", "--jobs", "10", "--dsn", database)
    with psycopg.connect(postgres.dsn_for("postgres")) as connection:
        left = connection.execute("select count(*) from pg_database where datname like 'jobledger_bench%'").fetchone()
    assert left == (0,)


@pytest.mark.slow
@pytest.mark.parametrize("more", [("--held",), ("--readers", "6", "--tenants", "3")])
def test_follow_times_what_each_reader_gets(database: str, more: tuple[str, ...]) -> None:
    """Every reader gets all of its own, once; the quantiles of the wait are in order."""
    found = _bench("follow", "--rate", "100", "--seconds", "1", *more, "--dsn", database)
    assert found["events_appended"] == 100
    assert found["deliveries"] == (100 if "--held" in more else 200)
    waits = found["append_to_reader_ms"]
    assert 0 < waits["p50"] <= waits["p95"] <= waits["p99"] <= waits["max"]
    assert found["settings"]["held"] is ("--held" in more)


@pytest.mark.slow
def test_sse_times_what_each_client_gets(database: str) -> None:
    """Each client of a service in a process of its own gets all of its own, a slow one too."""
    few = ("--clients", "6", "--tenants", "3", "--events-per-s", "60", "--seconds", "1", "--slow", "1")
    found = _bench("sse", *few, "--dsn", database)
    assert (found["complete"], found["clients_complete"], found["slow_resumed"]) == (True, 6, 1)
    assert (found["events_appended"], found["deliveries"]) == (60, 120)
    waits = found["append_to_client_ms"]
    assert 0 < waits["p50"] <= waits["p99"] <= waits["max"]
    assert found["server_connected_mb"] > 0


@pytest.mark.slow
def test_catchup_reads_everything_and_one_tenant(database: str) -> None:
    """The whole log and a tenant's share of it are read to their ends, beside the floor."""
    found = _bench("catchup", "--events", "30000", "--tenant-share", "0.01", "--turns", "1", "--dsn", database)
    assert (found["events"], found["tenant_events"]) == (30_000, 300)
    assert found["ratio_to_floor"] == pytest.approx(found["events_per_s"] / found["floor_rows_per_s"], abs=1e-3)
    assert 0 < found["tenant_s"] <= found["tenant_slowest_s"]
    assert found["projection_ratio_to_floor"] > 0


@pytest.mark.slow
def test_order_finds_nothing_amiss_and_what_it_costs(database: str) -> None:
    """What is written is sealed and read by every reader, once and in order."""
    few = ("--seconds", "1", "--writers", "6", "--readers", "2", "--straggle", "0.2")
    found = _bench("order", *few, "--dsn", database)
    assert found["events_written"] == found["events_sealed"] == found["events_read"] / 2 > 10
    assert [found[name] for name in ("lost", "repeated", "inverted", "readers_that_differ")] == [0, 0, 0, 0]
    assert found["blocks"] > 0
    assert found["seal_lag_ms"]["p50"] <= found["seal_lag_ms"]["p99"]


@pytest.mark.slow
def test_reading_over_http_waits_for_what_is_due(database: str) -> None:
    """Every status and list endpoint answers, at the rate that was asked for; the quantiles are in order."""
    few = ("--jobs", "2000", "--tenants", "50", "--per-s", "60", "--seconds", "1", "--turns", "1")
    found = _bench("http", "--read", *few, "--dsn", database)
    assert found["requests"] == 60
    assert len(found["by_path_ms"]) == 14
    waits = found["read_ms"]
    assert 0 < waits["p50"] <= waits["p95"] <= waits["p99"] <= waits["max"]


@pytest.mark.slow
def test_workers_through_the_service_drain_what_direct_ones_do(database: str) -> None:
    """Each way runs every job once; the ratios are those of the rates."""
    few = ("--jobs", "5000", "--turns", "1")
    found = _bench("http", "--work", *few, "--dsn", database)
    direct = found["direct_jobs_per_s"]
    for way in ("worker", "exchange"):
        assert found[f"{way}_ratio_to_direct"] == pytest.approx(found[f"{way}_jobs_per_s"] / direct, rel=0.01)
    assert 0 < found["exchange_ms"]["p50"] <= found["exchange_ms"]["max"]
