"""What a job costs stands in the result of every measurement of workers, under the same names, in numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

PEER = f"""'{sys.executable}' -c 'print("{{\\"jobs_per_s\\": 5}}")' {{dsn}}"""
"""A peer's command: a program that prints its rate."""
FEW = ("--tenants", "10", "--claim", "20", "--trials", "3", "--many", "2000", "--few", "10", "--waiting", "100")


def _measured(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "jobledger", "bench", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _costs_are_there(found: dict[str, Any]) -> None:
    """A whole history takes 1 to 4 KB of WAL on any machine; CPU is between 1 us and a tenth of a second."""
    assert 500 < found["wal_bytes_per_job"] < 10_000
    for name in ("postgres_cpu_us_per_job", "worker_cpu_us_per_job"):
        assert 1 < found[name] < 100_000, name
    for name in ("claim_ms", "report_ms"):
        assert 0 < found[name]["p50"] <= found[name]["p99"], name


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("held-snapshot", "--jobs", "400"),
        ("memory", "--jobs", "2000"),
        ("compare", PEER, "--turns", "1", "--jobs", "400"),
    ],
    ids=lambda words: words[0],
)
def test_a_measurement_says_what_a_job_costs(database: str, words: tuple[str, ...]) -> None:
    """WAL of its whole life, CPU of the workers' backends and of the workers, claims and reports, beside the floor."""
    found = _measured(*words, "--dsn", database)
    _costs_are_there(found)
    assert found["floor_rows_per_s"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", ["newcomers", "kinds", "sides", "behind"])
def test_each_part_of_fairness_says_what_a_job_costs(database: str, part: str) -> None:
    """So much stands with the part, and as that of the whole where it was measured alone."""
    found = _measured("fairness", "--part", part, *FEW, "--jobs", "100", "--dsn", database)
    _costs_are_there(found)
    of_part = found[part]
    several = [of_part] if "wal_bytes_per_job" in of_part else list(of_part.values())
    for one in several:
        _costs_are_there(one)
        assert one["wal_images_by"] in {"pg_walinspect", "estimate"}
    assert found["wal_bytes_per_job"] == several[0]["wal_bytes_per_job"]
    assert found["floor_rows_per_s"] > 0


@pytest.mark.slow
def test_a_recovery_says_what_a_job_costs_afterwards() -> None:
    """They are those of the drain that comes after the last kill."""
    found = _measured("recovery", "--open", "300", "--finished", "1000", "--kills", "1")
    _costs_are_there(found)
    assert found["floor_rows_per_s"] > 0


@pytest.mark.slow
def test_idle_workers_cost_postgres_something(database: str) -> None:
    """The backends of the worker that a pick-up times are those of this very process."""
    found = _measured("pickup", "--jobs", "20", "--dsn", database)
    assert 1 < found["postgres_cpu_us_per_job"] < 100_000
    assert 1 < found["client_cpu_us_per_job"] < 100_000
    assert found["queries_per_s_idle"] is None  # it was not idle for long enough to tell
    assert found["wal_bytes_per_job"] > 500
