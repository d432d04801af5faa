"""An event as it travels: CloudEvents 1.0, for streams, replays, webhooks, and back.

What CloudEvents has a name for stands under that name; the rest of the envelope are extension attributes. A position of
the log tells how much everybody does, so it is there only where the reader may see every tenant.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal
from urllib.parse import unquote
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations at run time

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from jobledger.errors import MalformedEvent
from jobledger.events.envelope import Event

PREFIX: Final = "dev.jobledger."
SOURCE: Final = "/jobledger/"
MEDIA: Final = "application/cloudevents+json"
_NO_TEXT: Final = re.compile("[%\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
"""What no text attribute may have, and the sign by which it is written."""


class CloudEvent(BaseModel):
    """An event of the log in the form of CloudEvents 1.0. Attributes that do not apply are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(description="The stream's id and the event's number in it, as `stream/version`; it stays the same.")
    source: str = Field(description="The log: `/jobledger/` and the shard.")
    type: str = Field(description="`dev.jobledger.` and the event's name, such as `dev.jobledger.job.failed`.")
    subject: str = Field(description="What it is about: `job/<id>`, `worker/<id>`, `queue/<id>` and so on.")
    time: AwareDatetime = Field(description="The database's clock when it was appended.")
    datacontenttype: Literal["application/json"] | None = Field(None, description="There where there are data.")
    data: dict[str, Any] | None = Field(None, description="What else is to be said, by type: docs/events.md.")
    tenant: str = Field(description="Whose event it is; `_global` for those of the system.")
    streamversion: int = Field(description="1, 2, 3, … within the stream, without a gap.")
    actor: str | None = Field(None, description="Who asked for it; percent-encoded where it has control characters.")
    worker: UUID | None = Field(None, description="The worker that claimed or reported.")
    attempt: int | None = Field(None, description="The number of the job's attempt, where one is under way.")
    position: str | None = Field(None, description="Its number in the log; only for who may see every tenant.")
    cursor: str | None = Field(None, description="Where to go on behind it, where it came from a stream of lines.")

    @classmethod
    def of(cls, event: Event, *, whole: bool = False, cursor: str | None = None) -> CloudEvent:
        """Return an event in this form; `whole` for who may see every tenant's."""
        facts: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"{event.stream_id}/{event.version}",
            "source": f"{SOURCE}{event.shard}",
            "type": PREFIX + event.type,
            "subject": f"{event.type.partition('.')[0]}/{event.stream_id}",
            "time": event.at,
            "tenant": event.tenant,
            "streamversion": event.version,
        }
        if event.data is not None:
            facts |= {"datacontenttype": "application/json", "data": event.data}
        if event.actor is not None:
            facts["actor"] = _NO_TEXT.sub(lambda found: _encoded(found[0]), event.actor)
        facts |= {name: value for name in ("worker", "attempt") if (value := getattr(event, name)) is not None}
        if whole:
            facts["position"] = str(event.position)
        if cursor is not None:
            facts["cursor"] = cursor
        # What comes from an event needs no check, and only what is stated is written.
        return cls.model_construct(set(facts), **facts)

    def json_text(self) -> bytes:
        """Return it as JSON on one line, in UTF-8."""
        return self.__pydantic_serializer__.to_json(self, exclude_unset=True)

    def event(self) -> Event:
        """Return the event of the log that this is; its position is 0 where it was not told.

        Raises:
            MalformedEvent: it is none of this log's.
        """
        stream, _, version = self.id.rpartition("/")
        facts = {
            "shard": self.source.removeprefix(SOURCE),
            "position": self.position or 0,
            "stream_id": stream,
            "version": version,
            "type": self.type.removeprefix(PREFIX),
            "at": self.time,
            "actor": None if self.actor is None else unquote(self.actor),
            **{name: getattr(self, name) for name in ("tenant", "worker", "attempt", "data")},
        }
        return Event.from_row(facts)


def read_event(document: str | bytes | dict[str, Any]) -> CloudEvent:
    """Read a CloudEvent, JSON or decoded; what it does not know is ignored. Raises `MalformedEvent`."""
    try:
        if isinstance(document, dict):
            return CloudEvent.model_validate(document)
        return CloudEvent.model_validate_json(document)
    except ValidationError as error:
        names = sorted({str(fault["loc"][0]) for fault in error.errors(include_input=False) if fault["loc"]})
    raise MalformedEvent(
        f"A CloudEvent does not fit in {', '.join(names) or 'its form'}.", detail={"attributes": names}
    )


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
