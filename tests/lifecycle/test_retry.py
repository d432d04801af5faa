"""The policy that decides about a failed attempt, and the class of an error."""

from __future__ import annotations

import errno
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobledger.errors import Forbidden, InvalidArgs
from jobledger.events import ErrorClass
from jobledger.lifecycle import Backoff, Decision, Exponential, Fixed, RetryPolicy, classify


class _DeclaredError(Exception):
    error_class = "quota"


class _MisdeclaredError(Exception):
    error_class = "of tomorrow"


class _AnsweredError(Exception):
    def __init__(self, status: int, *, of_response: bool = False) -> None:
        self.response = type("Response", (), {"status_code": status})() if of_response else None
        if not of_response:
            self.status = status


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (_DeclaredError(), "quota"),
        (_MisdeclaredError(), "transient"),
        (InvalidArgs(), "permanent"),
        (NotImplementedError(), "permanent"),
        (PermissionError(), "permission"),
        (Forbidden(), "permission"),
        (_AnsweredError(403), "permission"),
        (_AnsweredError(401, of_response=True), "permission"),
        (_AnsweredError(429), "quota"),
        (_AnsweredError(500), "transient"),
        (OSError(errno.ENOSPC, "full"), "quota"),
        (MemoryError(), "quota"),
        (TimeoutError(), "transient"),
        (ConnectionResetError(), "transient"),
        (ValueError(), "transient"),
        (TypeError(), "transient"),
        (ExceptionGroup("", [PermissionError(), Forbidden()]), "permission"),
        (ExceptionGroup("", [PermissionError(), ValueError()]), "transient"),
    ],
)
def test_an_error_has_a_class(error: Exception, expected: str) -> None:
    """What an exception declares holds; then what it is."""
    assert classify(error) == ErrorClass(expected)


def test_a_permanent_error_and_the_last_attempt_are_final() -> None:
    """No back-off is asked where there is nothing left to decide."""
    policy = RetryPolicy(backoff=Fixed(5))
    assert policy.decide(1, 3, ValueError(), 0) == Decision(5, ErrorClass.TRANSIENT)
    assert policy.decide(3, 3, ValueError(), 0) == Decision(None, ErrorClass.TRANSIENT)
    assert policy.decide(1, 3, NotImplementedError(), 0).final
    assert not policy.decide(2, 3, PermissionError(), 0).final


def test_the_nearest_named_type_holds() -> None:
    """An entry for a class beats one for its base; null means never again; others have the policy's back-off."""
    policy = RetryPolicy(backoff=Fixed(1), by_type={OSError: Fixed(2), ConnectionError: Fixed(3), LookupError: None})
    assert policy.decide(1, 9, ConnectionResetError(), 0).retry_in == 3
    assert policy.decide(1, 9, FileNotFoundError(), 0).retry_in == 2
    assert policy.decide(1, 9, ValueError(), 0).retry_in == 1
    assert policy.decide(1, 9, KeyError(), 0).final


def test_a_jobs_own_back_off_replaces_the_kinds_and_nothing_else() -> None:
    """Entries by type stay; a job without one leaves the policy as it is."""
    policy = RetryPolicy(backoff=Fixed(1), by_type={KeyError: None}, on_timeout="fail")
    own = policy.with_backoff(Fixed(7))
    assert own.decide(1, 9, ValueError(), 0).retry_in == 7
    assert own.decide(1, 9, KeyError(), 0).final
    assert own.decide_timeout(1, 9, 0).final
    assert policy.with_backoff(None) is policy


def test_a_time_out_is_tried_again_or_final() -> None:
    """As the policy says, and never beyond the last attempt."""
    assert RetryPolicy(backoff=Fixed(4)).decide_timeout(1, 2, 0) == Decision(4, ErrorClass.TRANSIENT)
    assert RetryPolicy(backoff=Fixed(4)).decide_timeout(2, 2, 0).final
    assert RetryPolicy(on_timeout="fail").decide_timeout(1, 2, 0).final


def test_a_function_is_told_attempt_error_and_elapsed_time() -> None:
    """Any function of the three is a back-off; nothing returned means give up."""
    asked: list[tuple[Any, ...]] = []

    def own(attempt: int, error: BaseException | None, elapsed: float) -> float | None:
        asked.append((attempt, type(error), elapsed))
        return None if elapsed > 60 else attempt * 10.0

    policy = RetryPolicy(backoff=own)
    assert policy.decide(2, 9, KeyError(), 5.5).retry_in == 20
    assert policy.decide(2, 9, KeyError(), 61.0).final
    assert policy.decide_timeout(1, 9, 1.0).retry_in == 10
    assert asked == [(2, KeyError, 5.5), (2, KeyError, 61.0), (1, type(None), 1.0)]


def _raises(_attempt: int, _error: BaseException | None, _elapsed: float) -> float:
    raise RuntimeError


def _text(_attempt: int, _error: BaseException | None, _elapsed: float) -> Any:
    return "soon"


def _no_number(_attempt: int, _error: BaseException | None, _elapsed: float) -> float:
    return math.nan


@pytest.mark.parametrize(
    ("own", "fault"), [(_raises, "RuntimeError"), (_text, "TypeError"), (_no_number, "ValueError")]
)
def test_a_back_off_that_is_broken_does_not_cost_the_record(own: Backoff, fault: str) -> None:
    """The default stands in for it, and the decision says so."""
    for decision in (
        RetryPolicy(backoff=own).decide(3, 9, ValueError(), 0),
        RetryPolicy(backoff=own).decide_timeout(3, 9, 0),
    ):
        assert decision.fault == fault
        assert decision.retry_in is not None
        assert 0 < decision.retry_in <= (Exponential().delay_s(3) or 0)


def test_a_classification_that_is_broken_does_not_cost_the_record() -> None:
    """The default stands in for it, and the decision says so."""

    def broken(_: BaseException) -> ErrorClass:
        raise LookupError

    decision = RetryPolicy(classify=broken).decide(1, 9, PermissionError(), 0)
    assert (decision.error_class, decision.fault) == (ErrorClass.PERMISSION, "LookupError")


@given(st.floats(allow_nan=False), st.integers(1, 1000))
def test_whatever_a_function_says_is_kept_within_a_year(said: float, attempt: int) -> None:
    """A negative delay means at once, an endless one a year."""
    decision = RetryPolicy(backoff=lambda _attempt, _error, _elapsed: said).decide(attempt, 1001, ValueError(), 0)
    assert decision.retry_in is not None
    assert 0 <= decision.retry_in <= 366 * 24 * 3600
    assert decision.fault is None
