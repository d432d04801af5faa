"""Malformed words on the command line: for each command a sound form and what is malformed in place of an option.

`{mark}` stands for a text that must not come back; `{job}` for a job that waits. Options that take a number of typer's
own hold no mark: its usage errors say back what was typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONG: Final = "{mark}" + "x" * 5000
NO_NAME: Final = (
    "",
    " ",
    "a b{mark}",
    "é{mark}",
    "'; drop table jobledger.events; --{mark}",
    LONG,
    "\udcff{mark}",
    "$(id){mark}",
)
NO_WORDS: Final = (LONG, "\udcff{mark}")
NO_KEY: Final = ("", *NO_WORDS)
NO_MOMENT: Final = (
    *(
        "",
        "{mark}",
        "2026-12-24",
        "2026-12-24T00:00:00",
        "2026-13-01T00:00:00Z",
        "1999-01-01T00:00:00Z",
        "infinity",
        "-3d",
    ),
    *("4999-01-01T00:00:00Z", "10", "1e5s", "٣d", "999999999w", "\udcff{mark}"),
)
NO_PAST: Final = (
    *NO_MOMENT,
    "t",
    "u",
    "p",
    "s",
    "t{mark}",
    "tAAAA",
    "s" + LONG,
    "t" + "A" * 200_000,
    "99999w",
    "300000w",
)
NO_PLACE: Final = (
    *("", "{mark}", "p", "sAAAA", LONG, "\udcff{mark}", "2026-12-24", "2026-12-24T00:00:00", "1e5s", "9" * 9 + "w"),
    *("Beginning", "2999-13-01T00:00:00Z"),
)
NO_SPAN: Final = ("", "{mark}", "-5", "1.5", "10y", "s", "1e3", "٣", "\udcff{mark}")
NO_NUMBER: Final = ("", "five", "1.5", "1e3", "NaN", "0x10", "9" * 30, "-" + "9" * 30)
NO_ID: Final = ("", "{mark}", "019aa0b1", "019aa0b1-7c00-7000-8000-00000000000g", "'; --{mark}", "\udcff{mark}")
NO_JSON: Final = (
    *("", "{", "[1,", "nan", '{"a": NaN}', "[1]", '"{mark}"', "5", "@/no/such/file{mark}", "@/", "\udcff{mark}"),
    *('{"a": "\\u0000{mark}"}', '{"a": "\\ud800{mark}"}', '{"a": "' + LONG * 60 + '"}', "[" * 5000),
)
NO_APP: Final = (
    "",
    "{mark}",
    "no.such{mark}:app",
    ":app",
    "jobledger:",
    "jobledger:{mark}",
    "os:path",
    "..:{mark}",
    "\udcff:{mark}",
)
NO_DSN: Final = ("{mark}", "http://{mark}", "postgresql://u:{mark}@127.0.0.1:1/x", "postgresql://u:{mark}@[::1/x")
NO_FILE: Final = ("", "/", "/no/such/folder/{mark}.svg", "/dev/null/{mark}")
FILTERS: Final = {"--tenant": ("\udcff{mark}",), "--state": ("{mark}", "READY", "ready;running", "\udcff{mark}")}
WORDS: Final = {"--actor": NO_WORDS, "--reason": NO_WORDS}


@dataclass(frozen=True)
class Command:
    """One command: its sound words by option (a number names a place), and what is malformed in place of each."""

    sound: Mapping[str, str]
    spoilt: Mapping[str, Sequence[str]]
    as_json: bool = True


def _act(*more: tuple[str, str, Sequence[str]]) -> Command:
    sound = {"1": "{job}", "--reason": "because"} | {option: value for option, value, _ in more if value}
    spoilt = {"1": (*NO_ID, "019aa0b1-7c00-7000-8000-000000000000"), **WORDS, **FILTERS}
    return Command(sound, spoilt | {option: values for option, _, values in more})


def _subscription(more: Mapping[str, str] | None = None, spoilt: Mapping[str, Sequence[str]] | None = None) -> Command:
    tenants = ("", "a b{mark}", "_global", LONG, "\udcff{mark}")
    return Command({"1": "s", **(more or {})}, {"1": (*NO_NAME, "unknown"), "--tenant": tenants, **(spoilt or {})})


def _webhook(more: Mapping[str, str] | None = None, spoilt: Mapping[str, Sequence[str]] | None = None) -> Command:
    tenants = ("", "a b{mark}", "_global", LONG, "\udcff{mark}")
    return Command({"1": "w", **(more or {})}, {"1": (*NO_NAME, "unknown"), "--tenant": tenants, **(spoilt or {})})


_PLACE: Final = Command({}, {})
_HELD: Final = Command(
    {"1": "queue", "2": "q", "--reason": "because"},
    {"1": ("", "jobs", "QUEUE", "service", "\udcff"), "2": NO_NAME, **WORDS},
)
_COUNTS: Final = ("0", "-1", *NO_NUMBER)
_SPANS: Final = ("0", "-1", "nan", "inf", "long", "")

COMMANDS: Final[Mapping[str, Command]] = {
    "serve": Command(
        {},
        {
            "1": NO_APP,
            "--app": NO_APP,
            "--port": ("-1", "65536", *NO_NUMBER),
            "--host": ("", LONG),
            "--socket": ("/no/such/folder/{mark}",),
        },
        as_json=False,
    ),
    "up": Command({}, {"1": NO_APP, "--app": NO_APP, "--concurrency": _COUNTS}, as_json=False),
    "worker": Command(
        {},
        {
            "1": NO_APP,
            "--app": NO_APP,
            "--concurrency": _COUNTS,
            "--processes": (*_COUNTS, "257"),
            "--max-jobs": _COUNTS,
            "--max-memory": _COUNTS,
            "--max-seconds": NO_SPAN,
        },
        as_json=False,
    ),
    "simulate": Command(
        {"1": "{swf}"},
        {
            "1": ("/no/such/file", "/", "{bad_swf}", "\udcff"),
            "--speed": ("0", "-1", "nan", "inf", "fast", ""),
            "--fail-rate": ("-0.1", "1.1", "nan", "often"),
            "--cancel-rate": ("-0.1", "1.1", "nan", "often"),
            "--seed": ("five", "1.5"),
            "--concurrency": _COUNTS,
        },
    ),
    "tick": _PLACE,
    "enqueue": Command(
        {"1": "k", "--lax": ""},
        {
            "1": NO_NAME,
            "2": NO_JSON,
            "--args": NO_JSON,
            "--meta": NO_JSON,
            "--tenant": NO_NAME,
            "--queue": NO_NAME,
            "--priority": ("-1001", "1001", *NO_NUMBER),
            "--run-at": NO_MOMENT,
            "--kill-at": NO_MOMENT,
            "--timeout": ("0", "8d", *NO_SPAN),
            "--max-attempts": ("0", "-1", "1001", *NO_NUMBER),
            "--owner": NO_KEY,
            "--tag": ("", "{mark}" + "x" * 100),
            "--key": NO_KEY,
            "--unique-key": NO_KEY,
            "--wait-timeout": NO_SPAN,
            "--actor": NO_WORDS,
        },
    ),
    "jobs": Command(
        {},
        {
            **FILTERS,
            "--limit": ("0", "-1", "1001", *NO_NUMBER),
            "--cursor": ("{mark}", "", "1"),
            "--silent": NO_SPAN,
            "--as-of": NO_PAST,
        },
    ),
    "tenants": Command(
        {"1": "acme"},
        {
            "1": ("", LONG, "no such name", "\udcff{mark}"),
            "--since": NO_MOMENT,
            "--until": NO_MOMENT,
            "--as-of": NO_PAST,
        },
    ),
    "show": Command(
        {"1": "{job}"},
        {
            "1": (*NO_ID, "019aa0b1-7c00-7000-8000-000000000000"),
            "--tenant": ("", "other", "\udcff{mark}"),
            "--as-of": NO_PAST,
        },
    ),
    "history": Command(
        {"1": "{job}"},
        {"1": (*NO_ID, "019aa0b1-7c00-7000-8000-000000000000"), "--tenant": ("", "other", "\udcff{mark}")},
    ),
    "cancel": _act(),
    "kill": _act(),
    "retry": _act(
        ("--attempts", "", ("0", "-1", "1001", *NO_NUMBER)), ("--run-at", "", NO_MOMENT), ("--kill-at", "", NO_MOMENT)
    ),
    "unpark": _act(),
    "reschedule": _act(("--run-at", "1h", NO_MOMENT), ("--kill-at", "", NO_MOMENT)),
    "reprioritise": _act(("--priority", "1", ("-1001", "1001", *NO_NUMBER))),
    "move": _act(("--to", "q", NO_NAME)),
    "pause": _HELD,
    "resume": _HELD,
    "limits": Command(
        {"1": "kind", "2": "k", "--timeout": "60"},
        {
            "1": ("", "jobs", "KIND", "\udcff"),
            "2": NO_NAME,
            "--timeout": ("0", "8d", *NO_SPAN),
            "--kill-after": ("0", *NO_SPAN),
            "--max-attempts": ("0", "-1", "1001", *NO_NUMBER),
            "--args-limit": ("2048", "-1", *NO_NUMBER),
            "--result-limit": ("2048", *NO_NUMBER),
            "--clear": ("{mark}", ""),
            **WORDS,
        },
    ),
    "seal": _PLACE,
    "follow": Command(
        {"--stop-at-end": "", "--from": "beginning"},
        {
            "--tenant": ("", LONG),
            "--job": NO_ID,
            "--type": ("", "job.nothing{mark}", LONG),
            "--queue": ("", LONG),
            "--owner": ("", LONG),
            "--kind": ("\udcff{mark}",),
            "--from": NO_PLACE,
        },
    ),
    "replay": Command(
        {},
        {
            "1": (*NO_ID, "019aa0b1-7c00-7000-8000-000000000000"),
            "--tenant": ("", LONG),
            "--type": ("", "job.nothing{mark}", LONG),
            "--queue": ("", LONG),
            "--owner": ("", LONG),
            "--kind": ("\udcff{mark}",),
            "--from": NO_PLACE,
            "--to": NO_PLACE,
            "--speed": ("0", "-1", "nan", "inf", "fast", ""),
        },
    ),
    "open": _PLACE,
    "live": _PLACE,
    "verify": _PLACE,
    "doctor": _PLACE,
    "rebuild": Command({"1": "queue"}, {"1": ("", "QUEUE", "events", "\udcff")}),
    "repair": Command({"1": "{job}"}, {"1": NO_ID}),
    "keys create": Command(
        {"1": "shop", "--role": "read", "--tenant": "acme"},
        {
            "1": NO_NAME,
            "--role": ("", "root{mark}", "READ", LONG, "\udcff{mark}"),
            "--tenant": ("", "a b{mark}", "_global", LONG, "\udcff{mark}"),
            "--owner": NO_KEY,
            "--rate": ("1000001", *_COUNTS),
            "--expires": NO_MOMENT,
            **WORDS,
        },
    ),
    "keys list": _PLACE,
    "keys revoke": Command({"1": "{job}"}, {"1": (*NO_ID, "jl_{mark}", LONG), **WORDS}),
    "subscriptions list": Command({}, {"--tenant": ("\udcff{mark}",)}),
    "subscriptions show": _subscription(),
    "subscriptions create": _subscription(
        {"1": "s2", "--type": "job.failed"},
        {
            "1": NO_NAME,
            "--type": ("", "job.nothing{mark}", LONG),
            "--queue": ("", LONG),
            "--kind": ("", LONG),
            "--owner": ("", LONG),
            "--from": ("", "{mark}", "p", "2026-05-01", LONG, "\udcff{mark}"),
            "--slices": ("257", *_COUNTS),
            "--max-failures": ("1001", *_COUNTS),
            "--backoff": ("2h", *NO_SPAN),
            "--lease": ("1", "2h", *NO_SPAN),
            **WORDS,
        },
    ),
    "subscriptions reset": _subscription(
        {}, {"--to": ("", "{mark}", "p", "2026-05-01", LONG, "\udcff{mark}"), **WORDS}
    ),
    "subscriptions disable": _subscription({}, WORDS),
    "subscriptions remove": _subscription({}, WORDS),
    "subscriptions set-aside": _subscription({}, {"--limit": ("10001", *_COUNTS)}),
    "subscriptions retry": _subscription({"2": "{job}"}, {"2": NO_ID, **WORDS}),
    "webhooks list": Command({}, {"--tenant": ("", "_global", "\udcff{mark}")}),
    "webhooks create": _webhook(
        {"1": "w2", "2": "https://a.example/hook"},
        {
            "1": NO_NAME,
            "2": (
                "",
                "{mark}",
                "http://{mark}.example",
                "https://127.0.0.1/{mark}",
                "https://u:{mark}@a.example",
                LONG,
            ),
            "--type": ("", "job.nothing{mark}", LONG),
            "--queue": ("", LONG),
            "--kind": ("", LONG),
            "--owner": ("", LONG),
            "--batch": ("101", *_COUNTS),
            "--from": ("", "{mark}", "p", "2026-05-01", LONG, "\udcff{mark}"),
            **WORDS,
        },
    ),
    "webhooks reset": _webhook({}, {"--to": ("", "{mark}", "p", "2026-05-01", LONG, "\udcff{mark}"), **WORDS}),
    "webhooks disable": _webhook({}, WORDS),
    "webhooks rotate": _webhook({}, WORDS),
    "webhooks remove": _webhook({}, WORDS),
    "webhooks test": _webhook(),
    "push list": Command({}, {"--tenant": ("\udcff{mark}",)}),
    "push set": Command(
        {"1": "q", "2": "https://a.example/jobs"},
        {
            "1": NO_NAME,
            "2": (
                "",
                "{mark}",
                "http://{mark}.example",
                "https://127.0.0.1/{mark}",
                "https://u:{mark}@a.example",
                LONG,
            ),
            "--tenant": ("", "a b{mark}", "_global", LONG, "\udcff{mark}"),
            "--batch": ("1001", *_COUNTS),
            "--concurrency": ("10001", *_COUNTS),
            "--max-run": ("0", "2d", *NO_SPAN),
            "--start-failure": ("", "never", "FREE"),
            **WORDS,
        },
    ),
    "push remove": Command(
        {"1": "q"},
        {"1": (*NO_NAME, "unknown"), "--tenant": ("", "a b{mark}", "_global", LONG, "\udcff{mark}"), **WORDS},
    ),
    "partitions list": _PLACE,
    "partitions add": Command({"--ahead": "3"}, {"--ahead": ("0", "25", *NO_NUMBER)}),
    "partitions drop": Command(
        {"--keep": "36500"}, {"--keep": ("-1", "36501", *NO_NUMBER), "--before": NO_MOMENT, "--actor": WORDS["--actor"]}
    ),
    "migrate": _PLACE,
    "migrate print": Command({"--pending": ""}, {}, as_json=False),
    "migrate check": _PLACE,
    "bench drain": Command(
        {},
        dict.fromkeys(("--jobs", "--tenants", "--concurrency", "--processes", "--batch", "--clients"), _COUNTS)
        | dict.fromkeys(("--partitions", "--paused", "--waiting"), ("-1", *NO_NUMBER))
        | {"--plot": NO_FILE},
    ),
    "bench enqueue": Command(
        {},
        dict.fromkeys(("--jobs", "--tenants", "--batch", "--clients", "--turns"), _COUNTS)
        | {"--seconds": ("0", "-1", "nan", "inf", "long", ""), "--plot": NO_FILE},
    ),
    "bench pickup": Command(
        {},
        dict.fromkeys(("--jobs", "--tenants", "--concurrency"), _COUNTS)
        | {"--notify": ("", "sometimes", "IDLE"), "--plot": NO_FILE},
    ),
    "projections list": _PLACE,
    "projections run": Command({"--until-settled": ""}, {"--app": NO_APP}, as_json=False),
    "projections rebuild": Command({"1": "seen", "--no-wait": ""}, {"1": NO_NAME, "--app": NO_APP}),
    "projections stop": Command({"1": "seen"}, {"1": NO_NAME}),
    "projections resume": Command({"1": "seen"}, {"1": NO_NAME}),
    "projections drop": Command({"1": "seen"}, {"1": NO_NAME}),
    "bench compare": Command(
        {"1": "false {dsn}"},
        dict.fromkeys(("--jobs", "--turns", "--processes"), _COUNTS)
        | {
            "1": ("", " ", "false", "{dsn}", "'false {dsn}", "/no/such/{mark} {dsn}", "/ {dsn}", "\udcff{mark} {dsn}"),
            "--patience": ("0", "-1", "nan", "inf", "long", ""),
            "--plot": NO_FILE,
        },
    ),
    "bench fairness": Command(
        {},
        dict.fromkeys(("--tenants", "--claim", "--trials", "--many", "--few", "--waiting", "--jobs"), _COUNTS)
        | {"--part": ("", "all", "KINDS"), "--plot": NO_FILE},
    ),
    "bench held-snapshot": Command(
        {}, dict.fromkeys(("--jobs", "--tenants", "--turns"), _COUNTS) | {"--plot": NO_FILE}
    ),
    "bench memory": Command({}, dict.fromkeys(("--jobs", "--tenants", "--concurrency"), _COUNTS)),
    "bench follow": Command(
        {},
        dict.fromkeys(("--readers", "--tenants", "--clients"), _COUNTS)
        | dict.fromkeys(("--rate", "--seconds"), _SPANS),
    ),
    "bench catchup": Command(
        {}, dict.fromkeys(("--events", "--batch", "--turns"), _COUNTS) | {"--tenant-share": _SPANS}
    ),
    "bench recovery": Command({}, {"--open": _COUNTS}),
    "bench http": Command(
        {},
        dict.fromkeys(("--connections", "--turns", "--tenants", "--per-s"), _COUNTS)
        | {"--part": ("", "all", "BULK"), "--seconds": ("0", "-1", "nan", "inf", "long", ""), "--plot": NO_FILE},
    ),
    "bench sse": Command(
        {},
        dict.fromkeys(("--clients", "--tenants"), _COUNTS)
        | dict.fromkeys(("--events-per-s", "--seconds", "--patience"), _SPANS)
        | {"--slow": ("-1", *NO_NUMBER), "--plot": NO_FILE},
    ),
    "bench order": Command(
        {},
        {"--writers": _COUNTS, "--readers": _COUNTS, "--plot": NO_FILE}
        | {"--seconds": ("0", "-1", "nan", "inf", "long", ""), "--straggle": ("-1", "nan", "inf", "long", "")},
    ),
}

EVERYWHERE: Final = {"--dsn": NO_DSN, "--no-such-option": ("", "5")}
"""What every command refuses."""
