"""Postgres's own folder: made whole or not at all, checked against the programs, freed of what a dead server left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from jobledger.embedded.account import Account, may_reach
from jobledger.embedded.binaries import BIN_VARIABLE, Binaries
from jobledger.embedded.door import USER
from jobledger.embedded.spawn import spawn
from jobledger.errors import DataDirectoryUnusable, PostgresFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobledger.embedded.folder import DataFolder

_LONGEST = 900  # bytes; Postgres keeps paths in 1024, with the names of its files
_PATIENCE_S = 300.0


def major_of(cluster: Path) -> int | None:
    """Return the major version that the data was made by, None if there is no data."""
    try:
        return int((cluster / "PG_VERSION").read_text("ascii").partition(".")[0])
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataDirectoryUnusable(
            f"{cluster} holds no readable PG_VERSION.", hint="Restore the folder, or name another by --data."
        ) from error


def check_version(cluster: Path, binaries: Binaries) -> None:
    """Raise DataDirectoryUnusable unless these programs can read the data."""
    major = major_of(cluster)
    if major is not None and major != binaries.major:
        raise DataDirectoryUnusable(
            f"The data in {cluster} was made by Postgres {major}, the programs found are {binaries.version}.",
            hint=f"Name the folder of Postgres {major} in {BIN_VARIABLE}, move the data by its pg_dump or by "
            f"`pg_upgrade`, or name another folder by --data.",
        )


@contextmanager
def reach(folder: Path, account: Account | None) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give the name under which a child finds `folder`, and the open files that it must inherit for that.

    Its plain path and none; where the account cannot get through the parents, or the path is too long, Linux's link to
    an open folder, which asks for no right on the parents. Not /proc/self/cwd: Postgres before 16 changes its working
    folder to look for its own programs. Raises DataDirectoryUnusable if there is no such name.
    """
    if len(os.fsencode(folder)) <= _LONGEST and may_reach(folder.parent, account):
        yield str(folder), ()
        return
    if sys.platform != "linux" or not Path("/proc/self/fd").exists():
        who = f"the account {account.name}" if account else "this user"
        raise DataDirectoryUnusable(
            f"The path {folder} is too long, or {who} may not enter it.",
            hint="Name a folder by --data that is shorter and open to that account, such as /var/lib/jobledger/data.",
        )
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{file}", (file,)
    finally:
        os.close(file)


def ensure_cluster(folder: DataFolder, binaries: Binaries, account: Account | None, lock: int) -> None:
    """Make the cluster with its database if there is none; under the lock. Takes under a second.

    All is made under another name and renamed at the end: killed at any moment, it leaves a cluster or none.
    """
    if folder.cluster.exists():
        return
    work = folder.root / "cluster.new"
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(mode=0o700)
        if account:
            os.chown(work, account.uid, account.gid)
        with reach(work, account) as (path, kept):
            _init(path, binaries, account, (lock, *kept))
            _create_database(path, binaries, account, (lock, *kept))
        work.rename(folder.cluster)
        _sync(folder.root)
    except OSError as error:
        raise DataDirectoryUnusable(
            f"No cluster could be made in {folder.root}: {error.strerror}.", hint=_ask_for_another()
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_stale_pid(cluster: Path) -> None:
    """Remove the postmaster.pid of a server that is gone; under the lock.

    Postgres itself only asks whether a process of that number lives, and refuses to start when it is anybody's. The
    lock says that no server started here is left; one that someone started by hand is known by its working folder.
    Raises DataDirectoryUnusable for such a one. No signal is ever sent to that number.
    """
    record = cluster / "postmaster.pid"
    try:
        first = record.read_text("ascii", errors="replace").partition("\n")[0].strip()
    except FileNotFoundError:
        return
    if first.lstrip("-").isdecimal() and _lives_in(abs(int(first)), cluster):
        raise DataDirectoryUnusable(
            f"A Postgres that jobledger did not start (process {first}) runs on {cluster}.",
            hint="Stop it by its pg_ctl, or point JOBLEDGER_DSN to it.",
        )
    record.unlink(missing_ok=True)


def _lives_in(pid: int, cluster: Path) -> bool:
    if Path("/proc/self/cwd").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cwd").samefile(cluster)
        return False
    with suppress(OSError, subprocess.SubprocessError):
        words = ["ps", "-o", "comm=", "-p", str(pid)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - ours
        return "postgres" in done.stdout
    return False


def _init(path: str, binaries: Binaries, account: Account | None, kept: tuple[int, ...]) -> None:
    # The built-in locale sorts alike on every system and never changes with one's C library.
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    locales = [builtin] if binaries.major >= 17 else [["--locale=C.UTF-8"], ["--locale=C"]]
    base = [binaries.program("initdb"), "-D", path, "-U", USER, "-A", "trust", "-E", "UTF8", "-k", "--no-instructions"]
    code, output = 1, ""
    for locale in locales:
        code, output = _run([*base, *locale], account, kept)
        if code == 0 or "invalid locale" not in output:
            break
    if code != 0:
        raise PostgresFailed(f"initdb failed: {output}", hint=_ask_for_another())


def _create_database(path: str, binaries: Binaries, account: Account | None, kept: tuple[int, ...]) -> None:
    single = [binaries.program("postgres"), "--single", "-D", path, "-c", "log_min_messages=warning", USER]
    source = (files("jobledger.embedded") / "sql" / "create_database.sql").read_bytes()
    code, output = _run(single, account, kept, source)
    if code != 0:
        raise PostgresFailed(f"The database could not be created: {output}", hint=_ask_for_another())


def _run(words: list[str], account: Account | None, kept: tuple[int, ...], text: bytes = b"") -> tuple[int, str]:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as source:
        source.write(text)
        source.seek(0)
        process = spawn(words, account=account, output=output, kept=kept, stdin=source.fileno())
        try:
            code = process.wait(_PATIENCE_S)
        except BaseException:
            process.kill()
            process.wait()
            raise
        output.seek(0)
        lines = output.read().decode("utf-8", "replace").strip().splitlines()
    return code, " ".join(line.strip() for line in lines[-6:] if line.strip())


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _ask_for_another() -> str:
    return "Name another folder by --data, or point JOBLEDGER_DSN to a running server."
