"""jobledger: an event-sourced job lifecycle service on Postgres.

The names below are the public interface; each is loaded when it is first used, so `import jobledger` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jobledger.errors import JobledgerError
    from jobledger.jobs.app import App
    from jobledger.jobs.cancellation import CancellationToken, Stopped
    from jobledger.jobs.client import Client
    from jobledger.jobs.context import Context, current
    from jobledger.jobs.handle import Handle
    from jobledger.jobs.kind import Call, Job
    from jobledger.jobs.masking import Masked
    from jobledger.jobs.options import EnqueueOptions
    from jobledger.jobs.outcomes import (
        Cancel,
        Failure,
        Park,
        PermanentFailure,
        PermissionFailure,
        QuotaFailure,
        Retry,
        Snooze,
        TransientFailure,
    )
    from jobledger.jobs.resource import PublicJob
    from jobledger.jobs.secret import Secret
    from jobledger.lifecycle.backoff import Exponential, Fixed, Linear, Table
    from jobledger.lifecycle.retry import RetryPolicy
    from jobledger.settings import Settings
    from jobledger.store.pool import Store
    from jobledger.worker.worker import Worker

__version__ = "0.2.0"

__all__ = [
    "App",
    "Call",
    "Cancel",
    "CancellationToken",
    "Client",
    "Context",
    "EnqueueOptions",
    "Exponential",
    "Failure",
    "Fixed",
    "Handle",
    "Job",
    "JobledgerError",
    "Linear",
    "Masked",
    "Park",
    "PermanentFailure",
    "PermissionFailure",
    "PublicJob",
    "QuotaFailure",
    "Retry",
    "RetryPolicy",
    "Secret",
    "Settings",
    "Snooze",
    "Stopped",
    "Store",
    "Table",
    "TransientFailure",
    "Worker",
    "current",
]

_HOMES: Final = {
    "errors": ("JobledgerError",),
    "jobs.app": ("App",),
    "jobs.cancellation": ("CancellationToken", "Stopped"),
    "jobs.client": ("Client",),
    "jobs.context": ("Context", "current"),
    "jobs.handle": ("Handle",),
    "jobs.kind": ("Call", "Job"),
    "jobs.masking": ("Masked",),
    "jobs.options": ("EnqueueOptions",),
    "jobs.outcomes": (
        *("Cancel", "Failure", "Park", "PermanentFailure", "PermissionFailure"),
        *("QuotaFailure", "Retry", "Snooze", "TransientFailure"),
    ),
    "jobs.resource": ("PublicJob",),
    "jobs.secret": ("Secret",),
    "lifecycle.backoff": ("Exponential", "Fixed", "Linear", "Table"),
    "lifecycle.retry": ("RetryPolicy",),
    "settings": ("Settings",),
    "store.pool": ("Store",),
    "worker.worker": ("Worker",),
}
_HOME_OF: Final = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
