"""Back-off: bounds, order, jitter, and the JSON form."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobledger.errors import InvalidArgument
from jobledger.lifecycle import Backoff, Exponential, Fixed, Linear, Table
from jobledger.lifecycle.backoff import from_data, to_data

if TYPE_CHECKING:
    import random

JITTERS = st.floats(0, 1)
DELAYS = st.floats(0, 100_000)
EXPONENTIALS = st.builds(Exponential, DELAYS, st.floats(1, 1000), DELAYS, jitter=JITTERS)
POLICIES: st.SearchStrategy[Exponential | Linear | Fixed | Table] = st.one_of(
    EXPONENTIALS,
    st.builds(Linear, DELAYS, DELAYS, jitter=JITTERS),
    st.builds(Fixed, DELAYS, jitter=JITTERS),
    st.builds(Table, st.lists(DELAYS, min_size=1).map(tuple), st.booleans(), jitter=JITTERS),
)
ATTEMPTS = st.integers(1, 32767)


@given(POLICIES, ATTEMPTS, st.randoms())
def test_jitter_only_shortens_and_by_its_share_at_most(
    policy: Exponential | Linear | Fixed | Table, attempt: int, source: random.Random
) -> None:
    """The delay lies between d x (1 - jitter) and d, for any source of numbers."""
    longest = policy.delay_s(attempt)
    delay = policy(attempt)
    object.__setattr__(policy, "draw", source.random)
    for drawn in (delay, policy(attempt)):
        if longest is None:
            assert drawn is None
        else:
            assert drawn is not None
            assert longest * (1 - policy.jitter) * 0.999999 <= drawn <= longest


@given(st.one_of(EXPONENTIALS, st.builds(Linear, DELAYS, DELAYS)), ATTEMPTS)
def test_delays_grow_up_to_the_cap(policy: Exponential | Linear, attempt: int) -> None:
    """No delay is shorter than the one before, or longer than the cap, at any attempt that a job can have."""
    assert 0 <= policy.delay_s(attempt) <= policy.delay_s(attempt + 1) <= policy.cap


def test_the_default_doubles_from_a_second_to_an_hour() -> None:
    """1, 2, 4, … 2048 and then 3600 seconds, a tenth of jitter."""
    delays = [Exponential().delay_s(attempt) for attempt in range(1, 15)]
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]
    assert Exponential(draw=lambda: 0.5)(2) == pytest.approx(1.9)


def test_a_table_repeats_its_last_delay_or_ends() -> None:
    """Past the end of the table comes its last delay, or nothing."""
    assert [Table([1, 60])(attempt) for attempt in (1, 2, 3, 99)] == [1, 60, 60, 60]
    assert [Table([1, 60], ends=True)(attempt) for attempt in (1, 2, 3)] == [1, 60, None]
    assert Table([], ends=True)(1) is None


def test_linear_and_fixed_do_what_they_are_named_after() -> None:
    """A step more each time; the same every time."""
    assert [Linear(10, 25, jitter=0)(attempt) for attempt in (1, 2, 3, 4)] == [10, 20, 25, 25]
    assert [Fixed(3)(attempt) for attempt in (1, 2, 3)] == [3, 3, 3]


@given(POLICIES)
def test_the_json_form_gives_the_same_policy_back(policy: Exponential | Linear | Fixed | Table) -> None:
    """Through text and back, every parameter but the source of the jitter."""
    assert from_data(json.loads(json.dumps(to_data(policy)))) == policy


def test_the_json_form_names_every_parameter() -> None:
    """SQL reads it, and has no defaults of its own."""
    assert to_data(Exponential()) == {"type": "exponential", "base": 1.0, "factor": 2.0, "cap": 3600.0, "jitter": 0.1}
    assert to_data(Table([1, 2])) == {"type": "table", "delays": [1, 2], "ends": False, "jitter": 0.0}
    assert from_data({"type": "exponential", "base": 5}) == Exponential(5)


def test_a_function_has_no_json_form() -> None:
    """Code is not stored with a job."""
    own: Backoff = lambda _attempt, _error, _elapsed: 1.0  # noqa: E731
    with pytest.raises(InvalidArgument, match="give the function to the kind"):
        to_data(own)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"type": "canary"},
        {"type": ["canary"]},
        {"type": "fixed"},
        {"type": "fixed", "delay": "canary"},
        {"type": "fixed", "delay": True},
        {"type": "fixed", "delay": -1},
        {"type": "fixed", "delay": math.nan},
        {"type": "fixed", "delay": 1e12},
        {"type": "fixed", "delay": 1, "canary": 1},
        {"type": "fixed", "delay": 1, "draw": 1},
        {"type": "exponential", "factor": 0.5},
        {"type": "exponential", "jitter": 1.5},
        {"type": "linear", "cap": None},
        {"type": "table", "delays": "canary"},
        {"type": "table", "delays": 5},
        {"type": "table", "delays": []},
        {"type": "table", "delays": [1, "canary"]},
        {"type": "table", "delays": [1] * 1001},
        {"type": "table", "delays": [1], "ends": "canary"},
        "canary",
        ["canary"],
        None,
    ],
)
def test_what_is_no_back_off_is_refused_by_name(data: Any) -> None:
    """The error says what a back-off is, and not what was given."""
    with pytest.raises(InvalidArgument) as refused:
        from_data(data)
    assert "canary" not in str(refused.value)


FORKING = """
import os
from jobledger.lifecycle import Exponential

policy = Exponential(jitter=1.0)
for _ in range(4):
    if os.fork() == 0:
        os.write(1, f"{policy(10)}\\n".encode())
        os._exit(0)
    os.wait()
"""


def test_forked_processes_do_not_share_their_jitter() -> None:
    """Workers forked from one parent would come back at one moment if they copied its random state."""
    # A process of its own forks: this one may have threads, which do not survive that.
    forked = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True)  # noqa: S603
    assert len(set(forked.stdout.split())) == 4
