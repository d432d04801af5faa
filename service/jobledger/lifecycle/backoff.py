"""Back-off: how long to wait before the next attempt, as values that can be compared, called and kept as JSON.

Jitter only ever shortens a delay d, to a number evenly drawn from [d x (1 - jitter), d]: so a cap is never passed, and
many jobs at the cap do not all come back at one moment. It is drawn from the operating system's own source, which is
not copied when a process forks (workers forked from one parent would else draw the same numbers); a test passes
its own `draw`.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol

from jobledger.errors import InvalidArgument

Draw = Callable[[], float]
"""A source of numbers from [0, 1)."""

DELAY_MAX_S = 366 * 24 * 3600
"""No back-off may name a longer delay than a year."""

_draw: Draw = random.SystemRandom().random


class Backoff(Protocol):
    """Any function of attempt (1 = the first has just failed), error and elapsed time, to seconds or null.

    `error` is what the handler raised, null where no exception is at hand (a time-out, an expired lease);
    `elapsed` the seconds since the job was enqueued. Null = give up: the failure is final.
    """

    def __call__(self, attempt: int, error: BaseException | None, elapsed: float, /) -> float | None:
        """Return the seconds to wait before the next attempt, or null to give up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steady(ABC):
    jitter: float = 0.0
    draw: Draw = field(default=_draw, repr=False, compare=False)

    name: ClassVar[str]

    @abstractmethod
    def delay_s(self, attempt: int) -> float | None:
        """Return the delay before jitter; the longest that this attempt can get."""

    def __call__(self, attempt: int, error: BaseException | None = None, elapsed: float = 0.0, /) -> float | None:  # noqa: ARG002 - the back-off of any error at any time
        """Return the seconds to wait before the next attempt, or null to give up."""
        delay = self.delay_s(attempt)
        return None if delay is None else delay * (1 - self.jitter * self.draw())

    def to_data(self) -> dict[str, Any]:
        """Return the JSON form, as it is stored with a job and read by SQL: `type`, and every parameter."""
        data: dict[str, Any] = {"type": self.name}
        for parameter in fields(self):
            if parameter.name != "draw":
                value = getattr(self, parameter.name)
                data[parameter.name] = list(value) if isinstance(value, tuple) else value
        return data

    def _check_jitter(self) -> None:
        _check("jitter", self.jitter, 0, 1)


@dataclass(frozen=True, slots=True)
class Exponential(_Steady):
    """base, base x factor, base x factor², … seconds, never more than cap."""

    base: float = 1.0
    factor: float = 2.0
    cap: float = 3600.0
    jitter: float = field(default=0.1, kw_only=True)

    name: ClassVar[str] = "exponential"

    def __post_init__(self) -> None:
        """Refuse parameters out of their bounds with `InvalidArgument`."""
        _check("base", self.base, 0, DELAY_MAX_S)
        _check("factor", self.factor, 1, 1000)
        _check("cap", self.cap, 0, DELAY_MAX_S)
        self._check_jitter()

    def delay_s(self, attempt: int) -> float:
        """Return the delay before jitter; the longest that this attempt can get."""
        if self.base == 0:
            return 0.0
        try:
            return min(self.cap, self.base * float(self.factor) ** (max(attempt, 1) - 1))
        except OverflowError:  # a late attempt, far past the cap
            return self.cap


@dataclass(frozen=True, slots=True)
class Linear(_Steady):
    """step, 2 x step, 3 x step, … seconds, never more than cap."""

    step: float = 10.0
    cap: float = 3600.0
    jitter: float = field(default=0.1, kw_only=True)

    name: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        """Refuse parameters out of their bounds with `InvalidArgument`."""
        _check("step", self.step, 0, DELAY_MAX_S)
        _check("cap", self.cap, 0, DELAY_MAX_S)
        self._check_jitter()

    def delay_s(self, attempt: int) -> float:
        """Return the delay before jitter; the longest that this attempt can get."""
        return min(self.cap, self.step * max(attempt, 1))


@dataclass(frozen=True, slots=True)
class Fixed(_Steady):
    """The same number of seconds every time."""

    delay: float

    name: ClassVar[str] = "fixed"

    def __post_init__(self) -> None:
        """Refuse parameters out of their bounds with `InvalidArgument`."""
        _check("delay", self.delay, 0, DELAY_MAX_S)
        self._check_jitter()

    def delay_s(self, attempt: int) -> float:  # noqa: ARG002 - the same for every attempt
        """Return the delay before jitter; the longest that this attempt can get."""
        return self.delay


@dataclass(frozen=True, slots=True)
class Table(_Steady):
    """One delay in seconds for each attempt; past the end the last one again, or (`ends`) no more attempts.

    An empty table that ends never tries again.
    """

    delays: Sequence[float]
    ends: bool = False

    name: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        """Refuse parameters out of their bounds with `InvalidArgument`."""
        if isinstance(self.delays, str) or not isinstance(self.delays, Sequence) or len(self.delays) > 1000:
            raise InvalidArgument("The delays of a back-off table are a list of at most 1000 numbers.")
        if not self.delays and not self.ends:
            raise InvalidArgument("A back-off table without delays has to end.")
        for delay in self.delays:
            _check("delay", delay, 0, DELAY_MAX_S)
        object.__setattr__(self, "delays", tuple(self.delays))
        self._check_jitter()

    def delay_s(self, attempt: int) -> float | None:
        """Return the delay before jitter; the longest that this attempt can get."""
        position = max(attempt, 1) - 1
        if position < len(self.delays):
            return self.delays[position]
        return None if self.ends else self.delays[-1]


_BY_NAME: Mapping[str, type[Exponential | Linear | Fixed | Table]] = {
    policy.name: policy for policy in (Exponential, Linear, Fixed, Table)
}


def to_data(backoff: Backoff) -> dict[str, Any]:
    """Return the JSON form of a back-off. Raises `InvalidArgument` for a function of the caller's own: it has none."""
    if isinstance(backoff, _Steady):
        return backoff.to_data()
    raise InvalidArgument(
        "A function cannot be stored with a job as its back-off.",
        hint="Use Exponential, Linear, Fixed or Table, or give the function to the kind.",
    )


def from_data(data: Mapping[str, Any]) -> Exponential | Linear | Fixed | Table:
    """Return the back-off of a JSON form; parameters left out have their defaults, unknown ones are refused.

    Raises `InvalidArgument`, which names the parameter and its bounds, never the value.
    """
    policy = _BY_NAME.get(data["type"]) if isinstance(data, Mapping) and isinstance(data.get("type"), str) else None
    if policy is None:
        raise InvalidArgument(f"A back-off has a type: {', '.join(_BY_NAME)}.", detail={"parameter": "type"})
    parameters = {key: value for key, value in data.items() if key != "type"}
    known = {parameter.name for parameter in fields(policy)} - {"draw"}
    if not parameters.keys() <= known:
        raise InvalidArgument(f"A back-off of type {policy.name} has the parameters {', '.join(sorted(known))}.")
    if not isinstance(parameters.get("ends", False), bool):
        raise InvalidArgument("A back-off table's `ends` is true or false.", detail={"parameter": "ends"})
    try:
        return policy(**parameters)
    except TypeError:
        raise InvalidArgument(f"A back-off of type {policy.name} lacks a parameter it needs.") from None


def _check(parameter: str, value: object, low: float, high: float) -> None:
    sound = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not sound:
        raise InvalidArgument(
            f"A back-off's {parameter} is a number from {low} to {high}.",
            detail={"parameter": parameter, "low": low, "high": high},
        )
