"""`bench fairness`: who waits how long, in claims and in seconds, while others hold nearly everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.behind import behind
from jobledger.bench.kinds import kinds
from jobledger.bench.meter import COSTS
from jobledger.bench.newcomers import newcomers
from jobledger.bench.plot import Bars
from jobledger.bench.setup import within
from jobledger.bench.sides import sides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobledger.bench.measurement import Bench

PARTS: Final = ("newcomers", "kinds", "sides", "behind")


@dataclass(frozen=True, slots=True)
class Fairness:
    """How large each part is: see the options of the command. Raises `InvalidArgument` for a number out of range."""

    parts: Sequence[str] = PARTS
    tenants: Sequence[int] = (50, 1_000)
    claim: int = 500
    trials: int = 30
    many: int = 1_000_000
    few: int = 100
    waiting: int = 100_000
    measured: int = 4_000

    def __post_init__(self) -> None:
        """Check the ranges."""
        for tenants in self.tenants:
            within("tenants", tenants, 2, 10_000)
        within("claim", self.claim, 1, 10_000)
        within("trials", self.trials, 1, 10_000)
        within("many", self.many, 1, 10_000_000)
        within("few", self.few, 1, 100_000)
        within("waiting", self.waiting, 1, 10_000_000)


async def fairness(bench: Bench, *, asked: Fairness) -> None:
    """Measure each part that is asked for, on databases of its own.

    What a job cost stands with each; that of the first is that of the whole.
    """
    bench.options |= {
        "parts": list(asked.parts),
        "tenants": list(asked.tenants),
        "claim": asked.claim,
        "trials": asked.trials,
        "many": asked.many,
        "few": asked.few,
        "waiting_beside": asked.waiting,
        "measured": asked.measured,
    }
    figures = bench.figures
    if "newcomers" in asked.parts:
        figures["newcomers"] = {}
        for tenants in asked.tenants:
            async with bench.elsewhere(tenants=tenants) as own:
                figures["newcomers"][str(tenants)] = await newcomers(own, claim=asked.claim, trials=asked.trials)
        _draw_newcomers(bench, figures["newcomers"])
    if "kinds" in asked.parts:
        async with bench.elsewhere() as own:
            figures["kinds"] = await kinds(own, many=asked.many, few=asked.few)
        bench.panels.append(Bars("The few jobs behind the many", "seconds", {"all run": figures["kinds"]["few_s"]}))
    if "sides" in asked.parts:
        figures["sides"] = await sides(bench, waiting=asked.waiting, measured=asked.measured)
        bench.panels.append(
            Bars(
                "p99 wait with the other side's jobs, of that without",
                "ratio",
                {name: side["worst_ratio"] for name, side in figures["sides"].items()},
            )
        )
    if "behind" in asked.parts:
        async with bench.elsewhere() as own:
            figures["behind"] = found = await behind(own, claim=asked.claim)
        bench.panels.append(
            Bars("In which claim after their commit late rows are taken", "claims", found["claims_until_taken"] or {})
        )
    first = next(iter(figures.values()))
    if "wal_bytes_per_job" not in first:  # newcomers and sides were measured more than once
        first = next(iter(first.values()))
    figures |= {name: first[name] for name in COSTS}


def _draw_newcomers(bench: Bench, found: dict[str, dict[str, Any]]) -> None:
    bench.panels.append(
        Bars(
            "Claims until a new tenant's job is taken",
            "most, and the number allowed",
            {f"{tenants} tenants": one["claims_most"] for tenants, one in found.items()},
            {f"{tenants} tenants": one["claims_allowed"] for tenants, one in found.items()},
        )
    )
