"""What an endpoint says of pushed jobs, put into outcomes; and the tokens that they are reported by."""

from __future__ import annotations

import time
from uuid import uuid4

import orjson
import pytest

from jobledger.delivery import push_token
from jobledger.delivery.push_answer import (
    AnswerNotUnderstood,
    Told,
    ToldError,
    class_of,
    failure_of,
    not_started,
    report_of,
    told_of,
)
from jobledger.delivery.push_token import PushToken
from jobledger.delivery.sender import Sent
from jobledger.errors import Unauthenticated
from jobledger.lifecycle.retry import classify
from jobledger.store.service_key import ServiceKey

ONE, TWO = uuid4(), uuid4()


def answered(body: object, status: int = 200) -> Sent:
    """Return an answer with a document, or with these bytes."""
    return Sent(status, None, body if isinstance(body, bytes) else orjson.dumps(body), None, 0.1)


@pytest.mark.parametrize(
    ("sent", "began"),
    [
        (Sent(None, "connection", b"", None, 0.1, reached=False), False),
        (Sent(None, "tls", b"", None, 0.1, reached=False), False),
        (Sent(None, "address", b"", None, 0.1, reached=False), False),
        (Sent(429, "status", b"", 3.0, 0.1), False),
        (Sent(503, "status", b"", None, 0.1), False),
        (Sent(307, "redirect", b"", None, 0.1), False),
        (Sent(None, "connection", b"", None, 0.1), True),
        (Sent(None, "timeout", b"", None, 0.1), True),
        (Sent(500, "status", b"", None, 0.1), True),
    ],
)
def test_a_delivery_that_came_to_nothing_is_told_from_one_that_failed(sent: Sent, began: bool) -> None:
    """What may have reached the endpoint may have run; what it refused, or never got, has not."""
    assert not_started(sent) is not began


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        *((400, "permanent"), (422, "permanent"), (501, "permanent"), (401, "permission"), (403, "permission")),
        *((507, "quota"), (404, "transient"), (409, "transient"), (500, "transient"), (502, "transient")),
    ],
)
def test_a_status_is_a_failure_of_its_class(status: int, wanted: str) -> None:
    """The class decides whether there is another attempt; it survives the way through the retry policy."""
    assert class_of(status) == wanted
    assert classify(failure_of(Sent(status, "status", b"", None, 0.1))) == wanted


def test_an_answer_tells_of_each_job() -> None:
    """202 accepts all, no body succeeds all, else each is named; a single one need not be."""
    jobs = [ONE, TWO]
    assert {one.outcome for one in told_of(answered(b"", 202), jobs).values() if isinstance(one, Told)} == {"accepted"}
    assert told_of(answered(b" "), jobs) == dict.fromkeys(jobs, Told(outcome="succeeded"))
    named = told_of(answered({"jobs": [{"id": str(TWO), "outcome": "succeeded", "result": 3}]}), jobs)
    assert named == {TWO: Told(outcome="succeeded", result=3)}
    assert told_of(answered({"outcome": "cancelled"}), [ONE]) == {ONE: Told(outcome="cancelled")}


@pytest.mark.parametrize(
    "body",
    [
        b"ok",
        b"[]",
        {"outcome": "succeeded"},
        {"jobs": [{"id": str(ONE), "outcome": "progressed"}, {"id": str(TWO), "outcome": "done"}]},
        {
            "jobs": [
                {"id": str(ONE), "outcome": "failed", "retry_in": -1},
                {"id": str(TWO), "mark": 1, "outcome": "failed"},
            ]
        },
    ],
)
def test_an_answer_that_is_no_outcome_is_a_failure_that_tells_nothing_of_it(body: object) -> None:
    """Names and values that the endpoint made up are not passed on."""
    found = told_of(answered(body), [ONE, TWO])
    assert set(found) == {ONE, TWO}
    assert all(isinstance(one, AnswerNotUnderstood) for one in found.values())
    assert "mark" not in str(found)


def test_a_failure_is_tried_again_as_the_endpoint_says_else_as_the_kind_does() -> None:
    """`retry_in` of the endpoint first, then the policy's; permanent, final, or the last attempt: never."""
    failed = Told(outcome="failed")
    assert report_of(failed, 7.0)[1] == {
        "error": {"type": "EndpointFailed", "message": "", "class": "transient"},
        "retry_in": 7.0,
    }
    assert (report_of(Told(outcome="failed", retry_in=1), 7.0)[1] or {})["retry_in"] == 1
    for told, retry_in in (
        (failed, None),
        (Told(outcome="failed", final=True), 7.0),
        (Told(outcome="failed", error=ToldError.model_validate({"class": "permanent"})), 7.0),
    ):
        assert (report_of(told, retry_in)[1] or {})["final"] is True


def test_a_token_says_what_was_signed_until_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other text, one of another purpose or service, and one that is too old are refused alike."""
    key = ServiceKey(b"k" * 32)
    token = PushToken(uuid4(), uuid4(), 4, int(time.time()) + 10, 2.5)
    final = token._replace(retry_in=None)
    text = token.sign(key)
    assert PushToken.read(key, text) == token
    assert PushToken.read(key, final.sign(key)) == final
    payload = key.verify(push_token.LABEL, text)
    others = [text[1:], text + "A", "", "é", ServiceKey(b"o" * 32).sign(push_token.LABEL, payload)]
    for other in [*others, key.sign("browser", payload), key.sign(push_token.LABEL, payload[:-1])]:
        with pytest.raises(Unauthenticated):
            PushToken.read(key, other)
    monkeypatch.setattr("time.time", lambda: token.expires + 1)
    with pytest.raises(Unauthenticated, match="over"):
        PushToken.read(key, text)
