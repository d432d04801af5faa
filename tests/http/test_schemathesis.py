"""The whole API as it is described, against what it answers: requests made from the description, right and wrong."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

import pytest
import schemathesis
from pydantic import BaseModel
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from jobledger import App
from jobledger.http.service import Service
from jobledger.testing import drain

if TYPE_CHECKING:
    from jobledger.store.pool import Store

SEED = 6
KNOWN: dict[str, str] = {"kind": "parcel", "queue": "default", "tenant": "acme"}
"""What is there, for every other request: parts of paths by name."""
_dice = random.Random(SEED)  # noqa: S311 - no secret
EXAMPLES = 2
"""Generated requests of each operation, beside those that cover its parameters one by one."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
)


class Parcel(BaseModel):
    """A parcel as its tenant sees it."""

    id: UUID
    state: str
    result: int | None
    error: str | None


def _app() -> App:
    app = App()

    @app.resource("parcels", public=Parcel)
    @app.job()
    async def parcel(to: str, grams: int = 100) -> int:  # noqa: ARG001 - what a parcel is made of
        return grams

    return app


@schemathesis.hook("before_call")
def _hurried(_: Any, case: Any, __: Any) -> None:
    """Let nothing wait: streams end where the log ends, and long polls answer at once."""
    asked = {parameter["name"] for parameter in case.operation.definition.raw.get("parameters", ())}
    if "live" in asked:
        case.query = {**(case.query or {}), "live": "false"}
    if "wait_s" in asked:
        case.query = {**(case.query or {}), "wait_s": "0"}
    for name in set(case.path_parameters or ()) & set(KNOWN):
        if _dice.random() < 0.5:
            case.path_parameters = {**case.path_parameters, name: KNOWN[name]}
    if isinstance(case.body, dict) and isinstance(case.body.get("kind"), str) and _dice.random() < 0.5:
        case.body |= {"kind": "parcel", "args": {"to": "ada"}}
    if isinstance(case.body, dict) and case.operation.path.endswith(("/claim", "/next")):
        case.body["wait_s"] = 0


def _config(url: str) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "base-url": url,
            "workers": 1,
            "request-timeout": 60,
            "generation": {"max-examples": EXAMPLES, "database": "none", "no-shrink": True},
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            "phases": {"stateful": {"enabled": False}},
        }
    )


def _faults(document: dict[str, Any], url: str) -> list[str]:
    """Ask everything that the document describes, and return what was wrong with the answers."""
    schema = schemathesis.openapi.from_dict(document, config=_config(url))
    found: dict[tuple[str, ...], str] = {}
    asked = 0
    for event in from_schema(schema).execute():
        if isinstance(event, (events.NonFatalError, events.FatalError)):
            told = str(getattr(event, "value", getattr(event, "exception", event)))
            found.setdefault((getattr(event, "label", ""), told), f"{getattr(event, 'label', '')}: {told}")
        if not isinstance(event, events.ScenarioFinished):
            continue
        asked += len(event.recorder.interactions)
        for checks in event.recorder.checks.values():
            for check in checks:
                if check.failure_info is not None:
                    failure = check.failure_info.failure
                    told = f"{event.recorder.label}: {failure.title}: {failure.message}"
                    found.setdefault((event.recorder.label, failure.title), f"{told}\n{check.failure_info.code_sample}")
    assert asked > 20 * len(document["paths"])
    return list(found.values())


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_everything_that_is_described_answers_as_described(store: Store, serving: Any) -> None:
    """Whatever is asked: no 5xx, and no status, media type, header or body that the description does not have."""
    app = _app()
    async with serving(store, app=app, http_body_bytes=64 * 1024) as (session, service):
        assert isinstance(service, Service)
        await service.client.register()
        await service.client.enqueue("parcel", {"to": "ada"}, tenant="acme")
        await drain(app, store)
        handle = await service.client.enqueue("parcel", {"to": "bob"}, tenant="acme")
        async with session.post("/v1/workers", json={"kinds": ["parcel"]}) as response:
            KNOWN.update(job=str(handle.id), worker=(await response.json())["worker"])
        await service.client.subscription("audit").create()
        async with session.post("/v1/subscriptions/audit/consumers", json={}) as response:
            KNOWN.update(name="audit", consumer=(await response.json())["consumer"])
        async with session.get("/openapi.json") as response:
            document = await response.json()
        assert set(document["paths"]) == {route.path for route in service.routes}
        faults = await asyncio.to_thread(_faults, document, str(session._base_url))
    assert not faults, "\n\n".join(faults)
