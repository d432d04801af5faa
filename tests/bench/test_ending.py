"""How a measurement ends before its time: by ctrl-c, or killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobledger.embedded import Server

PATIENCE_S = 60


@contextmanager
def _measuring(*words: str, said: str) -> Iterator[subprocess.Popen[str]]:
    """A measurement that has said so, as the leader of its own processes, as at a terminal."""
    command = [sys.executable, "-m", "jobledger", "bench", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Whoever runs the tests in the background has this signal ignored, and so would all that they start.
    own = {"start_new_session": True, "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    with subprocess.Popen(command, **own, **pipes) as process:  # type: ignore[call-overload]  # noqa: S603 - our own
        try:
            assert process.stderr is not None
            assert any(said in line for line in process.stderr)
            yield process
        finally:
            process.kill()


def _child(process: subprocess.Popen[str]) -> int:
    """Return the process that it has started, as soon as there is one, in the midst of its imports."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        for child in children.read_text().split():
            own = Path(f"/proc/{child}")
            # Before it runs its own program it is the same as the one that started it.
            if "jobledger.bench." in (own / "cmdline").read_text() and "pydantic_core" in (own / "maps").read_text():
                return int(child)
    raise AssertionError("it started no process")


def _ends(process_file: int) -> bool:
    return bool(select.select([process_file], [], [], PATIENCE_S)[0])


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children are found in /proc")
@pytest.mark.parametrize(
    ("words", "said", "starts"),
    [
        (("drain", "--jobs", "5000"), "5,000 of 5,000", True),
        (("order", "--seconds", "30"), "writing for", False),
        (("http", "--seconds", "30"), "measuring the floor", True),
    ],
    ids=["drain", "order", "http"],
)
def test_ctrl_c_ends_all_of_it_without_a_word(
    database: str, postgres: Server, words: tuple[str, ...], said: str, starts: bool
) -> None:
    """Also while another process is just starting: no traceback of any of them, no database left, the usual status."""
    with _measuring(*words, "--dsn", database, said=said) as process:
        child = None
        if starts:
            number = _child(process)
            child = os.pidfd_open(number)
            assert os.getpgid(number) != process.pid  # what the terminal interrupts is another's
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE_S)
        assert child is None or _ends(child)
    assert process.returncode == 130
    assert "Traceback" not in told
    with psycopg.connect(postgres.dsn_for("postgres")) as connection:
        left = connection.execute("select count(*) from pg_database where datname like 'jobledger_bench%'").fetchone()
    assert left == (0,)


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only there does the kernel end a process with another"
)
def test_a_killed_measurement_leaves_no_worker_behind(database: str, postgres: Server) -> None:
    """Its worker processes end with it, however it ends; its database has to be dropped by hand."""
    with _measuring("memory", "--jobs", "200000", "--dsn", database, said="draining: 0") as process:
        worker = os.pidfd_open(_child(process))
        process.kill()
        assert _ends(worker)
    with psycopg.connect(postgres.dsn_for("postgres"), autocommit=True) as connection:
        for (name,) in connection.execute("select datname from pg_database where datname like 'jobledger_bench%'"):
            connection.execute(f'drop database "{name}" with (force)')
