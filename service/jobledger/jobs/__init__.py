"""What an application declares: its app, kinds, arguments and outcomes; and the client that enqueues them."""

from jobledger.jobs.app import App
from jobledger.jobs.cancellation import CancellationToken, Stopped
from jobledger.jobs.client import Client
from jobledger.jobs.context import Context, current
from jobledger.jobs.handle import Handle
from jobledger.jobs.kind import Call, Job
from jobledger.jobs.masking import Masked, masked
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

__all__ = [
    "App",
    "Call",
    "Cancel",
    "CancellationToken",
    "Client",
    "Context",
    "EnqueueOptions",
    "Failure",
    "Handle",
    "Job",
    "Masked",
    "Park",
    "PermanentFailure",
    "PermissionFailure",
    "PublicJob",
    "QuotaFailure",
    "Retry",
    "Secret",
    "Snooze",
    "Stopped",
    "TransientFailure",
    "current",
    "masked",
]
