"""Reads logs of the Standard Workload Format (SWF 2.2): one line a job, 18 fields, header comments that begin with `;`.

The format: https://www.cs.huji.ac.il/labs/parallel/workload/swf.html. What matters for a replay is each record's
submit time, run time, status and user; the header's acknowledgements are kept, because its authors ask to be named.

Statuses: 1 completed, 0 failed, 5 cancelled, -1 unknown. 2, 3 and 4 mark *parts* of a job that was checkpointed or
swapped out; the format gives such a job one summary record (status 0 or 1, the whole run time) and then one record a
part. A part is not a job, so parts are read, counted and left out of the jobs.
"""

from __future__ import annotations

import enum
import gzip
import math
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobledger.errors import InvalidFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDS_MAX: Final = 2_000_000
LINE_CHARS_MAX: Final = 10_000

FIELDS: Final = (
    "job number",
    "submit time",
    "wait time",
    "run time",
    "allocated processors",
    "average CPU time",
    "used memory",
    "requested processors",
    "requested time",
    "requested memory",
    "status",
    "user",
    "group",
    "executable",
    "queue",
    "partition",
    "preceding job",
    "think time",
)
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_ACKNOWLEDGING: Final = ("computer", "installation", "acknowledge", "information", "conversion")


class Status(enum.IntEnum):
    """How a record says that its job ended."""

    UNKNOWN = -1
    FAILED = 0
    COMPLETED = 1
    PART_TO_BE_CONTINUED = 2
    PART_LAST_COMPLETED = 3
    PART_LAST_FAILED = 4
    CANCELLED = 5

    @property
    def is_part(self) -> bool:
        """Say whether the record is a part of a job whose summary is another record."""
        return self in (Status.PART_TO_BE_CONTINUED, Status.PART_LAST_COMPLETED, Status.PART_LAST_FAILED)


_STATUSES: Final = frozenset(Status)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log: times in seconds; a run time that the log does not know (-1) is 0 and `run_known` false."""

    line: int
    number: int
    submit_s: float
    run_s: float
    run_known: bool
    processors: int
    status: Status
    user: int


@dataclass(frozen=True, slots=True)
class Log:
    """A whole file: its header lines as they stand, and its records in the order of submission."""

    name: str
    header: tuple[str, ...]
    records: tuple[Record, ...]

    def acknowledgements(self) -> list[str]:
        """Return the header's lines that name where the log comes from and who is to be thanked, without the `;`."""
        lines: list[str] = []
        open_label = False
        for raw in self.header:
            text = raw.lstrip(";").strip()
            label, colon, _ = text.partition(":")
            if colon and re.fullmatch(r"[A-Za-z]+", label) and label.lower() not in ("http", "https"):
                open_label = label.lower() in _ACKNOWLEDGING
                if open_label:
                    lines.append(text)
            elif open_label and text:
                lines[-1] += f", {text}"
            else:
                open_label = False
        return lines


def read(path: Path) -> Log:
    """Read an SWF file, plain or gzipped (told by its content, not its name).

    Raises `InvalidFile`: the file is missing, unreadable, cut off, holds no record, or has a line that is no record;
    the message names the file and the line's number.
    """
    header: list[str] = []
    records: list[Record] = []
    for number, line in enumerate(_lines(path), start=1):
        text = line.strip()
        if not text:
            continue
        if text.startswith(";"):
            if not records:
                header.append(text)
            continue
        if len(records) == RECORDS_MAX:
            raise _bad(path, number, f"more than {RECORDS_MAX:,} records")
        records.append(_record(path, number, text))
    if not records:
        raise InvalidFile(f"{path.name} holds no record.", detail={"file": path.name})
    records.sort(key=lambda record: record.submit_s)  # the sort is stable: equal times keep the file's order
    return Log(path.name, tuple(header), tuple(records))


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as probe:
            zipped = probe.read(2) == b"\x1f\x8b"
        # Old headers are in whatever code page their site had; the records are ASCII and checked field by field.
        with gzip.open(path, "rt", encoding="latin-1") if zipped else path.open(encoding="latin-1") as file:
            number = 0
            while line := file.readline(LINE_CHARS_MAX + 1):
                number += 1
                if len(line) > LINE_CHARS_MAX:
                    raise _bad(path, number, f"longer than {LINE_CHARS_MAX:,} characters")
                yield line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidFile(f"{path.name} is cut off or not a sound gzip file.", detail={"file": path.name}) from error
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InvalidFile(f"{path.name} cannot be read: {reason}.", detail={"file": path.name}) from error


def _record(path: Path, line: int, text: str) -> Record:
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise _bad(path, line, f"{len(fields)} fields, a record has {len(FIELDS)}")
    values: list[float] = []
    for position, (name, field) in enumerate(zip(FIELDS, fields, strict=True), start=1):
        if not _NUMBER.fullmatch(field):
            raise _bad(path, line, f"field {position} ({name}) is not a number")
        values.append(float(field))
    submit_s, run_s = values[1], values[3]
    if submit_s < 0:
        raise _bad(path, line, "field 2 (submit time) is negative")
    if run_s < 0 and run_s != -1:
        raise _bad(path, line, "field 4 (run time) is negative and not -1")
    if values[10] not in _STATUSES:
        raise _bad(path, line, "field 11 (status) is none of -1, 0, 1, 2, 3, 4, 5")
    return Record(
        line=line,
        number=math.trunc(values[0]),
        submit_s=submit_s,
        run_s=max(run_s, 0.0),
        run_known=run_s >= 0,
        processors=math.trunc(values[4]),
        status=Status(int(values[10])),
        user=math.trunc(values[11]),
    )


def _bad(path: Path, line: int, what: str) -> InvalidFile:
    return InvalidFile(f"{path.name}, line {line}: {what}.", detail={"file": path.name, "line": line})
