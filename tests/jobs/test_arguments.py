"""Arguments: read from the signature once, checked at both ends, refused without an echo."""
# ruff: noqa: ARG001 - the handlers here are read for their signatures, not run

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, HttpUrl, SecretStr

from jobledger.errors import InvalidArgs, InvalidArgument, JobledgerError
from jobledger.jobs import App, Cancel, Context, Masked, Park, Snooze, masked
from jobledger.jobs.arguments import Arguments, ResultType

if TYPE_CHECKING:
    from collections.abc import Callable

CANARY = "canary-4f1c"


class Colour(enum.Enum):
    """A colour."""

    RED = "red"


class Address(BaseModel):
    """A model with a masked field."""

    city: str
    street: Annotated[str, Masked] = "unknown"


@dataclass
class Window:
    """A dataclass."""

    start: datetime


async def rich(
    context: Context,
    number: int,
    address: Address,
    window: Window,
    *,
    colour: Colour = Colour.RED,
    mode: Literal["a", "b"] = "a",
    link: HttpUrl | None = None,
    key: UUID | None = None,
    price: Decimal = Decimal(1),
    share: Annotated[float, Field(ge=0, le=1)] = 0.5,
    counts: dict[str, int] | None = None,
    email: Annotated[str, Masked] = "",
) -> int | Snooze:
    """Take many types."""
    return number


def test_rich_types_come_back_as_they_went_in() -> None:
    """What is dumped when enqueued loads as equal values when run."""
    arguments = Arguments("rich", rich)
    given_values: dict[str, Any] = {
        "number": 1,
        "address": Address(city="Ulm"),
        "window": Window(datetime(2026, 1, 2, tzinfo=UTC)),
        "key": uuid4(),
        "price": Decimal("1.10"),
        "counts": {"x": 2},
        "link": HttpUrl("https://example.org/"),
        "colour": Colour.RED,
    }
    assert arguments.load(arguments.dump(given_values)) == given_values


def test_the_context_is_no_argument_and_defaults_are_described() -> None:
    """The schema lists what a caller may give, required apart from optional."""
    schema = Arguments("rich", rich).schema
    assert "context" not in schema["properties"]
    assert schema["required"] == ["number", "address", "window"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["mode"]["default"] == "a"


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"number": CANARY}, {"number", "address", "window"}),
        ({"address": {"city": 5, CANARY: 1}}, {"number", "address.city", "window"}),
        ({"mode": CANARY, "colour": CANARY}, {"number", "address", "window", "mode", "colour"}),
        ({"link": CANARY, "key": CANARY, "price": CANARY}, {"number", "address", "window", "link", "key", "price"}),
        ({"counts": {CANARY: CANARY}, "share": 7}, {"number", "address", "window", "counts.*", "share"}),
        ({CANARY: CANARY}, {"number", "address", "window", "*"}),
        ({"window": {"start": CANARY}}, {"number", "address", "window.start"}),
    ],
)
def test_a_refusal_names_the_fields_and_never_the_value(values: dict[str, Any], fields: set[str]) -> None:
    """Field paths and reasons, in message and detail; the value and made-up keys nowhere, the traceback included."""
    with pytest.raises(InvalidArgs) as caught:
        Arguments("rich", rich).dump(values)
    assert {field["at"] for field in caught.value.detail["fields"]} == fields
    assert (
        CANARY
        not in f"{caught.value} {caught.value.detail} {caught.getrepr(style='long', showlocals=False, chain=True)}"
    )
    assert caught.value.__suppress_context__


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.binary(), st.lists, max_leaves=5))
def test_any_value_is_either_taken_or_refused_by_name(value: object) -> None:
    """No input makes anything but InvalidArgs; what is taken can be stored and read back."""

    def free(anything: Any) -> None:
        """Take anything."""

    arguments = Arguments("free", free)
    try:
        document = arguments.dump({"anything": value})
    except InvalidArgs:
        return
    assert "anything" in arguments.load(document)


def test_positions_and_names_bind_like_a_call() -> None:
    """Too many, or one twice, is refused as a call would be."""

    def two(a: int, b: int = 0) -> None:
        """Take two."""

    arguments = Arguments("two", two)
    assert arguments.bind((1,), {"b": 2}) == {"a": 1, "b": 2}
    for args, kwargs in (((1, 2, 3), {}), ((1,), {"a": 2})):
        with pytest.raises(InvalidArgs):
            arguments.bind(args, kwargs)


def test_a_nul_character_is_refused_wherever_it_hides() -> None:
    """Postgres cannot store U+0000; an escaped backslash before u0000 is no such character."""

    def text(t: Any) -> None:
        """Take anything."""

    arguments = Arguments("text", text)
    for bad in ("a\0", {"\0": 1}, [["\0"]]):
        with pytest.raises(InvalidArgs):
            arguments.dump({"t": bad})
    assert arguments.load(arguments.dump({"t": "\\u0000"})) == {"t": "\\u0000"}


def bad_signatures() -> list[Callable[..., Any]]:
    """Return handlers whose signature cannot be a kind's."""

    def stars(*args: int) -> None: ...
    def keywords(**kwargs: int) -> None: ...
    def positional(a: int, /) -> None: ...
    def late_context(a: int, context: Context) -> None: ...
    def field_default(a: int = Field(1)) -> None: ...
    def no_form(a: asyncio_lock) -> None: ...
    def no_json(a: Callable[[], int]) -> None: ...
    def unknown(a: DoesNotExist) -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def secret_inside(a: list[SecretStr]) -> None: ...

    return [stars, keywords, positional, late_context, field_default, no_form, no_json, unknown, secret_inside]


class asyncio_lock:  # noqa: N801 - reads as the type that it stands for
    """A type pydantic knows nothing of."""


@pytest.mark.parametrize("function", bad_signatures(), ids=lambda function: function.__name__)
def test_a_signature_that_cannot_be_a_kinds_is_refused_when_declared(function: Callable[..., Any]) -> None:
    """The mistake shows where it is made, not when the first job runs."""
    with pytest.raises(InvalidArgument):
        App().job()(function)


def test_annotations_may_name_what_is_local_to_the_declaring_function() -> None:
    """Kinds declared inside a function, as in tests, see its local types."""

    class Local(BaseModel):
        x: int

    own = App()

    @own.job()
    async def local(value: Local) -> Local:
        """Return it."""
        return value

    assert local.arguments.load(local.arguments.dump({"value": Local(x=1)})) == {"value": Local(x=1)}


def test_marked_fields_are_masked_at_any_depth() -> None:
    """The schema carries the mark, so that a face needs no Python to mask."""
    schema = Arguments("rich", rich).schema
    args = {"number": 1, "address": {"city": "Ulm", "street": CANARY}, "email": CANARY}
    assert masked(schema, args) == {"number": 1, "address": {"city": "Ulm", "street": "•••"}, "email": "•••"}
    assert masked(None, args) == args

    def lists(people: list[Address], by_name: dict[str, Address | None]) -> None:
        """Take lists."""

    deep = {"people": [{"city": "x", "street": CANARY}], "by_name": {"a": {"city": "x", "street": CANARY}, "b": None}}
    assert CANARY not in str(masked(Arguments("lists", lists).schema, deep))


def test_a_result_is_of_the_declared_type_without_outcomes() -> None:
    """Outcomes in the return annotation are not results."""
    result = ResultType("rich", rich)
    assert result.load(result.dump(5)) == 5
    assert result.dump(None) is None
    with pytest.raises(InvalidArgs):
        result.dump("five")

    async def address() -> Address | Park | Cancel | None:
        """Return a model."""
        return None

    typed = ResultType("address", address)
    assert typed.load(typed.dump(Address(city="Ulm"))) == Address(city="Ulm")
    assert typed.load(None) is None


def test_a_kind_that_returns_a_secret_is_refused() -> None:
    """Results are in the log."""

    def leak() -> SecretStr:
        """Return a secret."""
        raise AssertionError

    with pytest.raises(InvalidArgument):
        App().job()(leak)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "no spaces"},
        {"queue": ""},
        {"version": 0},
        {"priority": 1001},
        {"max_attempts": 0},
        {"timeout": 0},
        {"timeout": 0.5},
        {"kill_after": 0},
        {"isolation": "fiber"},
        {"transaction": True, "isolation": "process"},
        {"aliases": ["no spaces"]},
    ],
)
def test_a_declaration_out_of_range_is_refused(options: dict[str, Any]) -> None:
    """Each option of the decorator has its range."""

    async def fine() -> None:
        """Do nothing."""

    with pytest.raises(JobledgerError):
        App().job(**options)(fine)


def test_two_kinds_of_one_name_are_refused() -> None:
    """Names and aliases are one space."""
    own = App()

    @own.job(aliases=["old"])
    async def one() -> None:
        """Do nothing."""

    async def old() -> None:
        """Do nothing."""

    with pytest.raises(InvalidArgument):
        own.job()(old)
    assert own.kind("old") is own.kind("one")
    assert sorted(own.names) == ["old", "one"]


@pytest.mark.parametrize("handler", [int, 5, lambda: (yield), Address])
def test_a_handler_is_a_function(handler: Any) -> None:
    """Classes, values and generators are refused when declared."""
    with pytest.raises(InvalidArgument):
        App().job("it")(handler)


def test_a_modules_own_context_is_not_jobledgers() -> None:
    """A class of the application may have the name of one of ours."""
    module: dict[str, Any] = {"App": App}
    code = (
        "from __future__ import annotations\n"
        "from pydantic import BaseModel\n"
        "class Context(BaseModel):\n    x: int\n"
        "app = App()\n"
        "@app.job()\ndef own(context: Context) -> None: ...\n"
    )
    exec(code, module)  # noqa: S102 - a module of its own
    assert list(module["own"].schema["properties"]) == ["context"]


async def test_a_kind_is_still_the_plain_function() -> None:
    """Calling a kind calls the handler."""
    own = App()

    @own.job()
    async def double(x: int) -> int:
        """Double it."""
        return 2 * x

    @own.job()
    def triple(x: int) -> int:
        """Triple it."""
        return 3 * x

    assert await double(2) == 4
    assert triple(2) == 6
    assert (double.__name__, double.__doc__) == ("double", "Double it.")
