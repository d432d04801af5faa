"""Masked arguments: marked in the signature, in the log as they are, hidden by every face that shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

MASK: Final = "•••"
_DEPTH_LIMIT: Final = 64


class _Masked:
    """The mark: `email: Annotated[str, Masked]`."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add `x-masked`, which travels with the kind's schema to every face and language."""
        return {**handler(schema), "x-masked": True}

    def __repr__(self) -> str:
        return "Masked"


Masked: Final = _Masked()


def masked(schema: Mapping[str, Any] | None, args: Any) -> Any:
    """Return a copy of `args` in which every value that `schema` marks is replaced by the mask.

    Follows properties, items, `additionalProperties`, `anyOf`/`oneOf`/`allOf` and local `$ref`; whatever any branch
    marks is masked. Without a schema nothing is known to be marked and `args` come back as they are.
    """
    if not schema:
        return args
    return _apply(schema, args, _named(schema.get("$defs")), _DEPTH_LIMIT)


def _apply(
    schema: Any, value: Any, definitions: Mapping[str, Any], depth: int, followed: set[str] | None = None
) -> Any:
    # `followed`: definitions that were applied to this very value; one that leads back to itself would never end.
    followed = set() if followed is None else followed
    if depth == 0:
        return MASK
    if not isinstance(schema, dict):
        return value
    if schema.get("x-masked"):
        return MASK
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        if name not in followed:
            followed.add(name)
            value = _apply(definitions.get(name), value, definitions, depth - 1, followed)
    for branches in ("anyOf", "oneOf", "allOf"):
        for branch in _listed(schema.get(branches)):
            value = _apply(branch, value, definitions, depth - 1, followed)
    if isinstance(value, dict):
        known = _named(schema.get("properties"))
        others = schema.get("additionalProperties")
        return {key: _apply(known.get(key, others), item, definitions, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        first = _listed(schema.get("prefixItems"))
        rest = schema.get("items")
        return [
            _apply(first[place] if place < len(first) else rest, item, definitions, depth - 1)
            for place, item in enumerate(value)
        ]
    return value


def _named(part: Any) -> dict[str, Any]:
    # What was registered from another language need not be a schema at all; readers are not to suffer for it.
    return part if isinstance(part, dict) else {}


def _listed(part: Any) -> list[Any]:
    return part if isinstance(part, list) else []
