"""Where the data lies and whose it is: accounts, closed folders, odd and long paths."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobledger.embedded import Account, Server
from jobledger.embedded.account import may_reach
from jobledger.errors import (
    DataDirectoryUnusable,
    PostgresFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Hold = Callable[[Server], Server]

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another account")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def states_of_parents(folder: Path) -> list[tuple[int, int, int]]:
    """Return owner, group and mode of all folders above one."""
    return [(facts.st_uid, facts.st_gid, facts.st_mode) for facts in (path.stat() for path in folder.parents)]


def interpreter_for_all() -> str:
    """Return a Python of this version that every account can run."""
    mine, systems = Path(sys.executable).resolve(), Path(f"/usr/bin/python3.{sys.version_info.minor}")
    if not may_reach(mine.parent, Account("nobody", 65534, 65534)):
        if not systems.exists():
            pytest.skip("the Python that runs the tests is closed to other accounts")
        return str(systems)
    return sys.executable


@root_only
@linux_only
def test_root_hands_over_to_an_existing_account_and_changes_nothing_else(tmp_path: Path, hold: Hold) -> None:
    """Started by root it is not root; the accounts and all folders above stay as they were."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    before = states_of_parents(closed / "data"), Path("/etc/passwd").read_bytes(), Path("/etc/group").read_bytes()
    server = hold(Server(closed / "data"))
    server.start()
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    groups = [line for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if "Groups" in line]
    assert groups[0].split() in (["Groups:"], ["Groups:", "0"][:1])
    assert before == (
        states_of_parents(closed / "data"),
        Path("/etc/passwd").read_bytes(),
        Path("/etc/group").read_bytes(),
    )


def test_a_folder_that_was_refused_is_not_the_one_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the usual folder itself cannot be made, the hint names another."""
    (tmp_path / "file").touch()
    usual = tmp_path / "file" / "data"
    monkeypatch.setattr("jobledger.embedded.folder.default_data_directory", lambda: usual)
    with pytest.raises(DataDirectoryUnusable) as caught:
        Server(usual).start()
    assert str(usual) in str(caught.value)
    assert str(usual) not in str(caught.value.hint)


@root_only
def test_the_account_can_be_named_and_must_exist(tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    """$JOBLEDGER_PG_USER counts; an unknown account and root are refused; data stays with the account that made it."""
    for name in ("root", "no-such-account"):
        with pytest.raises(PostgresFailed, match="JOBLEDGER_PG_USER"):
            Server(tmp_path / "data", pg_user=name).start()
    monkeypatch.setenv("JOBLEDGER_PG_USER", "nobody")
    server = hold(Server(tmp_path / "data"))
    server.start()
    assert (tmp_path / "data" / "cluster").owner() == "nobody"
    server.stop()
    monkeypatch.delenv("JOBLEDGER_PG_USER")
    server.start()
    assert Path(f"/proc/{server.pid}").owner() == "nobody"
    with pytest.raises(DataDirectoryUnusable, match="belongs to the account nobody"):
        Server(tmp_path / "data", pg_user="daemon")._launch(os.open(os.devnull, os.O_RDONLY))


@root_only
def test_a_plain_user_starts_it_in_the_own_data_folder(open_place: Path) -> None:
    """Without root it runs as the user, in the folder of the XDG rules."""
    base = open_place
    base.mkdir(mode=0o700)
    os.chown(base, 65534, -1)
    script = "from jobledger.embedded import Server\nwith Server() as s: print(s.data, s.dsn)"
    program = interpreter_for_all()
    done = subprocess.run(  # noqa: S603 - our own script
        [program, "-c", script],
        env={
            "XDG_DATA_HOME": str(base),
            "HOME": "/nonexistent",
            "PATH": os.environ["PATH"],
            "PYTHONPATH": ":".join(sys.path),
        },
        cwd="/",
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith(f"{base}/jobledger/data postgresql://"), done.stderr
    assert (base / "jobledger" / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["a folder of ours", 'it\'s 100%, "quoted" ünd so\\weiter', "d" * 110])
def test_any_path_will_do(tmp_path: Path, hold: Hold, asking: Any, name: str) -> None:
    """Spaces, quotes, commas, percent signs, other letters and paths too long for a socket work."""
    assert asking.ask(hold(Server(tmp_path / name)).start(), "select current_database()") == "jobledger"


@linux_only
def test_a_path_longer_than_postgres_keeps_will_do(tmp_path: Path, hold: Hold, asking: Any) -> None:
    """A path of 1,400 characters works, and the data is there again at the second start."""
    server = hold(Server(tmp_path.joinpath(*["d" * 200] * 7)))
    asking.ask(server.start(), "create table kept (a int)")
    server.stop()
    assert asking.ask(server.start(), "select count(*) from kept") == "0"


@root_only
def test_a_short_reachable_path_keeps_its_socket_inside(open_place: Path, hold: Hold) -> None:
    """Where the path is short and open, the socket lies in the data folder, and outside nothing is made."""
    data = open_place
    server = hold(Server(data))
    assert f"host={data}/socket" in server.start()
    server.stop()


def test_a_folder_with_other_things_in_it_is_refused_untouched(tmp_path: Path) -> None:
    """A folder that holds something else is not taken over."""
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(DataDirectoryUnusable, match="neither empty nor"):
        Server(tmp_path).start()
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    """A file in the way of the folder gives the error that names --data."""
    (tmp_path / "file").touch()
    with pytest.raises(DataDirectoryUnusable, match="--data"):
        Server(tmp_path / "file" / "data").start()


def test_a_copied_folder_is_a_server_of_its_own(tmp_path: Path, hold: Hold, asking: Any) -> None:
    """A copy of the data does not lead to the server of the original."""
    first = hold(Server(tmp_path / "data"))
    first.start()
    first.stop()
    subprocess.run(["/bin/cp", "-a", str(tmp_path / "data"), str(tmp_path / "copy")], check=True)  # noqa: S603
    first.start()
    second = hold(Server(tmp_path / "copy"))
    assert second.start() != first.dsn
    asking.ask(second.dsn, "create table only_here (a int)")
    assert asking.ask(first.dsn, "select to_regclass('only_here') is null") == "True"


def test_an_unfinished_cluster_is_made_anew(tmp_path: Path, hold: Hold, asking: Any) -> None:
    """What a killed first start left is thrown away."""
    (tmp_path / "data" / "cluster.new" / "base").mkdir(parents=True)
    (tmp_path / "data" / "lock").touch()
    assert asking.ask(hold(Server(tmp_path / "data")).start(), "select 1") == "1"
    assert not (tmp_path / "data" / "cluster.new").exists()
