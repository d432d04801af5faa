"""The service's own key: what is derived from it and signed with it is told apart by purpose, and by database."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobledger.errors import Forbidden, JobledgerError, TooLarge, Unauthenticated
from jobledger.store.service_key import PAYLOAD_MOST, ServiceKey

if TYPE_CHECKING:
    from jobledger.store.pool import Store

KEY = ServiceKey(bytes(range(64)))


def test_a_secret_is_the_same_for_its_label_and_no_other() -> None:
    """Every process derives the same secret; another label, length or key gives another."""
    assert KEY.derive("webhook:a:1") == ServiceKey(bytes(range(64))).derive("webhook:a:1")
    assert [len(KEY.derive("lengths", length)) for length in (16, 64, 32, 16)] == [16, 64, 32, 16]
    others = {KEY.derive(label) for label in ("webhook:a:1", "webhook:a:2", "webhook:b:1", "push:a:1")}
    assert len(others | {ServiceKey(os.urandom(64)).derive("webhook:a:1")}) == 5
    assert len(KEY.derive("a", 16)) == 16


def test_what_was_signed_is_read_and_nothing_else_is() -> None:
    """A changed, cut or respelt text, one for another purpose or of another service, are one and the same refusal."""
    text = KEY.sign("token", b"payload")
    assert KEY.verify("token", text) == b"payload"
    flipped = text[:-3] + ("A" if text[-3] != "A" else "B") + text[-2:]
    wrong = [flipped, text[:-4], text + "A", text + "=", text + "\n", "", "é", "A" * 10_000, " " + text, text.upper()]
    wrong += [KEY.sign("push", b"payload"), ServiceKey(os.urandom(64)).sign("token", b"payload")]
    said = set()
    for one in wrong:
        with pytest.raises(Unauthenticated) as told:
            KEY.verify("token", one)
        said.add(str(told.value))
    assert len(said) == 1


def test_every_single_changed_character_is_found() -> None:
    """No character of the text is without meaning, the last one's spare bits neither."""
    for size in (0, 1, 2, 3):
        text = KEY.sign("token", b"x" * size)
        for place, was in enumerate(text):
            for put in ("A", "B", "_", "9"):
                if put != was:
                    with pytest.raises(Unauthenticated):
                        KEY.verify("token", text[:place] + put + text[place + 1 :])


def test_what_is_too_long_is_not_signed() -> None:
    """The longest payload is signed and read; one byte more is refused."""
    assert KEY.verify("a", KEY.sign("a", b"x" * PAYLOAD_MOST)) == b"x" * PAYLOAD_MOST
    with pytest.raises(TooLarge):
        KEY.sign("a", b"x" * (PAYLOAD_MOST + 1))


def test_it_tells_nothing_of_itself() -> None:
    """Neither its text nor an error holds the key; one that is too short is none."""
    assert "0x" not in repr(KEY)
    assert bytes(range(8)).hex() not in repr(KEY)
    with pytest.raises(JobledgerError):
        ServiceKey(b"short")


async def test_services_of_one_database_share_it_and_a_bound_role_has_none(store: Store) -> None:
    """Two loads sign alike; a role of one tenant is refused."""
    async with store.connection() as connection:
        one, two = await ServiceKey.load(connection), await ServiceKey.load(connection)
        assert two.verify("a", one.sign("a", b"p")) == b"p"
        async with connection.transaction():
            await connection.execute("set local role jobledger_reader")
            with pytest.raises(Forbidden):
                await ServiceKey.load(connection)
