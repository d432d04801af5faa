"""Whether arguments fit the JSON Schema that a kind was registered with, for who has no handler's signature at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jsonschema_rs

from jobledger.errors import InvalidArgs
from jobledger.jobs.secret import refuse_plain, secret_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMAS_MOST: Final = 1_000
_FAULTS_MOST: Final = 20
_MASK: Final = "the value"


class _Ready(NamedTuple):
    schema: Mapping[str, Any]
    validator: jsonschema_rs.Validator | None
    secret: bool


class Fitting:
    """Checks arguments against schemas; each is made ready once. Of what a schema refers to, nothing is fetched."""

    def __init__(self) -> None:
        """Know no schema yet."""
        self._ready: dict[int, _Ready] = {}

    def check(self, schema: Mapping[str, Any], args: Mapping[str, Any], prefix: str = "args") -> None:
        """Refuse arguments that do not fit: `detail["fields"]` has each field and its rule, never a value.

        Raises:
            InvalidArgs: they do not fit.
            SecretInPlain: a secret is given as it is, not as a reference.
        """
        ready = self._ready.get(id(schema))
        if ready is None or ready.schema is not schema:
            ready = self._make(schema)
        if ready.secret:
            refuse_plain(schema, args)
        validator = ready.validator
        if validator is None or validator.is_valid(args):
            return
        faults = []
        for error in validator.iter_errors(args):
            place = ".".join([prefix, *map(str, error.instance_path)])
            faults.append({"field": place, "rule": error.message[:500]})
            if len(faults) == _FAULTS_MOST:
                break
        names = ", ".join(dict.fromkeys(fault["field"] for fault in faults))
        raise InvalidArgs(f"The arguments do not fit the kind's schema: {names}.", detail={"fields": faults})

    def _make(self, schema: Mapping[str, Any]) -> _Ready:
        if len(self._ready) >= _SCHEMAS_MOST:
            self._ready.clear()
        try:
            validator = jsonschema_rs.validator_for(dict(schema), mask=_MASK, retriever=_nothing)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError):
            # Somebody registered what is no schema, or one that refers elsewhere: the worker's own check remains.
            validator = None
        # The schema is kept with it: an id is only good while its object lives.
        self._ready[id(schema)] = made = _Ready(schema, validator, bool(secret_fields(schema)))
        return made


def _nothing(_: str) -> Any:
    raise ValueError("schemas are not fetched")
