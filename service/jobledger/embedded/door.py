"""The socket: a private folder with a short path, whether someone answers there, and the DSN that leads to it."""

from __future__ import annotations

import enum
import os
import socket
import stat
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from jobledger.embedded.account import Account, may_reach
from jobledger.errors import PostgresFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobledger.embedded.folder import DataFolder

PORT = 5432  # a part of the socket's name, no port of the network
DATABASE = "jobledger"
USER = "postgres"

_LONGEST = 85  # bytes of the folder; the kernel allows 104 (macOS) or 108 for the whole, with '/.s.PGSQL.5432.lock'
_PATIENCE_S = 2.0
_CANNOT_CONNECT_NOW = b"57P03"
_STARTUP = f"user\0{USER}\0database\0{USER}\0application_name\0jobledger\0\0".encode()


class Answer(enum.Enum):
    """What a connect to the socket met."""

    READY = "ready"
    BUSY = "busy"  # a server that is starting, recovering, ending, or says nothing
    NOBODY = "nobody"


def dsn_of(place: Path, database: str = DATABASE) -> str:
    """Return a DSN that asyncpg and libpq both take; the port is named so that PGPORT does not matter."""
    return f"postgresql://{USER}@/{quote(database, safe='')}?host={quote(str(place), safe='/')}&port={PORT}"


def knock(place: Path) -> Answer:
    """Open a session and see what the server says; the only thing trusted as a sign of life. Takes at most seconds.

    Spoken by hand (startup packet, first answers), for it must work with and without a running event loop.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE_S)
        try:
            connection.connect(str(place / f".s.PGSQL.{PORT}"))
            connection.sendall(struct.pack("!ii", len(_STARTUP) + 8, 196608) + _STARTUP)
            return _hear(connection)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError, PermissionError):
            return Answer.NOBODY
        except OSError:
            return Answer.BUSY


def _hear(connection: socket.socket) -> Answer:
    with connection.makefile("rb") as stream:
        while True:
            head = stream.read(5)
            if len(head) < 5:
                return Answer.BUSY
            body = stream.read(struct.unpack("!i", head[1:])[0] - 4)
            if head[:1] == b"Z":
                connection.sendall(b"X\0\0\0\4")
                return Answer.READY
            if head[:1] == b"E":
                fields = {field[:1]: field[1:] for field in body.split(b"\0")}
                return Answer.BUSY if fields.get(b"C") == _CANNOT_CONNECT_NOW else Answer.READY


def socket_folder(folder: DataFolder, account: Account | None) -> Path:
    """Return a folder for the socket, of `account`, mode 0700: inside the data folder, else in a temporary one.

    To be called under the lock: what an earlier server left in it is removed.

    Inside, nothing sweeps it away and whoever sees the data sees the socket; but the path must be short, the account
    must get there, and the file system must know sockets. Raises PostgresFailed if no place will do.
    """
    for place in _candidates(folder):
        if len(os.fsencode(place)) > _LONGEST or not may_reach(_nearest(place.parent), account):
            continue
        with suppress(OSError):
            _own(place, account)
            clear(place)
            _try_bind(place)
            return place
    raise PostgresFailed(
        f"No folder for the socket: {folder.socket} is too long or closed, and none could be made in a temporary one.",
        hint="Name a folder with a shorter path by --data, or set TMPDIR to a folder that everybody may enter.",
    )


def _candidates(folder: DataFolder) -> Iterator[Path]:
    yield folder.socket
    known = folder.recorded_socket()
    if known is not None:
        yield known
    # Not to be foreseen, so nobody can sit on the name; the record tells it to the others, and to the next start.
    name = f"jobledger-{os.urandom(6).hex()}"
    yield from (base / name for base in dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp"))))  # noqa: S108


def _nearest(place: Path) -> Path:
    while not place.exists():
        place = place.parent
    return place


def _own(place: Path, account: Account | None) -> None:
    uid, gid = (account.uid, account.gid) if account else (os.geteuid(), os.getegid())
    with suppress(FileExistsError):
        place.mkdir(mode=0o700)
        if account:
            os.chown(place, uid, gid)
    facts = place.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != uid or facts.st_mode & 0o077:
        raise PermissionError(str(place))


def clear(place: Path) -> None:
    """Remove what a server that is gone left in its socket folder; under the lock."""
    # Like postmaster.pid, the socket's lock file stops a start when any process has the number that stands in it.
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (place / name).unlink(missing_ok=True)


def _try_bind(place: Path) -> None:
    name = place / f".try-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        attempt.bind(str(name))
    name.unlink()
