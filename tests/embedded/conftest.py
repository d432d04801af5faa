"""What the tests of the embedded server share: other processes, and what a server says of itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest

from jobledger.embedded import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Held(NamedTuple):
    """What another process says it holds."""

    dsn: str
    owner: bool
    pid: int | None


class Other:
    """Another process that attached to the same folder."""

    def __init__(self, data: Path) -> None:
        """Start it; it attaches at once."""
        script = Path(__file__).with_name("other_process.py")
        self.process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, str(script), str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def held(self) -> Held:
        """Wait for what it says."""
        if self.process.stdout is None:
            raise AssertionError
        return Held(**json.loads(self.process.stdout.readline()))

    def do(self, word: str) -> Held:
        """Let it do something, and wait for what it says then."""
        self.send(word)
        return self.held()

    def send(self, word: str) -> None:
        """Let it do something."""
        if self.process.stdin is None:
            raise AssertionError
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Close its input if it still listens, and wait until it is gone."""
        self.process.communicate()
        return self.process.returncode


@pytest.fixture
def others() -> Iterator[Callable[[Path], Other]]:
    """Start other processes, ended after the test."""
    with ExitStack() as stack:

        def start(data: Path) -> Other:
            other = Other(data)
            stack.callback(other.end)
            return other

        yield start


@pytest.fixture
def hold() -> Iterator[Callable[[Server], Server]]:
    """Stop a server after the test, whatever becomes of it."""
    with ExitStack() as stack:

        def keep(server: Server) -> Server:
            stack.callback(server.stop)
            return server

        yield keep


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one data folder, at rest, for all tests that do not look at how one is made."""
    made = tmp_path_factory.mktemp("made") / "data"
    with Server(made):
        pass
    return made


@pytest.fixture
def data(tmp_path: Path, made_once: Path) -> Path:
    """Copy it for one test."""
    copy = tmp_path / "data"
    subprocess.run(["/bin/cp", "-a", str(made_once), str(copy)], check=True)  # noqa: S603 - our own paths
    return copy


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Return a short path, not yet there, that every account can get to; pytest's own folders are closed."""
    place = Path("/var/tmp") / f"jobledger-test-{os.urandom(4).hex()}"  # noqa: S108 - not to be foreseen
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Asking:
    """Questions to a server, each on a connection of its own."""

    def ask(self, dsn: str, question: str) -> str:
        """Run one statement; return the first value that it answers, as text."""
        with psycopg.connect(dsn, autocommit=True) as connection:
            cursor = connection.execute(question.encode())
            row = cursor.fetchone() if cursor.description else None
        return str(row[0]) if row else ""

    def started_at(self, dsn: str) -> str:
        """Return what names one run of a server: when its postmaster started."""
        return self.ask(dsn, "select pg_postmaster_start_time()")


@pytest.fixture
def asking() -> Asking:
    """Ask a server."""
    return Asking()
