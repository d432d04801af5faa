"""Places: what each queue of a worker may still give, whatever is under way, and what a short answer says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.store.claim import ClaimedJob
from jobledger.worker.places import Places

if TYPE_CHECKING:
    from collections.abc import Sequence


def of(*queues: str) -> Sequence[ClaimedJob]:
    """Return claimed jobs of these queues; nothing else of them is looked at."""
    return [ClaimedJob._make([None, None, queue, *[None] * 11]) for queue in queues]


def test_two_claims_under_way_are_not_given_the_same_places() -> None:
    """What one asks of a limited queue the other may not; answered or given up, it is free again."""
    places = Places({"narrow": 3, "wide": None}, lambda: ["narrow"])
    first = places.ask(10)
    assert first == {"narrow": 2, "wide": 10}
    second = places.ask(10)
    assert second == {"narrow": 0, "wide": 10}
    places.answered(first, 10, of("narrow"))
    assert places.ask(1) == {"narrow": 1, "wide": 1}
    places.given_up(second)
    assert places.ask(10) == {"narrow": 1, "wide": 10}


def test_room_is_what_all_queues_have_together() -> None:
    """Limited queues that are full leave none; one without a limit leaves all of it."""
    assert Places(None, list).room(7) == 7
    assert Places({"a": None}, list).room(7) == 7
    assert Places({"a": 2, "b": 3}, lambda: ["a", "a", "b"]).room(7) == 2
    assert Places({"a": 2}, lambda: ["a", "a"]).room(7) == 0
    assert Places({"a": 2, "b": None}, lambda: ["a", "a"]).room(7) == 7


def test_a_queue_that_gave_all_it_might_is_freed_with_its_places() -> None:
    """And only such a queue; the others' answer is judged without it."""
    inside: list[str] = []
    places = Places({"narrow": 2, "wide": 8}, lambda: inside)
    drawn = places.answered(places.ask(10), 10, of("narrow", "narrow"))
    assert drawn == (8, 0)
    inside[:] = ["narrow", "narrow"]
    assert not places.freed
    drawn = places.answered(places.ask(8), 8, of())  # the narrow one was not asked: nothing new is known of it
    assert drawn == (8, 0)
    inside.pop()
    assert places.freed
    under_way = places.ask(9)
    assert not places.freed
    drawn = places.answered(under_way, 9, of())
    assert drawn == (9, 0)
    assert not places.freed


def test_after_a_fault_no_queue_ends_the_wait() -> None:
    """The wait is the database's then, not a queue's."""
    places = Places({"narrow": 1}, list)
    places.answered(places.ask(1), 1, of("narrow"))
    assert places.freed
    places.given_up(places.ask(1))
    assert not places.freed


def test_a_claim_of_one_named_job_gives_its_places_back_and_says_nothing_of_its_queue() -> None:
    """The queue is not taken for one that gave all it might; one that was, stays so."""
    places = Places({"wide": 5}, list)
    asked = places.ask(1)
    places.returned(asked)
    assert not places.freed
    assert places.ask(9) == {"wide": 5}
    narrow = Places({"narrow": 1}, list)
    narrow.answered(narrow.ask(1), 1, of("narrow"))
    narrow.returned(narrow.ask(1))
    assert narrow.freed
