"""What the data of all events have in common: frozen, tolerant when read, short when written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import pydantic_core
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _as_text(value: object) -> object:
    return value if value is None or isinstance(value, str) else pydantic_core.to_json(value).decode()


def _if_measured(value: object) -> object:
    sound = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
    return value if sound else None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with an offset; ISO 8601 text in the log, UTC in Python. One without an offset is refused."""

WholeSeconds = Annotated[int, Field(ge=0)]
"""A span of time that someone set, in whole seconds: SQL reads it as an integer."""

# A worker may be of any language, and its report goes into the log as it came: what it says beside the dates that SQL
# reads must not make the stream unreadable.
Text = Annotated[str, BeforeValidator(_as_text)]
"""Text that a worker reported; what is no text is taken as its JSON."""

Measured = Annotated[float | None, BeforeValidator(_if_measured)]
"""A span of time in seconds that a worker reported; what is no such number is taken as none."""

Count = Annotated[int, Field(ge=0)]


class EventData(BaseModel):
    """The data of one event type, in its current shape.

    Keys that this version does not know are ignored, so that a newer writer breaks no older reader.
    A key that holds its default is absent from the log.
    """

    # Built when it is first used: most processes meet a few of the sixty types.
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, defer_build=True)

    TYPE: ClassVar[str]
    """The event type whose data this is."""
    VERSION: ClassVar[int] = 1
    """The shape's version, the key `v` in the log (absent = 1); raised only with an upcast from the one before."""

    def to_data(self) -> dict[str, Any] | None:
        """Return the JSON form that goes into the log: without defaults, null where nothing is left."""
        data = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        if self.VERSION > 1:
            data["v"] = self.VERSION
        return data or None
