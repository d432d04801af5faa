"""`jobledger simulate`: replay a workload log through the real service, and check what was recorded."""
# ruff: noqa: PLC0415 - the service is imported when the command runs, so that --help answers at once

from __future__ import annotations

import gc
import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from jobledger.cli.connect import Place
    from jobledger.simulate.check import Verdict
    from jobledger.simulate.plan import Plan
    from jobledger.simulate.results import Result
    from jobledger.simulate.swf import Log


def simulate(
    file: Annotated[Path, typer.Argument(help="A log in the Standard Workload Format (.swf), plain or gzipped.")],
    speed: Annotated[float, typer.Option("--speed", help="How many times as fast as it happened.")] = 400_000,
    fail_rate: Annotated[
        float, typer.Option("--fail-rate", help="Share of the records without a status that fail, 0 to 1.")
    ] = 0.0,
    cancel_rate: Annotated[
        float, typer.Option("--cancel-rate", help="Share of the records without a status that are cancelled, 0 to 1.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the drawing: the same seed, the same outcomes.")] = 0,
    concurrency: Annotated[int, typer.Option("--concurrency", help="Jobs that the worker runs at a time.")] = 100,
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", help="Compare the log with the file afterwards; status 8 if they differ."),
    ] = True,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Replay a workload log: every user a tenant, every record a job, enqueued and run in scaled time.

    Brings up what is missing: the embedded Postgres (unless an address is given), the schema, a worker.
    """
    from jobledger.cli.connect import located, settings_of
    from jobledger.simulate import plan, swf
    from jobledger.worker import loops

    log = swf.read(file)
    drawn = plan.draw(log, speed=speed, fail_rate=fail_rate, cancel_rate=cancel_rate, seed=seed)
    if not as_json:
        _introduce(log, drawn)
    # Cancellations reach a running handler with the next heartbeat; its usual pace is made for jobs of minutes.
    settings = settings_of(dsn, data, concurrency=concurrency, heartbeat_s=0.5, lease_s=30.0)
    # A connection that breaks ends the command with its own sentence; asyncpg's traceback beside it helps nobody.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    # The plan lives to the end: walking through it in every full collection would hold up the jobs.
    gc.freeze()
    with located(settings) as place:
        result, verdict = loops.run(_replayed(place, drawn, check, as_json))
    _conclude(file, dsn, data, log, drawn, result, verdict, as_json)


async def _replayed(place: Place, plan: Plan, check: bool, as_json: bool) -> tuple[Result, Verdict | None]:
    from jobledger.cli.connect import prepared
    from jobledger.simulate.check import compare
    from jobledger.simulate.display import showing, stderr_console
    from jobledger.simulate.replay import Replay

    async with prepared(place) as store:
        with showing(stderr_console(), len(plan.jobs), silent=as_json) as display:
            result = await Replay(plan, store, place.settings, display).run()
    return result, compare(plan, list(result.recorded.values()), result.load) if check else None


def _introduce(log: Log, plan: Plan) -> None:
    from jobledger.cli import output

    output.say(f"{log.name}: {len(plan.jobs):,} jobs of {len(plan.counts())} users")
    for line in log.acknowledgements():
        output.say(f"  {line}")
    if plan.parts:
        output.say(f"  {plan.parts:,} records are parts of checkpointed jobs (status 2, 3, 4) and are left out")
    if plan.runs_unknown:
        output.say(f"  {plan.runs_unknown:,} jobs of unknown run time (-1) run for 0 s")
    output.say(f"At {plan.speed:,g} times the speed this takes {output.span(plan.lasts_s())}.")


def _conclude(
    file: Path,
    dsn: str | None,
    data: Path | None,
    log: Log,
    plan: Plan,
    result: Result,
    verdict: Verdict | None,
    as_json: bool,
) -> None:
    from jobledger.cli import output
    from jobledger.errors import CheckFailed
    from jobledger.simulate.display import per_tenant

    if as_json:
        output.document(
            {"file": log.name, "acknowledgements": log.acknowledgements(), **result.document(plan, verdict)}
        )
    else:
        output.console().print(per_tenant(plan, result.tally))
        _tell(result, verdict)
        where = [*(["--dsn", "$DSN"] if dsn else []), *(["--data", shlex.quote(str(data))] if data else [])]
        output.say("\nNext:")
        for command in result.next_commands():
            output.say(f"  {' '.join([_program(), *command, *where])}")
    if verdict is not None and not verdict.is_good:
        raise CheckFailed(
            f"The log differs from {file.name} in {len(verdict.findings)} ways.",
            detail={"findings": len(verdict.findings)},
        )


def _tell(result: Result, verdict: Verdict | None) -> None:
    from jobledger.cli import output

    output.say(
        f"{result.tally.finished:,} jobs in {output.span(result.elapsed_s)}, "
        f"{result.tally.finished / result.elapsed_s:,.0f} jobs/s."
    )
    if verdict is None:
        output.say("The log was not compared with the file.")
        return
    output.say(
        "Check: the log equals the file: outcomes, counts per user, order per user."
        if verdict.is_good
        else "Check: the log differs from the file:"
    )
    for finding in verdict.findings:
        output.say(f"  {finding}")
    output.say(f"  {verdict.run_times()}")


def _program() -> str:
    """Return how this program was called, so that the next commands work as printed."""
    import sys
    from shutil import which

    called = sys.argv[0]
    if Path(called).name != "jobledger":
        return f"{shlex.quote(sys.executable)} -m jobledger"
    known = which("jobledger")
    return "jobledger" if known and Path(known).resolve() == Path(called).resolve() else shlex.quote(called)
