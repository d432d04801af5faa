"""For the tests of applications: databases, a settable clock, `drain()`, `assert_enqueued()` and a fake endpoint.

With pytest the fixtures are there without any import: `jobledger_database`, `jobledger_store`, `jobledger_client`,
`jobledger_clock`, `jobledger_drain`. Everything is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jobledger.testing.assertions import EnqueuedJob, assert_enqueued, enqueued
    from jobledger.testing.clock import Clock
    from jobledger.testing.databases import Databases, embedded_postgres
    from jobledger.testing.draining import Attempt, Drained, drain
    from jobledger.testing.endpoint import FakeEndpoint

__all__ = [
    "Attempt",
    "Clock",
    "Databases",
    "Drained",
    "EnqueuedJob",
    "FakeEndpoint",
    "assert_enqueued",
    "drain",
    "embedded_postgres",
    "enqueued",
]

_HOME_OF: Final = {
    **dict.fromkeys(("EnqueuedJob", "assert_enqueued", "enqueued"), "assertions"),
    **dict.fromkeys(("Clock",), "clock"),
    **dict.fromkeys(("Databases", "embedded_postgres"), "databases"),
    **dict.fromkeys(("Attempt", "Drained", "drain"), "draining"),
    **dict.fromkeys(("FakeEndpoint",), "endpoint"),
}


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in: the pytest plugin of every project imports this package."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
