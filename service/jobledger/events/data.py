"""What the data of all events have in common: frozen, tolerant when read, short when written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with an offset; ISO 8601 text in the log, UTC in Python. One without an offset is refused."""

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A measured span of time in seconds, never negative."""

WholeSeconds = Annotated[int, Field(ge=0)]
"""A span of time that someone set, in whole seconds: SQL reads it as an integer."""

Count = Annotated[int, Field(ge=0)]


class EventData(BaseModel):
    """The data of one event type, in its current shape.

    Keys that this version does not know are ignored, so that a newer writer breaks no older reader.
    A key that holds its default is absent from the log.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

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
