"""Settings: what is read, in which order, and how a bad value is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobledger.errors import InvalidArgument
from jobledger.settings import Settings, variable

CANARY = "canary-7f3a"


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)


def test_without_an_environment_the_defaults_hold() -> None:
    """Nothing needs to be set: the embedded server is the default."""
    settings = Settings()
    assert settings.address() is None
    assert (settings.shard, settings.lease_s, settings.heartbeat_s, settings.stall_after_s) == (0, 30, 10, 60)


def test_an_argument_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the caller gives wins over what the machine says."""
    monkeypatch.setenv("JOBLEDGER_LEASE_S", "60")
    monkeypatch.setenv("JOBLEDGER_DSN", "postgresql://there/db")
    assert Settings().lease_s == 60
    assert Settings(lease_s=40).lease_s == 40
    assert Settings(dsn="postgresql://here/db").address() == "postgresql://here/db"


def test_database_url_is_the_fallback_for_the_dsn(monkeypatch: pytest.MonkeyPatch) -> None:
    """DATABASE_URL is read, without SQLAlchemy's driver name; JOBLEDGER_DSN comes first."""
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://u:p@host/db")
    assert Settings().address() == "postgresql://u:p@host/db"
    monkeypatch.setenv("JOBLEDGER_DSN", "postgres://other/db")
    assert Settings().address() == "postgres://other/db"


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """JOBLEDGER_DSN= in an env file means no DSN."""
    monkeypatch.setenv("JOBLEDGER_DSN", "")
    assert Settings().address() is None


def test_the_dsn_is_masked_wherever_settings_are_shown() -> None:
    """Neither repr, str, dump nor the table of explain shows the password."""
    settings = Settings(dsn=f"postgresql://user:{CANARY}@host/db")
    shown = [repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()]
    shown += [str(row) for row in settings.explain()]
    assert not any(CANARY in text for text in shown)
    assert CANARY in (settings.address() or "")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("DATABASE_URL", f"mysql://{CANARY}", "postgresql://"),
        ("JOBLEDGER_DSN", CANARY, "postgresql://"),
        ("JOBLEDGER_LEASE_S", CANARY, "number"),
        ("JOBLEDGER_LEASE_S", "1", "greater than or equal to 2"),
        ("JOBLEDGER_SHARD", "40000", "less than or equal to 32767"),
        ("JOBLEDGER_POOLER", CANARY, "'none' or 'transaction'"),
        ("JOBLEDGER_LOG_LEVEL", CANARY, "'debug', 'info', 'warning' or 'error'"),
        ("JOBLEDGER_APP", f"{CANARY}!", "module:name"),
        ("JOBLEDGER_HEARTBEAT_S", "20", "half of JOBLEDGER_LEASE_S"),
        ("JOBLEDGER_POOL_MIN", "20", "JOBLEDGER_POOL_MAX"),
    ],
)
def test_a_bad_value_is_named_with_its_rule_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, rule: str
) -> None:
    """The error names the variable and what would be right, and keeps the value to itself."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidArgument) as caught:
        Settings()
    told = f"{caught.value} {caught.value.detail}"
    assert name in told
    assert rule in told
    assert CANARY not in told


@given(name=st.sampled_from(sorted(set(Settings.model_fields) - {"data", "pg_bin"})), value=st.text(max_size=50))
def test_any_text_in_any_setting_is_taken_or_refused_by_name(name: str, value: str) -> None:
    """Whatever stands in a variable, the outcome is settings or InvalidArgument, never another error."""
    try:
        Settings(**{name: value})
    except InvalidArgument as error:
        told = str(error)
    else:
        return
    assert name in told or "JOBLEDGER_" in told


def test_a_bad_argument_is_not_blamed_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gave a value by name reads that name, not a variable that holds something else."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://host/db")
    with pytest.raises(InvalidArgument, match=": dsn: it is to begin with") as caught:
        Settings(dsn=CANARY)
    assert "DATABASE_URL" not in str(caught.value)


def test_explain_says_where_each_value_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sees which of argument, environment and default has set a value, and what it means."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://host/db")
    monkeypatch.setenv("JOBLEDGER_LEASE_S", "45")
    rows = {row.name: row for row in Settings(pool_max=3).explain()}
    assert set(rows) == set(Settings.model_fields)
    assert rows["dsn"].origin == "DATABASE_URL"
    assert rows["lease_s"].origin == "JOBLEDGER_LEASE_S"
    assert rows["pool_max"].origin == "argument"
    assert rows["shard"].origin == "default"
    assert rows["lease_s"][:4] == ("lease_s", "JOBLEDGER_LEASE_S", "45.0", "30.0")
    assert all(row.meaning for row in rows.values())
