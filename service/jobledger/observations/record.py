"""The record of one thing that happened, and who hears of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, TypeVar

_log = logging.getLogger("jobledger.observations")


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that happened. `topic` is the class's name in snake case, stable, for logs and metrics."""

    topic: ClassVar[str] = "observation"

    def __init_subclass__(cls) -> None:
        """Name the topic after the class."""
        cls.topic = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()


Listener = Callable[[Observation], None]
O = TypeVar("O", bound=Observation)  # noqa: E741 - a type variable of one letter, as the language's own

listeners: list[Listener] = []
_faulty: set[Listener] = set()


def emit(observation: Observation) -> None:
    """Hand the record to every listener, in the order in which they subscribed.

    What a listener raises never reaches the caller; the first fault of each listener is logged.
    """
    for listener in tuple(listeners):
        try:
            listener(observation)
        except Exception:  # noqa: BLE001 - a listener must not be able to stop the work it looks at
            if listener not in _faulty:
                _faulty.add(listener)
                _log.exception(
                    "a listener failed at %s; it stays subscribed, and is not reported again", observation.topic
                )


def subscribe(listener: Listener) -> Callable[[], None]:
    """Call `listener` with every record from now on, in the thread that emits it; return the way to stop.

    A listener must not block: it runs inside the worker's loop. Stopping twice does nothing.
    """
    listeners.append(listener)

    def unsubscribe() -> None:
        if listener in listeners:
            listeners.remove(listener)
        _faulty.discard(listener)

    return unsubscribe


@contextmanager
def observing(*kinds: type[O]) -> Iterator[list[O]]:
    """Collect the records of the given kinds (all of them when none is given) that are emitted inside the block."""
    wanted = kinds or (Observation,)
    seen: list[O] = []
    unsubscribe = subscribe(lambda observation: seen.append(observation) if isinstance(observation, wanted) else None)  # type: ignore[arg-type]
    try:
        yield seen
    finally:
        unsubscribe()
