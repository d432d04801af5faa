"""The embedded server: one process that starts, answers on its socket only, ends, and comes back after a crash."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from jobledger.embedded import Server
from jobledger.errors import (
    DataDirectoryUnusable,
    InvalidArgument,
    JobledgerError,
    PostgresFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Hold = Callable[[Server], Server]

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another account")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def listening_inodes() -> set[str]:
    """Return the inodes of all TCP sockets of this machine that listen."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return {words[9] for words in lines if words[3] == "0A"}


def sockets_of(pid: int) -> set[str]:
    """Return the inodes of a process's sockets."""
    links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    return {link[8:-1] for link in links if link.startswith("socket:[")}


async def test_a_new_folder_becomes_a_database_that_both_drivers_reach(tmp_path: Path, hold: Hold, asking: Any) -> None:
    """A first start makes cluster and database, safe on disk, and its DSN suits asyncpg and libpq."""
    server = hold(Server(tmp_path / "data"))
    dsn = server.start()
    assert server.start() == dsn
    assert asking.ask(dsn, "select current_database()") == "jobledger"
    connection = await asyncpg.connect(dsn)
    try:
        assert await connection.fetchval("select current_database()") == "jobledger"
        facts = await connection.fetch(
            "select name, setting from pg_settings where name in ('fsync', 'synchronous_commit', 'data_checksums')"
        )
    finally:
        await connection.close()
    assert {row["setting"] for row in facts} == {"on"}
    assert asking.ask(server.dsn_for("postgres"), "select current_database()") == "postgres"


def test_port_and_host_of_the_environment_do_not_matter(
    data: Path, hold: Hold, asking: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables meant for another server change neither the server nor the way to it."""
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGHOST", "elsewhere.invalid")
    monkeypatch.setenv("PGDATA", "/nowhere")
    assert asking.ask(hold(Server(data)).start(), "select 1") == "1"


@linux_only
def test_it_listens_on_its_socket_only(data: Path, hold: Hold, asking: Any) -> None:
    """No TCP listener, not by our settings, nor by one that somebody stored in the database."""
    server = hold(Server(data))
    asking.ask(server.start(), "alter system set listen_addresses = '*'")
    server.stop()
    dsn = server.start()
    assert asking.ask(dsn, "show listen_addresses") == ""
    assert server.pid is not None
    assert not sockets_of(server.pid) & listening_inodes()
    place = Path(asking.ask(dsn, "select trim(both '\"' from current_setting('unix_socket_directories'))"))
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["listen_addresses", "unix_socket_directories", "port", "hba_file", "no name", "A=b"])
def test_settings_that_would_open_it_are_refused(tmp_path: Path, name: str) -> None:
    """Fixed settings and words that are no setting are refused before anything is written."""
    with pytest.raises(InvalidArgument):
        Server(tmp_path / "data", settings={name: "*"})
    assert not (tmp_path / "data").exists()


def test_settings_are_postgres_own_and_a_wrong_one_is_told(data: Path, hold: Hold, asking: Any) -> None:
    """A setting reaches the server; one that it does not take ends the start with the log's last words."""
    server = hold(Server(data, settings={"work_mem": "5MB"}))
    assert asking.ask(server.start(), "show work_mem") == "5MB"
    server.stop()
    with pytest.raises(PostgresFailed, match="invalid value for parameter") as caught:
        Server(data, settings={"work_mem": "much"}).start()
    assert "--data" in str(caught.value)


def test_a_killed_postgres_comes_back_with_its_data(data: Path, hold: Hold, asking: Any) -> None:
    """SIGKILL of the server loses nothing that was committed, and the next start works at once, by the same DSN."""
    server = hold(Server(data))
    dsn = server.start()
    asking.ask(dsn, "create table kept (a int)")
    asking.ask(dsn, "insert into kept select generate_series(1, 1000)")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert server.start() == dsn
    assert asking.ask(dsn, "select count(*) from kept") == "1000"


def test_a_stale_pid_of_a_living_process_is_neither_trusted_nor_killed(data: Path, hold: Hold, asking: Any) -> None:
    """Pid files that name a living foreign process do not stop a start, and that process lives on."""
    server = hold(Server(data))
    server.start()
    place = Path(asking.ask(server.dsn, "select trim(both '\"' from current_setting('unix_socket_directories'))"))
    files = [data / "cluster" / "postmaster.pid", place / ".s.PGSQL.5432.lock"]
    texts = [path.read_text() for path in files]
    server.stop()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as foreign:
        place.mkdir(mode=0o700, exist_ok=True)
        os.chown(place, *(getattr(files[0].parent.stat(), name) for name in ("st_uid", "st_gid")))
        for path, text in zip(files, texts, strict=True):
            path.write_text("\n".join([str(foreign.pid), *text.splitlines()[1:]]) + "\n")
        assert asking.ask(server.start(), "select 1") == "1"
        server.stop()
        assert foreign.poll() is None
        foreign.communicate(b"\n")


@linux_only
def test_a_server_started_by_hand_on_the_data_is_left_alone(data: Path, hold: Hold) -> None:
    """A Postgres that others started on the cluster is recognised; no second one starts beside it."""
    by_hand = hold(Server(data))
    by_hand.start()
    assert by_hand.pid is not None
    (data / "server.json").unlink()
    (data / "lock").unlink()
    with pytest.raises(DataDirectoryUnusable, match=rf"process {by_hand.pid}\) runs on"):
        Server(data)._launch(os.open(os.devnull, os.O_RDONLY))
    assert by_hand.running


def test_a_second_server_on_the_same_folder_is_refused(data: Path, hold: Hold) -> None:
    """Two owners of one folder there are not; the error names the way to share."""
    hold(Server(data)).start()
    with pytest.raises(PostgresFailed, match="attach"):
        Server(data).start()


async def test_it_starts_and_stops_while_an_event_loop_runs(data: Path, hold: Hold) -> None:
    """The blocking and the awaited way both work inside a running loop, and the latter leaves the loop free."""
    server = hold(Server(data))
    server.start()
    server.stop()
    turns = 0
    starting = asyncio.ensure_future(server.astart())
    while not starting.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 1
    connection = await asyncpg.connect(await starting)
    await connection.close()
    await server.astop()
    assert not server.running


def test_it_outlives_the_thread_that_started_it(data: Path, hold: Hold, asking: Any) -> None:
    """Started from a thread that ends, the server stays: the parent-death signal follows a lasting thread."""
    server = hold(Server(data))

    def start() -> None:
        started.append(threading.get_native_id())
        server.start()

    started: list[int] = []
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    deadline = time.monotonic() + 10
    # The system's thread lasts a little longer than Python's, and its signals are sent before it is gone.
    while Path(f"/proc/self/task/{started[0]}").exists():
        assert time.monotonic() < deadline
    # Postgres sees to those before it sees to this one.
    loaded = asking.ask(server.dsn, "select pg_conf_load_time() from pg_reload_conf()")
    while asking.ask(server.dsn, "select pg_conf_load_time()") == loaded:
        assert time.monotonic() < deadline
    assert server.running


@linux_only
def test_the_callers_environment_does_not_reach_postgres(
    data: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret in the environment is not in that of Postgres, which runs as an account that others may share."""
    monkeypatch.setenv("API_TOKEN", "canary-7f1c")
    server = hold(Server(data))
    server.start()
    assert b"canary-7f1c" not in Path(f"/proc/{server.pid}/environ").read_bytes()


def test_each_error_names_a_way_out(tmp_path: Path) -> None:
    """A server that was not started says what to call."""
    with pytest.raises(JobledgerError, match="start"):
        _ = Server(tmp_path / "data").dsn
