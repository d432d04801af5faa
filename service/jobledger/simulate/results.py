"""What a replay came to: counts, time, load, what the log says, and the commands worth trying next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.simulate.check import Load, Recorded, Verdict
    from jobledger.simulate.plan import Plan
    from jobledger.simulate.tally import Tally

_INTERESTING = ("cancelled", "failed", "succeeded")


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a replay; `elapsed_s` counts from the first enqueue to the last outcome found in the log."""

    tally: Tally
    recorded: dict[UUID, Recorded]
    load: Load
    elapsed_s: float

    def next_commands(self) -> list[list[str]]:
        """Return three commands, without the program's name, that show what has just been recorded."""
        busiest = max(self.tally.tenants, key=lambda tenant: self.tally.tenants[tenant].enqueued)
        ids = {recorded.outcome: job for job, recorded in self.recorded.items()}
        shown = next((ids[outcome] for outcome in _INTERESTING if outcome in ids), None)
        return [
            ["jobs", "--tenant", busiest],
            *([["history", str(shown)]] if shown is not None else []),
            ["doctor"],
        ]

    def document(self, plan: Plan, verdict: Verdict | None) -> dict[str, Any]:
        """Return the result for programs: a stable shape, described in docs/cli.md."""
        return {
            "jobs": len(plan.jobs),
            "users": len(plan.counts()),
            "parts_left_out": plan.parts,
            "run_times_unknown": plan.runs_unknown,
            "speed": plan.speed,
            "seed": plan.seed,
            **self.tally.document(),
            "elapsed_s": round(self.elapsed_s, 3),
            "jobs_per_s": round(self.tally.finished / self.elapsed_s, 1),
            "tenants": {
                tenant: {"enqueued": self.tally.tenant(tenant).enqueued, **dict(self.tally.tenant(tenant).outcomes)}
                for tenant in plan.counts()
            },
            "check": verdict.document() if verdict is not None else None,
            "next": self.next_commands(),
        }
