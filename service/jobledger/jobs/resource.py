"""A kind as a resource of its own name: what of its jobs the outside sees, in words of the application's own."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from jobledger.errors import InvalidArgs, InvalidArgument, JobledgerError
from jobledger.store.failures import translated
from jobledger.store.filters import STATES
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from jobledger.jobs.kind import Job
    from jobledger.store.pool import Connection

R = TypeVar("R")

RESOURCE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
PUBLIC_STATES: Final = {
    **dict.fromkeys(("scheduled", "blocked", "ready", "suspended", "parked"), "waiting"),
    "running": "running",
    "succeeded": "done",
    **dict.fromkeys(("failed", "killed"), "failed"),
    "cancelled": "cancelled",
}
"""The public word for each state, where a resource states no other."""
_FAILED: Final = ("failed", "killed")
_UNREADABLE: Final = "The result can no longer be read."


@dataclass(frozen=True)
class PublicJob(Generic[R]):
    """What may be told of a job outside: nothing of its arguments, attempts, workers and tracebacks.

    state: in the resource's own words
    created_at; due_at: when it may begin, while it waits; started_at: the attempt that runs, or ran last; ended_at
    progress, message, detail: what the handler said last in this attempt
    result: of the handler's declared type, once it has succeeded
    error: a sentence, once it has failed
    """

    id: UUID
    state: str
    created_at: datetime
    due_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    progress: Any = None
    message: str | None = None
    detail: Any = None
    result: R | None = None
    error: str | None = None


_FIELDS: Final = frozenset(field.name for field in fields(PublicJob))


@dataclass(frozen=True, slots=True)
class Resource:
    """What `@app.resource(…)` states. `states` has the public word for every state, `error` that of all other errors.

    Raises:
        InvalidArgument: the name, a state's word, or a field of the public model cannot be one; says which and why.
    """

    name: str
    job: Job[..., Any]
    public: type[BaseModel]
    view: Callable[[PublicJob[Any]], BaseModel] | None
    states: Mapping[str, str]
    errors: Mapping[str, str]
    error: str

    def __post_init__(self) -> None:
        """Refuse what would fail later, at the first request."""
        if not isinstance(self.name, str) or not RESOURCE_NAME.match(self.name):
            raise InvalidArgument("A resource's name has 1 to 63 of a-z 0-9 _ - and begins with a letter.")
        if not (isinstance(self.public, type) and issubclass(self.public, BaseModel)):
            raise InvalidArgument(f"{self.name}: public is a pydantic model.")
        if set(self.states) != set(STATES) or not all(_is_word(word) for word in self.states.values()):
            raise InvalidArgument(
                f"{self.name}: states gives states a word each, of a-z 0-9 _ -.",
                hint=f"States are: {', '.join(STATES)}.",
            )
        if not all(isinstance(text, str) for text in (self.error, *self.errors, *self.errors.values())):
            raise InvalidArgument(f"{self.name}: errors gives types or classes of errors a sentence each.")
        if self.view is None:
            self._check_fields()
        elif not callable(self.view):
            raise InvalidArgument(f"{self.name}: view is a function of a PublicJob.")

    @property
    def words(self) -> list[str]:
        """The public states, each once."""
        return list(dict.fromkeys(self.states.values()))

    @property
    def kinds(self) -> list[str]:
        """The names under which its jobs lie in the log."""
        return [self.job.name, *self.job.declaration.aliases]

    def meant(self, words: Sequence[str] | None) -> list[str]:
        """Return the states that public words mean; all for None."""
        return [state for state, word in self.states.items() if words is None or word in words]

    def shown(self, job: PublicJob[Any]) -> BaseModel:
        """Return what the outside sees of a job.

        Raises:
            JobledgerError: the resource's own function, or its model, does not take it; without the values.
        """
        try:
            if self.view is not None:
                return self.public.model_validate(self.view(job))
            names = {name: field.validation_alias or name for name, field in self.public.model_fields.items()}
            return self.public.model_validate({str(alias): getattr(job, name) for name, alias in names.items()})
        except ValidationError as error:
            places = sorted({".".join(map(str, one["loc"])) for one in error.errors(include_input=False)})
            raise JobledgerError(
                f"A job is not what the resource {self.name} may show.", detail={"fields": places}
            ) from None

    def read(self, row: Mapping[str, Any]) -> PublicJob[Any]:
        """Return what may be told of a job from the columns of `public_jobs`."""
        state = row["state"]
        told = orjson.loads(row["progress"]) if row["progress"] is not None else {}
        error = self._sentence(row) if state in _FAILED else None
        result = None
        if state == "succeeded":
            try:
                result = self.job.returns.load(row["result"])
            except InvalidArgs:
                error = _UNREADABLE
        return PublicJob(
            id=row["id"],
            state=self.states[state],
            created_at=row["enqueued_at"],
            due_at=row["run_at"] if state in ("scheduled", "ready") else None,
            started_at=row["began_at"],
            ended_at=row["finished_at"],
            progress=told.get("progress"),
            message=told.get("message"),
            detail=told.get("detail"),
            result=result,
            error=error,
        )

    def _sentence(self, row: Mapping[str, Any]) -> str:
        known = (row["error_type"], row["error_class"], row["state"])
        return next((self.errors[name] for name in known if name in self.errors), self.error)

    def _check_fields(self) -> None:
        unknown = [name for name in self.public.model_fields if name not in _FIELDS]
        if unknown:
            raise InvalidArgument(
                f"{self.name}: {', '.join(unknown)} is nothing that is told of every job.",
                hint=f"Fields by themselves are {', '.join(sorted(_FIELDS))}; others need view=, a function.",
            )
        shown = self.public.model_fields.get("state")
        annotation: Any = shown.annotation if shown is not None else str
        for word in self.words:
            try:
                TypeAdapter(annotation).validate_python(word)
            except ValidationError:
                raise InvalidArgument(f"{self.name}: the model's state does not take the word {word}.") from None


async def public_jobs(connection: Connection, shard: int, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return the rows of `public_jobs` by id, of every tenant and kind: whose they are is the caller's to look at."""
    if not ids:
        return {}
    with translated():
        rows = await connection.fetch(statement("jobs/public_jobs"), shard, list(ids))
    return {row["id"]: dict(row) for row in rows}


def _is_word(word: object) -> bool:
    return isinstance(word, str) and _WORD.match(word) is not None
