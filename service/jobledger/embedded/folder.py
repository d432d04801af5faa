"""The data folder: what lies where, whose it is, and the lock that says whether a server lives in it.

    DATA/lock           locked while any process of a server, or of its making, lives
    DATA/server.json    where the socket is
    DATA/postgres.log   what Postgres says; the previous one ends in .1
    DATA/cluster/       Postgres's own folder, of the account that it runs as
    DATA/socket/        its socket, where the path is short enough and that account can get there

Run by root, everything but the last two belongs to root: the account could otherwise plant a link where root writes.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from jobledger.errors import DataDirectoryUnusable

_LOG_LIMIT = 10 * 1024 * 1024
_IGNORED = frozenset({"lost+found", ".DS_Store"})


def default_data_directory() -> Path:
    """Return where data lies when nobody says: per machine for root, per user for all others."""
    if os.geteuid() == 0:
        return Path("/var/lib/jobledger/data")
    home = os.environ.get("XDG_DATA_HOME", "")
    if home.startswith("/"):
        return Path(home) / "jobledger" / "data"
    try:
        base = Path.home()
    except RuntimeError as error:
        raise DataDirectoryUnusable("This user has no home folder.", hint="Name a folder by --data.") from error
    if sys.platform == "darwin":
        return base / "Library" / "Application Support" / "jobledger" / "data"
    return base / ".local" / "share" / "jobledger" / "data"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """One data folder of jobledger."""

    root: Path

    @property
    def cluster(self) -> Path:
        """Postgres's own folder."""
        return self.root / "cluster"

    @property
    def log(self) -> Path:
        """What Postgres says."""
        return self.root / "postgres.log"

    @property
    def socket(self) -> Path:
        """The socket's folder, if the path will do."""
        return self.root / "socket"

    @property
    def _lock(self) -> Path:
        return self.root / "lock"

    @property
    def _state(self) -> Path:
        return self.root / "server.json"

    def claim(self) -> None:
        """Make the folder, or check that it is ours or empty. Raises DataDirectoryUnusable."""
        try:
            # Run by root it must let the account through to its own folder; the contents stay closed.
            self.root.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            names = {path.name for path in self.root.iterdir()}
            facts = self.root.stat()
        except OSError as error:
            raise self._unusable(error) from error
        if "lock" not in names and names - _IGNORED:
            raise DataDirectoryUnusable(
                f"{self.root} is neither empty nor a data folder of jobledger.",
                hint="Name an empty or a new folder by --data.",
            )
        if facts.st_uid not in (os.geteuid(), 0) or (os.geteuid() == 0 and facts.st_mode & 0o022):
            # Root would follow links that another account may plant in it.
            raise DataDirectoryUnusable(
                f"{self.root} belongs to another user, or others may write to it.",
                hint="Start as the user that it belongs to, or name another folder by --data.",
            )

    def try_lock(self) -> int | None:
        """Return an open file that holds the lock, None if a server or another starting process holds it.

        The lock belongs to the open file, and each child that inherits it keeps it: so it is free exactly when no
        process of an earlier server is left, not even a backend whose postmaster was killed. No pid is trusted.
        """
        try:
            file = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        except OSError as error:
            os.close(file)
            raise self._unusable(error) from error
        return file

    def recorded_socket(self) -> Path | None:
        """Return the folder of the socket of the last server here, which may be gone; None if none is recorded."""
        try:
            state = json.loads(self._state.read_text("utf-8"))
            # A copied folder carries the record of the original: its socket would lead to the original's data.
            return self.root / state["socket"] if state["folder"] == self._identity() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def safe_socket(self) -> Path | None:
        """Return the recorded folder if it stands and only this user and the server's account can write to it."""
        place = self.recorded_socket()
        with suppress(OSError):
            if place is not None and self._is_private(place):
                return place
        return None

    def record_socket(self, place: Path) -> None:
        """Keep the folder of the socket for processes that come to share the server."""
        name = "socket" if place == self.socket else str(place)
        text = json.dumps({"socket": name, "folder": self._identity()})
        handle, path = tempfile.mkstemp(dir=self.root, prefix=".server-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(path).replace(self._state)

    def open_log(self) -> IO[bytes]:
        """Open the log to append to; only its owner may read it."""
        file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        return os.fdopen(file, "ab", buffering=0)

    def turn_log(self) -> int:
        """Put a log over 10 MB aside; return the size of what is there, from which the next server's words begin."""
        try:
            size = self.log.stat().st_size
        except FileNotFoundError:
            return 0
        if size < _LOG_LIMIT:
            return size
        self.log.replace(self.log.with_name("postgres.log.1"))
        return 0

    def _identity(self) -> list[int]:
        facts = self.root.stat()
        return [facts.st_dev, facts.st_ino]

    def _is_private(self, place: Path) -> bool:
        facts = place.lstat()
        owners = (os.geteuid(), self.cluster.stat().st_uid)
        return stat.S_ISDIR(facts.st_mode) and facts.st_uid in owners and not facts.st_mode & 0o077

    def _unusable(self, error: OSError) -> DataDirectoryUnusable:
        return DataDirectoryUnusable(
            f"{self.root} cannot be used as data folder: {error.strerror}.",
            hint=f"Name a folder by --data that this user may write to, such as {_suggestion(self.root)}.",
        )


def _suggestion(refused: Path) -> Path:
    try:
        usual = default_data_directory()
    except DataDirectoryUnusable:
        usual = refused
    return Path(tempfile.gettempdir()) / "jobledger" if usual == refused else usual
