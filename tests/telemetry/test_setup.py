"""The set-up of the commands: off by default, by the standard variables, never on stdout."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from jobledger import observations as seen
from jobledger.errors import InvalidArgument
from jobledger.settings import Settings
from jobledger.telemetry import configure

SCRIPT = """
from jobledger import observations as seen, tracing
from jobledger.ids import new_id
from jobledger.settings import Settings
from jobledger.telemetry import configure

end = configure(Settings(log_format="json"))
print("traced", tracing.enabled())
with tracing.running(job=new_id(), tenant="acme", queue="q", kind="send", attempt=1, enqueued=None) as span:
    tracing.ended(span, "succeeded")
seen.emit(seen.StoreOpened(rebuilt=False, elapsed_s=0.0))
end()
"""


def _run(**environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "JOBLEDGER_"))}
    return subprocess.run(  # noqa: S603 - this very interpreter, with a script of our own
        [sys.executable, "-c", SCRIPT], env={**clean, **environment}, capture_output=True, text=True, check=True
    )


def test_without_variables_nothing_is_exported() -> None:
    """Only the log is on, on stderr."""
    done = _run()
    assert done.stdout == "traced False\n"
    assert "store_opened" in done.stderr
    assert "run send" not in done.stderr


def test_the_console_exporters_write_to_stderr() -> None:
    """Stdout belongs to the command's own answer."""
    done = _run(OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="console", OTEL_SERVICE_NAME="billing")
    assert done.stdout == "traced True\n"
    assert "run send" in done.stderr
    assert "jobledger.observations" in done.stderr
    assert '"service.name": "billing"' in done.stderr


def test_the_sdk_can_be_disabled() -> None:
    """OTEL_SDK_DISABLED comes before the exporters."""
    assert _run(OTEL_SDK_DISABLED="true", OTEL_TRACES_EXPORTER="console").stdout == "traced False\n"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp, console, none"),
        ("OTEL_METRICS_EXPORTER", "statsd", "prometheus"),
        ("OTEL_TRACES_EXPORTER", "otlp", "jobledger[otlp]"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318", "jobledger[otlp]"),
        ("OTEL_METRICS_EXPORTER", "prometheus", "jobledger[prometheus]"),
    ],
)
def test_an_exporter_that_is_unknown_or_not_installed_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    """The error names the variable or the extra to install."""
    for module in ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.exporter.prometheus"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidArgument) as caught:
        configure(Settings())
    assert told in str(caught.value)


def test_an_application_with_its_own_handlers_gets_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The set-up leaves the root logger alone when it is in use, and undoes itself."""
    own = logging.NullHandler()
    logging.getLogger().addHandler(own)
    before = list(logging.getLogger().handlers)
    end = configure(Settings(), observe=True)
    seen.emit(seen.StoreOpened(rebuilt=True, elapsed_s=0.5))
    end()
    assert logging.getLogger().handlers == before
    logging.getLogger().removeHandler(own)
    assert capsys.readouterr().err.count("store_opened") == 1
    assert not seen.listeners
    assert not logging.getLogger("jobledger").handlers
