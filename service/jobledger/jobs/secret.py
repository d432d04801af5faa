"""Secrets by reference: a secret argument enters the log as a reference, and only the worker ever sees its value."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import orjson
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SecretBytes, SecretStr
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from jobledger.errors import InvalidArgument, NotFound, SecretInPlain

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue

Resolver = Callable[[str], "str | Awaitable[str]"]

_REFERENCE: Final = re.compile(r"([a-z][a-z0-9+.-]{0,31}):([\x21-\x7e][\x20-\x7e]{0,1023})\Z")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}\Z")
_PLAIN: Final = "secret_in_plain"
FILE_LIMIT_BYTES: Final = 65_536
_HIDDEN: Final = "[secret]"


class Secret(SecretStr):
    """A reference to a secret: `env:NAME`, `file:PATH`, or a scheme that the app has a resolver for.

    It is a `SecretStr`, so it fits an argument declared as one; the handler receives a plain `SecretStr` with the
    resolved value. Raises `SecretInPlain` for text that is no reference; the text is never shown.
    """

    def __init__(self, reference: str) -> None:
        """Take a reference, never the secret itself."""
        if not is_reference(reference):
            raise SecretInPlain
        super().__init__(reference)

    @property
    def reference(self) -> str:
        """The reference as it goes into the log."""
        return super().get_secret_value()

    def get_secret_value(self) -> str:
        """Refuse: outside a handler there is only the reference."""
        raise SecretInPlain("The value of a secret exists in its handler only.")

    def __repr__(self) -> str:
        """Show that it is a reference, not which."""
        return "Secret(…)"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take a `Secret` from Python, a reference from JSON; refuse everything else without naming it."""
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_plain_validator_function(_from_json),
            python_schema=core_schema.no_info_plain_validator_function(_from_python),
            serialization=core_schema.plain_serializer_function_ser_schema(_dump, return_schema=None),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the reference; `x-secret` lets every face and language know the argument for what it is."""
        return {"type": "string", "pattern": "^" + _REFERENCE.pattern.removesuffix(r"\Z") + "$", "x-secret": True}


def _dump(secret: Secret) -> str:
    return secret.reference


def _from_python(value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    raise PydanticCustomError(_PLAIN, "a secret goes in as a reference")


def _from_json(value: Any) -> Secret:
    if isinstance(value, str) and is_reference(value):
        return Secret(value)
    raise PydanticCustomError(_PLAIN, "a secret goes in as a reference")


def is_reference(text: object) -> bool:
    """Tell whether `text` has the form of a reference; `env:` names a variable, `file:` an absolute path."""
    match = _REFERENCE.match(text) if isinstance(text, str) else None
    if match is None:
        return False
    scheme, name = match.groups()
    if scheme == "env":
        return _VARIABLE.match(name) is not None
    return scheme != "file" or name.startswith("/")


def by_reference(annotation: Any) -> tuple[Any, bool]:
    """Return the annotation with `SecretStr` replaced by `Secret`, and whether there was one.

    Only `SecretStr`, `SecretStr | None` and `Annotated` forms of them: a secret deep in a model could not be resolved
    without rebuilding the model.
    """
    if annotation is SecretStr or annotation is Secret:
        return Secret, True
    if annotation is SecretBytes:
        raise InvalidArgument("A secret argument is declared as SecretStr.")
    inner = get_args(annotation)
    if type(None) in inner and len(inner) == 2 and (SecretStr in inner or Secret in inner):
        return Secret | None, True
    metadata = getattr(annotation, "__metadata__", None)
    if metadata is not None:
        replaced, found = by_reference(inner[0])
        return (replaced, True) if found else (annotation, False)
    return annotation, False


def holds_hidden_secret(schema: Any) -> bool:
    """Tell whether a JSON Schema has pydantic's own secret somewhere: one that would be logged as asterisks."""
    if isinstance(schema, dict):
        if schema.get("format") == "password" and schema.get("writeOnly"):
            return True
        return any(holds_hidden_secret(part) for part in schema.values())
    return isinstance(schema, list) and any(holds_hidden_secret(part) for part in schema)


def secret_fields(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the secret arguments that a kind's JSON Schema declares."""
    named = schema.get("properties")
    return frozenset(name for name, part in named.items() if _marked(part)) if isinstance(named, dict) else frozenset()


def _marked(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    branches = part.get("anyOf")
    return bool(part.get("x-secret")) or (isinstance(branches, list) and any(map(_marked, branches)))


def refuse_plain(schema: Mapping[str, Any], args: Mapping[str, Any]) -> None:
    """Raise `SecretInPlain` when a secret argument of `schema` holds anything but a reference (or null)."""
    for name in secret_fields(schema):
        if args.get(name) is not None and not is_reference(args[name]):
            raise SecretInPlain(detail={"fields": [name]})


class Resolvers:
    """How references become values: one resolver a scheme, run in the worker just before the handler."""

    def __init__(self) -> None:
        """Know `env` and `file`."""
        self._by_scheme: dict[str, Resolver] = {"env": _from_environment, "file": _from_file}

    def add(self, scheme: str, resolver: Resolver) -> None:
        """Resolve `scheme:…` by calling `resolver` with what follows the colon; it may be async."""
        if not isinstance(scheme, str) or not re.fullmatch(r"[a-z][a-z0-9+.-]{0,31}", scheme):
            raise InvalidArgument(
                "A secret scheme is 1 to 32 of the characters a-z 0-9 + . - and begins with a letter."
            )
        self._by_scheme[scheme] = resolver

    def refuse_unknown(self, secrets: Iterable[Secret]) -> None:
        """Raise `SecretInPlain` for a scheme nobody resolves: most likely the secret itself, with a colon in it."""
        for secret in secrets:
            if secret.reference.partition(":")[0] not in self._by_scheme:
                raise SecretInPlain(hint=f"Known schemes: {', '.join(sorted(self._by_scheme))}.")

    async def resolve(self, secret: Secret) -> SecretStr:
        """Return the secret's value. Raises `NotFound`, which names neither reference nor value."""
        self.refuse_unknown([secret])
        scheme, _, name = secret.reference.partition(":")
        try:
            found = self._by_scheme[scheme](name)
            value = await found if inspect.isawaitable(found) else found
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a resolver's own error may quote what it was asked for
            raise NotFound(f"A secret could not be resolved ({scheme}: {type(error).__name__}).") from None
        return SecretStr(value)


def _from_environment(name: str) -> str:
    return os.environ[name]


async def _from_file(path: str) -> str:
    return await asyncio.to_thread(_read, Path(path))


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(FILE_LIMIT_BYTES + 1)
    if len(content) > FILE_LIMIT_BYTES:
        raise ValueError(f"a secret file has at most {FILE_LIMIT_BYTES} bytes")
    return content.decode().rstrip("\r\n")


class Concealer:
    """Takes the values of a job's secrets out of whatever the job says: its log, error, progress and result."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Conceal `values`, the longest first; each also in the form it takes inside JSON and inside a repr."""
        forms = {form for value in values if value for form in (value, repr(value)[1:-1], _json_form(value))}
        self._forms = sorted(forms, key=len, reverse=True)

    def __bool__(self) -> bool:
        """Tell whether there is anything to conceal."""
        return bool(self._forms)

    def text(self, text: str) -> str:
        """Return `text` without the secrets."""
        for form in self._forms:
            text = text.replace(form, _HIDDEN)
        return text

    def json(self, document: bytes) -> bytes:
        """Return a JSON document without the secrets; strings stay strings."""
        if not self._forms:
            return document
        whole: bytes = orjson.dumps(self.value(orjson.loads(document)))
        return whole

    def value(self, value: Any) -> Any:
        """Return what JSON can hold (texts, lists, objects of them) without the secrets."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value


# What the task that runs here was given, also after its handler ended: a record of a failure that is made later, by
# whoever ended the handler, must not depend on being handed the secrets again.
_given: ContextVar[Concealer | None] = ContextVar("jobledger_secrets", default=None)


def concealer_here() -> Concealer:
    """Return what conceals the secrets last resolved in this task."""
    return _given.get() or Concealer()


def conceal_here(conceal: Concealer) -> None:
    """Remember, for this task, what to conceal."""
    _given.set(conceal)


def _json_form(value: str) -> str:
    form: str = orjson.dumps(value).decode()[1:-1]
    return form
