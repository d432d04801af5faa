"""Compares what the log says after a replay with what the file said: outcomes, order, run times. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobledger.simulate.plan import Plan, PlannedJob

RUN_SLACK_S: Final = 0.020
RUN_SLACK_SHARE: Final = 0.05
LOAD_MAX: Final = 0.5
_NAMED_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the log says about the job of one line of the file.

    `outcome` is its final state, `ran_s` the time it ran in seconds; both None where the log does not have them.
    """

    line: int
    tenant: str
    position: int
    outcome: str | None
    ran_s: float | None
    held_up: bool = False
    """Whether the worker's loop was held up when the job began or ended, so that its time could not be kept."""


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the worker was, as shares of 1: over the whole replay, and in its busiest second.

    The larger of two shares counts: of its slots in use, and of one core's time that the process took.
    """

    mean: float
    busiest: float
    longest_holdup_s: float = 0.0
    """The longest time for which the worker's loop did not turn when it should have."""

    @property
    def is_below_half(self) -> bool:
        """Say whether the worker never was at or above half its load."""
        return self.busiest < LOAD_MAX


@dataclass(slots=True)
class Verdict:
    """The result: `findings` are sentences, one a difference; run times count only below half load."""

    jobs: int
    findings: list[str] = field(default_factory=list)
    runs_off: int = 0
    runs_held_up: int = 0
    runs_worst_s: float = 0.0
    runs_judged: bool = True
    load: Load = Load(0.0, 0.0)

    @property
    def is_good(self) -> bool:
        """Say whether the log equals the file."""
        return not self.findings

    def run_times(self) -> str:
        """Say in one sentence how the run times compare, which were not judged, and why."""
        within = self.jobs - self.runs_off - self.runs_held_up
        facts = (
            f"{within:,} of {self.jobs:,} run times within {RUN_SLACK_S * 1000:.0f} ms + {RUN_SLACK_SHARE:.0%}, "
            f"the worst off by {self.runs_worst_s * 1000:.1f} ms; load {self.load.mean:.2f} on average, "
            f"{self.load.busiest:.2f} in the busiest second."
        )
        if self.runs_held_up:
            facts += (
                f" {self.runs_held_up:,} that are off began or ended while the worker's loop was held up "
                f"(for {self.load.longest_holdup_s * 1000:.0f} ms at most) or the database slow: not judged."
            )
        if not self.runs_judged:
            facts += f" The load was above {LOAD_MAX:.0%}, so none was judged: take a lower speed."
        return facts

    def document(self) -> dict[str, Any]:
        """Return the verdict for programs."""
        return {
            "ok": self.is_good,
            "findings": self.findings,
            "run_times": {
                "judged": self.runs_judged,
                "within": self.jobs - self.runs_off - self.runs_held_up,
                "off": self.runs_off,
                "off_while_held_up": self.runs_held_up,
                "worst_off_s": round(self.runs_worst_s, 6),
                "slack_s": RUN_SLACK_S,
                "slack_share": RUN_SLACK_SHARE,
            },
            "load": {
                "mean": round(self.load.mean, 4),
                "busiest_second": round(self.load.busiest, 4),
                "longest_holdup_s": round(self.load.longest_holdup_s, 6),
            },
        }


def compare(plan: Plan, recorded: Sequence[Recorded], load: Load) -> Verdict:
    """Compare the log's jobs of one replay with the plan drawn from the file."""
    verdict = Verdict(jobs=len(plan.jobs), runs_judged=load.is_below_half, load=load)
    _compare_presence(plan, recorded, verdict)
    _compare_counts(plan, recorded, verdict)
    _compare_order(plan, recorded, verdict)
    _compare_run_times(plan, recorded, verdict)
    return verdict


def _compare_presence(plan: Plan, recorded: Sequence[Recorded], verdict: Verdict) -> None:
    planned = Counter((job.tenant, job.line) for job in plan.jobs)
    found = Counter((job.tenant, job.line) for job in recorded)
    for what, difference in (
        ("are missing from the log", planned - found),
        ("are in the log too often", found - planned),
    ):
        if difference:
            verdict.findings.append(f"{difference.total():,} jobs {what}: {_some(line for _, line in difference)}.")


def _compare_counts(plan: Plan, recorded: Sequence[Recorded], verdict: Verdict) -> None:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for job in recorded:
        found[job.tenant][job.outcome or "open"] += 1
    expected = plan.counts()
    for tenant in expected | found:
        wanted = {outcome.value: number for outcome, number in expected.get(tenant, {}).items()}
        for outcome in sorted(wanted | found[tenant]):
            if wanted.get(outcome, 0) != found[tenant][outcome]:
                verdict.findings.append(
                    f"{tenant}: {found[tenant][outcome]:,} jobs {outcome}, the file says {wanted.get(outcome, 0):,}."
                )
    outcomes = {(job.tenant, job.line): job.outcome for job in recorded}
    wrong = [
        job.line for job in plan.jobs if outcomes.get((job.tenant, job.line), job.outcome) not in (job.outcome, None)
    ]
    if wrong:
        verdict.findings.append(f"{len(wrong):,} jobs ended in another way than their record: {_some(wrong)}.")


def _compare_order(plan: Plan, recorded: Sequence[Recorded], verdict: Verdict) -> None:
    by_tenant: dict[str, list[int]] = defaultdict(list)
    for job in sorted(recorded, key=lambda job: job.position):
        by_tenant[job.tenant].append(job.line)
    wanted: dict[str, list[int]] = defaultdict(list)
    for planned in plan.jobs:
        wanted[planned.tenant].append(planned.line)
    for tenant, lines in wanted.items():
        found = by_tenant[tenant]
        if found != lines and sorted(found) == sorted(lines):
            place = next(i for i, (a, b) in enumerate(zip(found, lines, strict=True)) if a != b)
            verdict.findings.append(f"{tenant}: the order differs from the file's from its job number {place + 1} on.")


def _compare_run_times(plan: Plan, recorded: Sequence[Recorded], verdict: Verdict) -> None:
    planned = {(job.tenant, job.line): job for job in plan.jobs}
    off: list[int] = []
    for job in recorded:
        wanted = planned.get((job.tenant, job.line))
        if wanted is None or job.ran_s is None:
            continue
        difference = abs(job.ran_s - wanted.run_s)
        verdict.runs_worst_s = max(verdict.runs_worst_s, difference)
        if difference > slack_s(wanted):
            if job.held_up:
                verdict.runs_held_up += 1
            else:
                off.append(job.line)
    verdict.runs_off = len(off) + sum(job.ran_s is None for job in recorded)
    if verdict.runs_off and verdict.runs_judged:
        verdict.findings.append(
            f"{verdict.runs_off:,} jobs ran longer or shorter than their record beyond the slack: {_some(off)}."
        )


def slack_s(job: PlannedJob) -> float:
    """Return by how many seconds a job's recorded run time may differ from the planned one."""
    return RUN_SLACK_S + RUN_SLACK_SHARE * job.run_s


def _some(lines: Any) -> str:
    names = sorted(set(lines))
    shown = ", ".join(str(name) for name in names[:_NAMED_MAX])
    return f"line {shown}" + (f" and {len(names) - _NAMED_MAX:,} more" if len(names) > _NAMED_MAX else "")
