"""Words that mean the same in every command: times, and lengths of time that look back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobledger.cli import output, values
from jobledger.cli.application import application
from jobledger.errors import InvalidArgument


def test_times_in_an_events_data_look_like_all_the_others() -> None:
    """A person compares them with the column beside; what only looks like a time stays as it is."""
    told = output.sentence({"retry_at": "2026-11-21T14:21:02.176154+01:00", "run_at": "soon", "kind": "a_at"})
    assert told == "retry_at=2026-11-21 13:21:02.176Z  run_at=soon  kind=a_at"


def test_options_that_look_back_take_a_length_of_time_as_so_long_ago() -> None:
    """`partitions drop --before 180d` must never mean months that are still to come."""
    for text, length in (("180d", timedelta(days=180)), ("0s", timedelta())):
        at = values.past("--before", text)
        assert at is not None
        assert abs(datetime.now(UTC) - length - at) < timedelta(minutes=1)
    assert values.past("--before", "2026-05-01T00:00:00Z") == datetime(2026, 5, 1, tzinfo=UTC)
    assert values.past("--before", None) is None
    with pytest.raises(InvalidArgument) as refused:
        values.past("--before", "yesterday")
    assert refused.value.hint is not None
    assert "ago" in refused.value.hint


def test_help_texts_flow() -> None:
    """A terminal breaks the lines of a paragraph, not the source."""
    for command in application.registered_commands:
        assert command.help
        assert not any("\n" in paragraph for paragraph in command.help.split("\n\n"))
