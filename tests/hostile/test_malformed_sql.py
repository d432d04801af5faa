"""Malformed input over every public SQL function: a named error, nothing written, and the value never comes back."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from psycopg.pq import DiagnosticField, ExecStatus

from .sql_inputs import ACTS, FAILURES, JOB_FIELDS, WITHOUT_ARGUMENTS, Argument, Value, functions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CASES: Final = 6_000
PUBLIC: Final = """
select distinct p.proname from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
cross join unnest(array['jobledger_producer', 'jobledger_worker', 'jobledger_reader', 'jobledger_operator']) as r (role)
where n.nspname = 'jobledger' and p.prokind = 'f' and has_function_privilege(r.role, p.oid, 'execute')
"""
TABLES: Final = """
select c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = 'jobledger' and c.relkind in ('r', 'p') and not c.relispartition order by 1
"""
FIELDS: Final = (
    DiagnosticField.MESSAGE_PRIMARY,
    DiagnosticField.MESSAGE_DETAIL,
    DiagnosticField.MESSAGE_HINT,
    DiagnosticField.CONTEXT,
)


class Attacker:
    """A connection that sends what it likes, beside one live worker and its jobs."""

    def __init__(self, dsn: str) -> None:
        """Start a worker, with one waiting job and one that runs."""
        self.sql = psycopg.connect(dsn, autocommit=True)
        self.worker = self._one(
            "select worker::text from jobledger.worker_start(0::smallint, null, null, '{k}', null, 3600)"
        )
        self.running = self._one("select jobledger.enqueue('k')::text")
        self._one("select id from jobledger.claim_job(0::smallint, %s, 1, %s, '{k}')", self.worker, self.running)
        self.waiting = self._one("select jobledger.enqueue('k')::text")
        self.tables = [row[0] for row in self.sql.execute(TABLES).fetchall()]
        self.functions = functions(self.worker.encode(), self.waiting.encode(), self.running.encode())

    def _one(self, statement: str, *arguments: object) -> Any:
        row = self.sql.execute(statement, arguments).fetchone()
        assert row is not None
        return row[0]

    def counts(self) -> dict[str, int]:
        """Return the number of rows of every table."""
        parts = " union all ".join(f"select '{name}', count(*) from jobledger.{name}" for name in self.tables)  # noqa: S608
        return dict(self.sql.execute(parts).fetchall())

    def call(self, function: str, values: Mapping[str, Value], types: Mapping[str, str]) -> dict[str, str] | None:
        """Call a function with raw values; returns the error's fields, or None where there was none."""
        named = ", ".join(f"{name} => ${place}::{types[name]}" for place, name in enumerate(values, 1))
        sent = f"select * from jobledger.{function}({named})".encode()  # noqa: S608
        answer = self.sql.pgconn.exec_params(sent, list(values.values()))
        if answer.status == ExecStatus.TUPLES_OK:
            return None
        found = {"sqlstate": (answer.error_field(DiagnosticField.SQLSTATE) or b"").decode()}
        for field in FIELDS:
            found[field.name] = (answer.error_field(field) or b"").decode(errors="replace")
        return found

    def refused(self, function: str, values: Mapping[str, Value], mark: str) -> str | None:
        """Return what is wrong with the answer to a malformed call: null where it is refused as it should be."""
        types = {name: argument.type for name, argument in self.functions[function].items()}
        marked = {name: value and value.replace(b"{mark}", mark.encode()) for name, value in values.items()}
        error = self.call(function, marked, types)
        if error is None:
            return "was accepted"
        state, inside = error["sqlstate"], "jobledger." in error["CONTEXT"]
        # What Postgres cannot even read as a value of the type it refuses itself, before the function is entered.
        if not inside and (state[:2] == "22" or state == "54001"):
            return None
        if not state.startswith("JL") or state == "JL000":
            return f"{error}"
        told = [name for name, text in error.items() if mark in text]
        return f"echoes the value in {told}: {error}" if told else None


@pytest.fixture
def attacker(database: str) -> Iterator[Attacker]:
    """Give the attacker on a database of its own."""
    made = Attacker(database)
    yield made
    made.sql.close()


def shown(values: Mapping[str, Value]) -> dict[str, str]:
    """Return a call as a failure shows it."""
    return {name: repr(value)[:80] for name, value in values.items()}


def sound(arguments: Mapping[str, Argument]) -> dict[str, Value]:
    """Return the call that would be accepted."""
    return {name: argument.sound for name, argument in arguments.items()}


def test_every_public_function_has_its_malformed_inputs(attacker: Attacker) -> None:
    """A function that a role may call is attacked, or has nothing to attack; a new one without inputs fails here."""
    public = {row[0] for row in attacker.sql.execute(PUBLIC).fetchall()}
    assert public == set(attacker.functions) | WITHOUT_ARGUMENTS


def test_each_malformed_argument_is_refused_by_name(attacker: Attacker) -> None:
    """One malformed argument at a time, every function, every argument, every value."""
    before, faults = attacker.counts(), []
    for function, arguments in attacker.functions.items():
        for name, argument in arguments.items():
            for value in argument.malformed:
                call = sound(arguments) | {name: value}
                fault = attacker.refused(function, call, "Cn4ry")
                if fault is not None:
                    faults.append(f"{function}({name} => {value!r:.90}): {fault:.600}")
        if attacker.counts() != before:
            faults.append(f"{function}: rows were written")
            before = attacker.counts()
    assert not faults, "\n".join([f"{len(faults)} faults", *faults])


def test_thousands_of_random_malformed_calls_write_nothing(attacker: Attacker) -> None:
    """One to four malformed arguments together, drawn from a fixed seed: a named error each, and no row more."""
    draw = random.Random(20260301)  # noqa: S311 - not for secrets
    before, faults = attacker.counts(), []
    names = [name for name in attacker.functions if any(a.malformed for a in attacker.functions[name].values())]
    for turn in range(CASES):
        function = draw.choice(names)
        arguments = attacker.functions[function]
        call = sound(arguments)
        spoilt = draw.sample(sorted(arguments), min(len(arguments), draw.choice((1, 1, 2, 3, 4))))
        call |= {name: draw.choice(arguments[name].malformed) for name in spoilt}
        fault = attacker.refused(function, call, f"Cn4ry{turn:06}")
        if fault is not None:
            faults.append(f"{function} {shown({name: call[name] for name in spoilt})}: {fault:.400}")
    assert not faults, "\n".join([f"{len(faults)} faults", *faults])
    assert attacker.counts() == before


def test_each_malformed_field_of_a_bulk_call_is_named_by_its_place(attacker: Attacker) -> None:
    """One bad item among good ones: all are refused, the place of the bad one is told, its value is not."""
    before, faults = attacker.counts(), []
    for field, values in JOB_FIELDS.items():
        for value in values:
            jobs: list[dict[str, Any]] = [{"kind": "k"}, {"kind": "k"}, {"kind": "k"}]
            jobs[1][field] = value
            text = json.dumps(jobs).replace("{mark}", "Cn4ry").encode()
            error = attacker.call("enqueue_many", {"jobs": text}, {"jobs": "jsonb"})
            if error is None or not error["sqlstate"].startswith("JL") or "Cn4ry" in str(error):
                faults.append(f"{field} {value!r:.60}: {error!s:.400}")
            elif json.loads(error["MESSAGE_DETAIL"] or "{}").get("items") != [1]:
                faults.append(f"{field} {value!r:.60}: names {error['MESSAGE_DETAIL']}")
    assert not faults, "\n".join([f"{len(faults)} faults", *faults])
    assert attacker.counts() == before


def test_each_malformed_outcome_and_act_is_refused(attacker: Attacker) -> None:
    """What a report says of a failure, and what an act says of itself, is checked before anything is changed."""
    before, faults = attacker.counts(), []
    for document in FAILURES:
        call = sound(attacker.functions["report"])
        escaped = document.replace('"', '\\"')
        call |= {"p_outcomes": b"{failed}", "p_datas": f'{{"{escaped}"}}'.encode()}
        fault = attacker.refused("report", call, "Cn4ry")
        if fault is not None:
            faults.append(f"report failed {document}: {fault:.400}")
    for act, documents in ACTS.items():
        for document in documents:
            call = sound(attacker.functions["act"]) | {"p_act": act.encode(), "p_data": document.encode()}
            fault = attacker.refused("act", call, "Cn4ry")
            if fault is not None:
                faults.append(f"{act} {document}: {fault:.400}")
    assert not faults, "\n".join([f"{len(faults)} faults", *faults])
    assert attacker.counts() == before
