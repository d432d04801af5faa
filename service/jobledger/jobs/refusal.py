"""From pydantic's complaint to `InvalidArgs`: which field, which reason, never the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic_core.core_schema import ErrorType

from jobledger.errors import BadInput, InvalidArgs, SecretInPlain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_FIELDS_LIMIT: Final = 20

# What pydantic may put into a message and what comes from the declaration alone. All else may quote the input.
_DECLARED: Final = frozenset(
    {"gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "actual_length", "pattern", "expected"}
    | {"expected_tags", "discriminator", "class", "class_name", "max_digits", "decimal_places", "whole_digits"}
    | {"expected_schemes", "field_type", "tz_expected", "expected_version"}
)
_KNOWN: Final[frozenset[str]] = frozenset(get_args(ErrorType))
_BY_VALIDATOR: Final = frozenset({"value_error", "assertion_error"})


def refusal(kind: str, error: ValidationError, names: frozenset[str]) -> BadInput:
    """Return the error to raise for `error`; `names` are the names of the declaration, the only ones it repeats."""
    found = error.errors(include_url=False, include_context=True, include_input=False)
    fields = [{"at": location(detail, names), "reason": reason(detail)} for detail in found[:_FIELDS_LIMIT]]
    if any(detail["type"] == "secret_in_plain" for detail in found):
        return SecretInPlain(detail={"kind": kind, "fields": [field["at"] for field in fields]})
    made_up = any(field["at"].endswith("*") for field in fields)
    return invalid_args(kind, fields, hint=f"Known names: {', '.join(sorted(names)) or 'none'}." if made_up else None)


def invalid_args(kind: str, fields: list[dict[str, str]], *, hint: str | None = None) -> InvalidArgs:
    """Return an `InvalidArgs` that lists each field with its reason."""
    facts = "; ".join(f"{field['at']}: {field['reason']}" for field in fields)
    return InvalidArgs(f"The arguments do not fit {kind}: {facts}.", hint=hint, detail={"kind": kind, "fields": fields})


def location(detail: ErrorDetails, names: frozenset[str]) -> str:
    """Return the path of the field: declared names and positions; a key that the caller made up is a star."""
    parts = [str(part) if isinstance(part, int) or part in names else "*" for part in detail["loc"]]
    return ".".join(parts) or "(all)"


def reason(detail: ErrorDetails) -> str:
    """Return why the field was refused, in words of the declaration."""
    kind = detail["type"]
    if kind not in _KNOWN:
        return "not acceptable"
    if kind in _BY_VALIDATOR:
        return "refused by its validator"
    return detail["msg"] if set(detail.get("ctx", {})) <= _DECLARED else f"not valid ({kind.replace('_', ' ')})"


def declared_names(schema: Any) -> Iterator[str]:
    """Yield every property name that a JSON Schema declares, at any depth."""
    if isinstance(schema, dict):
        for key, part in schema.items():
            if key == "properties" and isinstance(part, dict):
                yield from part
            yield from declared_names(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from declared_names(part)
