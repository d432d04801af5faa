"""Signatures: any receiver that follows Standard Webhooks accepts them, and nothing else is accepted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from jobledger.delivery import signature
from jobledger.errors import InvalidArgument, Unauthenticated
from jobledger.store.service_key import ServiceKey

KEY = ServiceKey(b"k" * 32)
BODY = b'{"id":"1","data":"\xc3\xa9"}'


def test_another_implementation_accepts_each_signature_during_a_change_of_secrets() -> None:
    """What is signed with two secrets is taken by whoever knows either, and by nobody who knows another."""
    new, old = signature.secrets(KEY, "webhook:1", 2, kept=1)
    headers = signature.sign([new, old], "msg_1", BODY)
    for one in (new, old):
        Webhook(one).verify(BODY, headers)
        signature.verify(one, headers, BODY)
    for label, generation in (("webhook:1", 3), ("webhook:2", 2), ("push:1", 2)):
        stranger = signature.secret(KEY, label, generation)
        with pytest.raises(WebhookVerificationError):
            Webhook(stranger).verify(BODY, headers)
        with pytest.raises(Unauthenticated):
            signature.verify(stranger, headers, BODY)
    assert signature.secrets(KEY, "webhook:1", 1, kept=1) == [signature.secret(KEY, "webhook:1", 1)]
    assert new == signature.secret(KEY, "webhook:1", 2)
    assert new.startswith("whsec_")
    assert len(new) == 6 + 44


def test_what_another_implementation_signs_is_accepted() -> None:
    """A request signed by the reference package passes, with headers in any case."""
    secret = signature.secret(KEY, "webhook:1")
    now = datetime.now(UTC)
    signed = Webhook(secret).sign("msg_2", now, BODY.decode())
    headers = {"Webhook-Id": "msg_2", "Webhook-Timestamp": str(int(now.timestamp())), "Webhook-Signature": signed}
    signature.verify([secret], headers, BODY)


def test_nothing_but_the_signed_request_within_its_time_is_accepted() -> None:
    """Another body, id, time, version or no signature at all is refused; so is what is too old or too new."""
    secret = signature.secret(KEY, "webhook:1")
    headers = signature.sign([secret], "msg_1", BODY, at=1_000_000)
    signature.verify(secret, headers, BODY, now=1_000_300)
    faults: list[tuple[dict[str, str], bytes, float]] = [
        (headers, BODY + b" ", 1_000_000),
        (headers | {"webhook-id": "msg_2"}, BODY, 1_000_000),
        (headers | {"webhook-timestamp": "1000001"}, BODY, 1_000_000),
        (headers | {"webhook-timestamp": "\u0661"}, BODY, 1_000_000),
        (headers | {"webhook-timestamp": "9" * 400}, BODY, 1_000_000),
        (headers | {"webhook-signature": headers["webhook-signature"].replace("v1,", "v1a,")}, BODY, 1_000_000),
        (headers | {"webhook-signature": "v1,\u00e9"}, BODY, 1_000_000),
        (headers | {"webhook-signature": ""}, BODY, 1_000_000),
        ({}, BODY, 1_000_000),
        (headers, BODY, 1_000_301),
        (headers, BODY, 999_699),
    ]
    for given, body, now in faults:
        with pytest.raises(Unauthenticated):
            signature.verify(secret, given, body, now=now)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_*", "whsec_a"])
def test_what_is_no_secret_signs_nothing(secret: str) -> None:
    """An empty or broken secret is an error, not a signature that anybody could make."""
    with pytest.raises(InvalidArgument):
        signature.sign([secret], "msg_1", BODY)
    with pytest.raises(InvalidArgument):
        signature.verify(secret, {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}, b"", now=1)
