"""Sharing one server: who starts it owns it, its death ends it, and the next process brings it back."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobledger.embedded import Attachment, Server, attach
from jobledger.embedded.folder import DataFolder
from jobledger.errors import PostgresFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Others = Callable[[Path], Any]


def test_a_second_process_shares_the_server_of_the_first(data: Path, others: Others, asking: Any) -> None:
    """Two processes, one server: the second is not its owner, and letting go of it changes nothing."""
    with attach(data) as mine:
        run = asking.started_at(mine.dsn)
        other = others(data)
        held = other.held()
        assert (mine.owner, held.owner, held.dsn) == (True, False, mine.dsn)
        other.do("close")
        assert asking.started_at(held.dsn) == run


@pytest.mark.slow
def test_processes_that_start_together_on_an_empty_folder_get_one_server(
    tmp_path: Path, others: Others, asking: Any
) -> None:
    """Of four that race for a new folder one makes and owns the server, and all use it."""
    held = [other.held() for other in [others(tmp_path / "data") for _ in range(4)]]
    assert sorted(each.owner for each in held) == [False, False, False, True]
    assert len({asking.started_at(each.dsn) for each in held}) == 1


def test_after_the_owners_sigkill_the_next_process_starts_it_with_the_data(
    data: Path, others: Others, asking: Any
) -> None:
    """SIGKILL of the owner ends Postgres; whoever asks next owns a new one with all that was committed."""
    owner = others(data)
    dsn = owner.held().dsn
    with attach(data) as mine:
        assert not mine.owner
        asking.ask(dsn, "create table kept as select generate_series(1, 1000)")
        owner.send("die")
        assert owner.end() == -signal.SIGKILL
        mine.ensure()
        while not mine.owner:  # the old server may have answered one last time while it ended
            mine.ensure()
        assert mine.dsn == dsn
        assert asking.ask(dsn, "select count(*) from kept") == "1000"


@pytest.mark.slow
def test_when_the_owner_leaves_in_any_way_postgres_leaves_too(data: Path, others: Others) -> None:
    """Exit without letting go, end of input and SIGTERM all end the server, which then can be owned by another."""
    for leave in ("exit", "", "TERM"):
        owner = others(data)
        pid = owner.held().pid
        if leave == "TERM":
            owner.process.terminate()
        elif leave:
            owner.send(leave)
        owner.end()
        with attach(data) as mine:
            while not mine.owner:
                mine.ensure()
            assert mine.pid != pid


def test_a_fork_of_the_owner_does_not_stop_the_server(data: Path, others: Others, asking: Any) -> None:
    """A forked child lets go and exits; the server stays its parent's."""
    owner = others(data)
    held = owner.held()
    run = asking.started_at(held.dsn)
    assert owner.do("fork").owner
    assert asking.started_at(held.dsn) == run


def test_when_postgres_is_killed_any_of_its_users_brings_it_back(data: Path, others: Others, asking: Any) -> None:
    """SIGKILL of Postgres: the one who shared it starts and owns it; its former owner then shares."""
    owner = others(data)
    held = owner.held()
    with attach(data) as mine:
        asking.ask(mine.dsn, "create table kept as select generate_series(1, 1000)")
        os.kill(held.pid, signal.SIGKILL)
        while not mine.owner:
            mine.ensure()
        assert asking.ask(mine.dsn, "select count(*) from kept") == "1000"
        assert owner.do("ensure") == (mine.dsn, False, None)


def test_a_server_that_is_kept_comes_back_by_itself(data: Path, others: Others, asking: Any) -> None:
    """SIGKILL of Postgres, then of the process that owns it: whoever keeps it has it again, and its data, unasked."""
    with attach(data) as mine, mine.kept():
        asking.ask(mine.dsn, "create table kept as select generate_series(1, 1000)")
        assert mine.pid is not None
        os.kill(mine.pid, signal.SIGKILL)
        until_it_answers(mine, asking)
        assert mine.owner
    owner = others(data)
    assert owner.held().owner
    with attach(data) as mine, mine.kept():
        assert not mine.owner
        owner.send("die")
        owner.end()
        until_it_answers(mine, asking)
        assert mine.owner


def until_it_answers(attachment: Attachment, asking: Any) -> None:
    """Return once its server gives back what was committed; the time is only a limit."""
    deadline = time.monotonic() + 30
    while True:
        try:
            assert asking.ask(attachment.dsn, "select count(*) from kept") == "1000"
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
        else:
            return


def test_who_ends_does_not_wait_for_a_start_under_way(data: Path) -> None:
    """A start that waits for another process's server, which may recover for minutes, is given up at once."""
    lock = DataFolder(data).try_lock()
    assert lock is not None
    server = Server(data, timeout=20)
    with ThreadPoolExecutor() as threads:
        starting = threads.submit(server.start_or_find)
        while server._turn.acquire(blocking=False):
            server._turn.release()
        server.give_up()
        with pytest.raises(PostgresFailed, match="given up"):
            starting.result()
    os.close(lock)
    with server:
        assert server.running


@pytest.mark.slow
def test_a_first_start_killed_midway_leaves_a_folder_that_starts(tmp_path: Path, others: Others, asking: Any) -> None:
    """SIGKILL of the process that makes the cluster: the next one waits for what is left of it, and starts."""
    maker = others(tmp_path / "data")
    # In the making; or made, where this process did not get to look meanwhile.
    places = [tmp_path / "data" / name for name in ("cluster.new", "cluster")]
    while not any(place.exists() for place in places):
        assert maker.process.poll() is None
    maker.process.kill()
    maker.process.wait()
    with attach(tmp_path / "data") as mine:
        assert mine.owner
        assert asking.ask(mine.dsn, "select 1") == "1"


def test_nothing_is_left_behind(data: Path, others: Others) -> None:
    """After the owner has let go no process holds the lock, and no folder of the socket lies among temporary files."""
    with attach(data) as mine:
        others(data).held()
        place = mine._server._socket
    lock = mine._server._folder.try_lock()
    assert lock is not None
    os.close(lock)
    assert place is not None
    assert place.parent == data or not place.exists()
