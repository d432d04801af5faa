"""The envelope of one event: the row of `jobledger.events`, without the transaction's id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 - pydantic reads the annotations at run time
from typing import Annotated, Any
from uuid import UUID  # noqa: TC003

import pydantic_core
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from jobledger.errors import MalformedEvent


def _read_json(value: object) -> object:
    """Take jsonb as the driver hands it over: decoded, or as text."""
    return pydantic_core.from_json(value) if isinstance(value, str | bytes) else value


class Event(BaseModel):
    """One fact, as the log keeps it.

    `type` is a plain string, so that a log written by a newer version can still be listed; `parse` gives the typed
    form of `data`, or the error that names the unknown type. Unknown columns are ignored.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    shard: Annotated[int, Field(ge=0)] = 0
    """0 on one machine."""
    position: Annotated[int, Field(ge=0)]
    """The number drawn from the log's sequence when the event was appended; ascending within a stream."""
    stream_id: UUID
    """The job, or the worker, kind, queue, tenant or store that the fact is about."""
    version: Annotated[int, Field(ge=1)]
    """1, 2, 3, … within the stream, without a gap."""
    type: str
    """The event's name in the past tense, such as `job.claimed`."""
    at: AwareDatetime
    """The database's clock when the event was appended."""
    tenant: str
    """Whose fact it is; `_global` for those of the system."""
    actor: str | None = None
    """Who asked for it, where a person or a program did."""
    worker: UUID | None = None
    """The worker that claimed or reported."""
    attempt: int | None = None
    """The number of the job's attempt, where one is under way."""
    data: Annotated[dict[str, Any] | None, BeforeValidator(_read_json)] = None
    """What else is to be said, by type; null where that is nothing."""

    @classmethod
    def from_columns(cls, columns: Sequence[Any]) -> Event:
        """Make one of a row's columns in the order of the fields, typed as the driver types them, `data` as JSON text.

        What the columns' types guarantee is not checked again, which takes a third of the time: for who reads the whole
        log. Raises `MalformedEvent` where `data` is no object.
        """
        facts = dict(zip(_FIELDS, columns, strict=True))
        text = facts["data"]
        if text is not None:
            facts["data"] = data = pydantic_core.from_json(text)
            if type(data) is not dict:
                return cls.from_row(facts)
        event = cls.__new__(cls)
        object.__setattr__(event, "__dict__", facts)
        object.__setattr__(event, "__pydantic_fields_set__", _GIVEN)
        object.__setattr__(event, "__pydantic_extra__", None)
        object.__setattr__(event, "__pydantic_private__", None)
        return event

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Event:
        """Read a row of the log, `data` being a dictionary or JSON text.

        Raises `MalformedEvent`, which names the columns at fault and never their values.
        """
        try:
            return cls.model_validate(dict(row))
        except ValidationError as error:
            columns = sorted({str(fault["loc"][0]) for fault in error.errors(include_input=False) if fault["loc"]})
        raise MalformedEvent(
            f"A row of the log does not fit the envelope in {', '.join(columns) or 'its form'}.",
            detail={"columns": columns},
        )


_FIELDS = tuple(Event.model_fields)
_GIVEN = set(_FIELDS)
