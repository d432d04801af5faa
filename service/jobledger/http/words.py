"""What several requests and answers say alike: names, reasons, where to go on, which events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import AwareDatetime, Field, model_validator

from jobledger.events.cloudevent import PREFIX
from jobledger.http.route import Document

if TYPE_CHECKING:
    from jobledger.http.access import Access

TYPES_MOST: Final = 100

Name = Annotated[str, Field(min_length=1, max_length=256)]
Reason = Annotated[str | None, Field(max_length=2_000, description="Why, for the record.")]


class Why(Document):
    """Why, for the record."""

    reason: Reason = None


class Reset(Document):
    """Where it is to go on; from where it was, where nothing is said."""

    after: Name | None = Field(None, description="Behind this cursor.")
    at: AwareDatetime | None = Field(None, description="At this time.")
    from_start: bool = False
    from_end: bool = False
    reason: Reason = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.after is not None) + (self.at is not None) + self.from_start + self.from_end > 1:
            raise ValueError("one of after, at, from_start and from_end")
        return self


class Changed(Document):
    """Whether anything changed; false where it was so already."""

    changed: bool


class OfEvents(Document):
    """Which events are asked for."""

    tenant: str | None = Field(None, description="Only this tenant's; the key's own where it has one.")
    owner: str | None = Field(None, description="Only of jobs that were enqueued for this owner.")
    queue: str | None = Field(None, description="Only of jobs that were enqueued into this queue.")
    type: list[str] | None = Field(
        None, max_length=TYPES_MOST, description="Names of events, such as job.failed; may be given several times."
    )

    def wanted(self, access: Access) -> dict[str, Any]:
        """Return it as the client takes it: of what the bearer may see."""
        return {
            "tenant": access.tenant(self.tenant),
            "owner": access.owner_of(self.owner),
            "queue": self.queue,
            "types": None if self.type is None else [name.removeprefix(PREFIX) for name in self.type],
        }
