"""The arguments of a kind: read from the handler's signature once, checked when enqueued and again when run."""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Annotated, Any, Final, NotRequired, Union, get_args, get_origin, get_type_hints

import orjson
from pydantic import ConfigDict, PydanticUserError, SecretStr, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError
from typing_extensions import TypedDict

from jobledger.errors import BadInput, InvalidArgs, InvalidArgument
from jobledger.jobs.context import Context
from jobledger.jobs.outcomes import Outcome
from jobledger.jobs.refusal import declared_names, invalid_args, refusal
from jobledger.jobs.secret import Concealer, Resolvers, Secret, by_reference, conceal_here, holds_hidden_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_CONFIG: Final = ConfigDict(extra="forbid", allow_inf_nan=False)


class Arguments:
    """What a handler takes, as a JSON object by parameter name.

    A first parameter annotated `Context` is the worker's to fill and is no argument. Every other parameter is named:
    `*args`, `**kwargs` and positional-only parameters are refused when the kind is declared. A parameter left out when
    enqueuing stays out of the log; the handler's own default then holds at the time it runs.
    """

    def __init__(self, kind: str, function: Callable[..., Any], namespace: Mapping[str, Any] | None = None) -> None:
        """Read the signature; annotations that are text are looked up in the module, then in `namespace`."""
        hints = _hints(kind, function, namespace)
        parameters = list(inspect.signature(function).parameters.values())
        self.kind = kind
        self.takes_context = bool(parameters) and _is_context(hints.get(parameters[0].name))
        fields: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        secrets = set()
        for parameter in parameters[self.takes_context :]:
            _check(kind, parameter, hints.get(parameter.name))
            annotation, is_secret = by_reference(hints.get(parameter.name, Any))
            if is_secret:
                secrets.add(parameter.name)
            if parameter.default is not inspect.Parameter.empty:
                annotation = NotRequired[annotation]
                defaults[parameter.name] = parameter.default
            fields[parameter.name] = annotation
        self.secrets: frozenset[str] = frozenset(secrets)
        self._positional = [name for name in fields if _positional(parameters, name)]
        adapter = _adapter(kind, fields)
        # Without the adapter's own step in Python before each: jobs are many.
        self._validator, self._serializer = adapter.validator, adapter.serializer
        self.schema: dict[str, Any] = _schema(kind, adapter, defaults)
        self._names = frozenset(declared_names(self.schema))

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the call's arguments by name. Raises `InvalidArgs` for too many, or one given twice."""
        if not args:
            return dict(kwargs)
        if len(args) > len(self._positional):
            raise self._refused("(all)", f"takes {len(self._positional)} positional arguments")
        values = dict(zip(self._positional, args, strict=False))
        for name in kwargs:
            if name in values:
                raise self._refused(name, "given twice")
        return {**values, **kwargs}

    def dump(self, values: Mapping[str, Any], resolvers: Resolvers | None = None) -> bytes:
        """Check Python values and return them as JSON, fit for the log.

        Raises:
            InvalidArgs: names every field that does not fit and why, never its value.
            SecretInPlain: a secret argument holds something other than a `Secret`.
        """
        try:
            checked = self._validator.validate_python(dict(values))
        except ValidationError as error:
            # Pydantic's own text quotes the input; it must not reach a traceback either.
            raise self._refusal(error) from None
        return self._dumped(checked, resolvers)

    def dump_json(self, document: bytes | str, resolvers: Resolvers | None = None) -> bytes:
        """Check arguments given as JSON (a command line, another language) and return them as they are stored."""
        return self._dumped(self.load(document), resolvers)

    def load(self, document: bytes | str) -> dict[str, Any]:
        """Check a job's stored arguments and return them by name; secrets are still references.

        Raises:
            InvalidArgs: the arguments do not fit this version of the handler.
        """
        try:
            checked: dict[str, Any] = self._validator.validate_json(document)
        except ValidationError as error:
            raise self._refusal(error) from None
        return checked

    async def resolve(self, values: dict[str, Any], resolvers: Resolvers) -> Concealer:
        """Put the values of the secrets in place, just before the handler; return what takes them out of its words.

        Raises:
            NotFound: a secret could not be resolved; names the scheme only.
        """
        plain = []
        for name in sorted(self.secrets):
            reference = values.get(name)
            if isinstance(reference, Secret):
                values[name] = found = await resolvers.resolve(reference)
                plain.append(found.get_secret_value())
        conceal = Concealer(plain)
        conceal_here(conceal)
        return conceal

    def _dumped(self, checked: dict[str, Any], resolvers: Resolvers | None) -> bytes:
        if self.secrets and resolvers is not None:
            resolvers.refuse_unknown(value for value in checked.values() if isinstance(value, Secret))
        try:
            document = self._serializer.to_json(checked, warnings="error")
        except (PydanticSerializationError, ValueError, RecursionError):
            raise self._refused("(all)", "a value cannot be written as JSON") from None
        if b"\\u0000" in document and _has_nul(orjson.loads(document)):
            raise self._refused("(all)", "a text holds the character U+0000, which Postgres cannot store")
        return document

    def _refusal(self, error: ValidationError) -> BadInput:
        return refusal(self.kind, error, self._names)

    def _refused(self, at: str, why: str) -> InvalidArgs:
        return invalid_args(self.kind, [{"at": at, "reason": why}])


class ResultType:
    """What a handler returns, outcomes taken away: how a result is written, and read back of the declared type."""

    def __init__(self, kind: str, function: Callable[..., Any], namespace: Mapping[str, Any] | None = None) -> None:
        """Read the return annotation; without one any JSON is a result."""
        self.kind = kind
        declared = without_outcomes(_hints(kind, function, namespace).get("return", Any))
        if holds_secret(declared):
            raise InvalidArgument(f"{kind} returns a secret; results are kept in the log, secrets never.")
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(declared)
        except (PydanticSchemaGenerationError, PydanticUserError):
            raise InvalidArgument(f"The result of {kind} is of a type that has no JSON form.") from None

    def dump(self, value: Any) -> bytes | None:
        """Return the result as JSON, None for None. Raises `InvalidArgs` if it is not of the declared type."""
        if value is None:
            return None
        try:
            return self._adapter.dump_json(self._adapter.validate_python(value), warnings="error")
        except (ValidationError, PydanticSerializationError, ValueError, RecursionError):
            raise InvalidArgs(f"The result of {self.kind} is not of the declared type, or has no JSON form.") from None

    def load(self, document: bytes | str | None) -> Any:
        """Return the result of the declared type. Raises `InvalidArgs` when the stored one does not fit any more."""
        try:
            return self._adapter.validate_json(document or b"null")
        except ValidationError:
            raise InvalidArgs(f"The stored result of {self.kind} is not of the type now declared.") from None


def without_outcomes(declared: Any) -> Any:
    """Return a return annotation without `Snooze`, `Cancel`, `Retry` and `Park`, which never are a job's result."""
    origin = get_origin(declared)
    if origin is Annotated:
        return declared
    if origin in (Union, types.UnionType):
        kept = tuple(part for part in get_args(declared) if not _is_outcome(part))
        return Union[kept] if kept else None  # noqa: UP007 - built at run time
    return None if _is_outcome(declared) else declared


def holds_secret(declared: Any) -> bool:
    """Tell whether an annotation is a secret or holds one directly."""
    return declared is SecretStr or declared is Secret or any(map(holds_secret, get_args(declared)))


def _is_outcome(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, Outcome)


def _is_context(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Context)


def _positional(parameters: list[inspect.Parameter], name: str) -> bool:
    return any(parameter.name == name and parameter.kind is _NAMED[0] for parameter in parameters)


def _hints(kind: str, function: Callable[..., Any], namespace: Mapping[str, Any] | None) -> dict[str, Any]:
    known = {**(namespace or {})}
    if "Context" not in getattr(inspect.unwrap(function), "__globals__", {}):
        # Often imported for type checkers only; the one name that can be known without an import.
        known.setdefault("Context", Context)
    try:
        return get_type_hints(function, localns=known, include_extras=True)
    except NameError as error:
        raise InvalidArgument(
            f"An annotation of {kind} names {error.name}, which does not exist at run time.",
            hint="Import it outside TYPE_CHECKING: the arguments are checked by it.",
        ) from None


def _check(kind: str, parameter: inspect.Parameter, annotation: Any) -> None:
    if parameter.kind not in _NAMED:
        raise InvalidArgument(f"{kind}: the parameter {parameter} cannot be enqueued; arguments go by name.")
    if _is_context(annotation):
        raise InvalidArgument(f"{kind}: the context is the first parameter, not {parameter.name}.")
    if isinstance(parameter.default, FieldInfo):
        raise InvalidArgument(f"{kind}: write {parameter.name} as Annotated[type, Field(…)], with a plain default.")


def _adapter(kind: str, fields: dict[str, Any]) -> TypeAdapter[dict[str, Any]]:
    typed_dict: Any = TypedDict
    shape = typed_dict(kind, fields)
    shape.__pydantic_config__ = _CONFIG
    try:
        return TypeAdapter(shape)
    except (PydanticSchemaGenerationError, PydanticUserError):
        raise InvalidArgument(
            f"An argument of {kind} is of a type that has no JSON form.",
            hint="Use what pydantic knows: plain types, dataclasses, TypedDicts, models.",
        ) from None


def _schema(kind: str, adapter: TypeAdapter[dict[str, Any]], defaults: Mapping[str, Any]) -> dict[str, Any]:
    try:
        schema = adapter.json_schema()
    except PydanticUserError:
        raise InvalidArgument(f"An argument of {kind} has no JSON Schema.") from None
    if holds_hidden_secret(schema):
        raise InvalidArgument(
            f"{kind}: a secret lies inside another argument.", hint="Make it an argument of its own, typed SecretStr."
        )
    schema.pop("title", None)
    for name, default in defaults.items():
        part = schema["properties"][name]
        if isinstance(default, (str, int, float, bool, type(None))) and not part.get("x-masked"):
            part["default"] = default
    for part in schema.get("properties", {}).values():
        part.pop("title", None)
    return schema


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))
