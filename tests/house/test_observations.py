"""Observations: what a listener gets, and what it can never do to the one who emits."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from pathlib import Path

import pytest

from jobledger import observations
from jobledger.ids import new_id
from jobledger.observations import (
    VOCABULARY,
    JobKilled,
    JobsEnqueued,
    Observation,
    emit,
    listeners,
    observing,
    subscribe,
)


def test_with_nobody_listening_the_list_is_falsy() -> None:
    """The check that stands before every emission is false when nobody listens, before and after a subscription."""
    assert not listeners
    unsubscribe = subscribe(lambda _observation: None)
    assert listeners
    unsubscribe()
    unsubscribe()
    assert not listeners
    assert observations.listeners is listeners


def test_every_listener_gets_every_record_in_order() -> None:
    """Records arrive in the order of emission, at each listener."""
    first: list[Observation] = []
    second: list[Observation] = []
    stops = [subscribe(first.append), subscribe(second.append)]
    sent = [JobsEnqueued(1, "acme"), JobsEnqueued(2, None)]
    for record in sent:
        emit(record)
    for stop in stops:
        stop()
    emit(JobsEnqueued(3, None))
    assert first == second == sent


def test_a_failing_listener_never_reaches_the_emitter(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged once, the others still get the record."""

    def fails(_observation: Observation) -> None:
        raise RuntimeError("broken listener")

    stop = subscribe(fails)
    with caplog.at_level(logging.ERROR, "jobledger.observations"), observing(Observation) as seen:
        emit(JobsEnqueued(1, None))
        emit(JobsEnqueued(2, None))
    stop()
    assert len(seen) == 2
    assert len(caplog.records) == 1


def test_observing_keeps_the_kinds_that_were_asked_for() -> None:
    """Other kinds pass by, and after the block nothing is collected."""
    killed = JobKilled(new_id(), "acme", "service")
    with observing(JobKilled) as seen:
        emit(JobsEnqueued(1, None))
        emit(killed)
    emit(killed)
    assert seen == [killed]
    assert not listeners


@pytest.mark.parametrize("kind", VOCABULARY.values(), ids=list(VOCABULARY))
def test_each_record_is_frozen_slotted_and_says_what_happened(kind: type[Observation]) -> None:
    """A record cannot be changed by a listener, holds nothing beside its fields, and its docstring is a sentence."""
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(kind)
    assert (inspect.getdoc(kind) or "").endswith(".")


def test_topics_are_stable_snake_case_names() -> None:
    """Logs and metrics depend on these names."""
    assert JobsEnqueued.topic == "jobs_enqueued"
    assert JobsEnqueued(1, None).topic == "jobs_enqueued"
    assert len(VOCABULARY) == sum(map(_declared, Path(observations.__file__).parent.glob("*.py")))


def _declared(module: Path) -> int:
    return module.read_text().count("(Observation):")
