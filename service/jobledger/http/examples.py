"""Examples of documents, made from their schemas: what a reader can send as it stands, but for the names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_NAME: Final[Mapping[str, Any]] = {
    "kind": "mail",
    "kinds": ["mail"],
    "args": {"to": "ada@example.org"},
    "tenant": "acme",
    "owner": "ada",
    "queue": "default",
    "queues": ["default"],
    "reason": "asked for by the customer",
    "url": "https://example.org/hook",
    "state": "succeeded",
    "actor": "key:shop",
    "name": "shop",
}
_BY_FORMAT: Final[Mapping[str, Any]] = {
    "uuid": "0197a3c2-7c40-7e3a-8a51-0d5b3a4f6c21",
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "uri": "https://example.org/",
}
_DEPTH_MOST: Final = 6


def example(schema: Mapping[str, Any], parts: Mapping[str, Any], *, whole: bool = False, name: str = "") -> Any:
    """Return an instance of a schema whose references lead into `parts`; only what must be given, unless `whole`."""
    return _of(schema, parts, whole, name, 0)


def _of(schema: Mapping[str, Any], parts: Mapping[str, Any], whole: bool, name: str, depth: int) -> Any:
    if "$ref" in schema:
        return _of(parts.get(schema["$ref"].rpartition("/")[2], {}), parts, whole, name, depth)
    if schema.get("examples") or schema.get("enum"):
        return (schema.get("examples") or schema["enum"])[0]
    if "const" in schema or schema.get("default") is not None:
        return schema.get("const", schema.get("default"))
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _of(schema[key][0], parts, whole, name, depth)
    if schema.get("type") == "object":
        return _object(schema, parts, whole, name, depth)
    if schema.get("type") == "array" and name not in _BY_NAME:
        items = schema.get("items", {})
        return [_of(items, parts, whole, name, depth + 1)] if depth < _DEPTH_MOST and items else []
    return _plain(schema, name)


def _plain(schema: Mapping[str, Any], name: str) -> Any:
    kind = schema.get("type")
    if name in _BY_NAME and isinstance(_BY_NAME[name], list if kind == "array" else str):
        return _BY_NAME[name]
    if kind == "string":
        return _BY_FORMAT.get(schema.get("format", ""), "x" * max(1, schema.get("minLength", 0)))
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1, 1)
    return {"boolean": True, "array": []}.get(kind or "")


def _object(schema: Mapping[str, Any], parts: Mapping[str, Any], whole: bool, name: str, depth: int) -> Any:
    fields = schema.get("properties", {})
    if not fields and isinstance(_BY_NAME.get(name), dict):
        return _BY_NAME[name]
    if depth >= _DEPTH_MOST:
        return {}
    wanted = fields if whole else [one for one in fields if one in schema.get("required", ())]
    return {one: _of(fields[one], parts, whole, one, depth + 1) for one in wanted}
