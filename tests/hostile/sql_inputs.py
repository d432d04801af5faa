"""Malformed arguments of the SQL functions: for each argument the values that no call may get through with.

Values go over the wire as they are, so that they can be what no driver would send: invalid UTF-8, texts that are no
number. None is SQL's null. `{mark}` is a text that must not come back in any error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Value = bytes | None


class Argument(NamedTuple):
    """One argument: its type, a sound value, and what is malformed in its place."""

    type: str
    sound: Value
    malformed: Sequence[Value]


def texts(*values: str) -> list[Value]:
    """Return them as they are sent."""
    return [value.encode("utf-8", "surrogatepass") for value in values]


BROKEN_TEXT: Final[list[Value]] = [b"\xff\xfe{mark}", b"\xc3\x28", b"\xed\xa0\x80"]
LONG: Final = "{mark}" + "x" * 5000
NAME: Final[list[Value]] = [
    *texts(
        "", " ", "-x", ".", "a b{mark}", "é{mark}", "a'; drop table jobledger.events; --{mark}", "a\n", "a\nb{mark}"
    ),
    *texts('"{mark}"', "$1{mark}", "%s{mark}", "\\{mark}", "{" + "{mark}" + "}", "\u202e{mark}", "😀", LONG),
    *BROKEN_TEXT,
]
NEEDED_NAME: Final[list[Value]] = [*NAME, None]
KEY: Final[list[Value]] = [*texts("", LONG), *BROKEN_TEXT]
PROJECTION: Final = Argument("text", b"waits", [*NEEDED_NAME, *texts("Waits", "9waits", "waits_next", "waits-2")])
TRUE_OR_FALSE: Final = Argument("boolean", b"f", [*texts("2", "maybe{mark}"), None])
NO_JSON: Final[list[Value]] = [
    *texts(
        "", " ", "{", "[", '{"a":}', "nan", "NaN", "Infinity", '{"a": NaN}', '{"a": -Infinity}', "{'a': 1}", "undefined"
    ),
    *texts(
        '"\\u0000{mark}"',
        '{"a": "\\ud800"}',
        '{"a": "\\udc00\\ud800"}',
        "[1,]",
        '{"a": 1e999999}',
        "0x10",
        "[" * 50_000,
    ),
    *BROKEN_TEXT,
]
LARGE: Final[list[Value]] = texts('{"a": "{mark}' + "x" * 300_000 + '"}', '["{mark}", "' + "x" * 300_000 + '"]')
NO_OBJECT: Final[list[Value]] = texts('"{mark}"', "1", "true", "[]", '["{mark}"]')
NO_MOMENT: Final[list[Value]] = [
    *texts(
        "infinity", "-infinity", "", "{mark}", "2026-13-01", "2026-02-30", "99999999-01-01", "294277-01-01", "12:00:99"
    ),
    *texts("1999-01-01T00:00:00Z", "4999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "4714-11-24 BC", "1e5", "NaN"),
    *BROKEN_TEXT,
]
NO_UUID: Final[list[Value]] = [
    *texts("", "{mark}", "019aa0b1", "019aa0b1-7c00-7000-8000-00000000000g", "{}", "1"),
    *BROKEN_TEXT,
]
NO_ID: Final[list[Value]] = [
    *NO_UUID,
    *texts("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    *texts("ffffffff-0000-7000-8000-000000000000", "019aa0b1-7c00-4000-8000-000000000000"),
    *texts("019aa0b1-7c00-7000-8000-000000000000", "7fffffff-ffff-7000-8000-000000000000"),
]
NO_LIST: Final[list[Value]] = [*texts("{", "", "{mark}", "{a", "[1:2]={a}", "{{a},{b,c}}"), *BROKEN_TEXT]
NO_SHARD: Final[list[Value]] = [*texts("", "{mark}", "32768", "-32769", "1.5", "NaN"), None]


def number(least: int, most: int) -> list[Value]:
    """Return what is no number of a range."""
    outside = [str(least - 1), str(most + 1), "-2147483648", "2147483648", "9" * 40]
    return texts(*outside, "", "{mark}", "1.5", "NaN", "Infinity", "1 2", "--1")


def listed(*values: str) -> list[Value]:
    """Return lists of a type as Postgres writes them."""
    return [*NO_LIST, *texts(*values)]


WITHIN: Final = {
    "priority": number(-1000, 1000),
    "timeout": number(1, 604_800),
    "max_attempts": number(1, 1000),
}
MANY: Final = "{" + ",".join(["t"] * 40) + "}"
SHARD: Final = Argument("smallint", b"0", NO_SHARD)
ACTOR: Final = Argument("text", b"ada", [*texts(LONG), *BROKEN_TEXT])
REASON: Final = Argument("text", b"because", [*texts(LONG), *BROKEN_TEXT])
JOB_FIELDS: Final = {
    "kind": ("", " ", None, ["{mark}"], {"a": "{mark}"}, "a b{mark}", LONG, "a\nb"),
    "tenant": ("", "a b{mark}", LONG, ["{mark}"], "_GLOBAL", "_global{mark}"),
    "queue": ("", "a b{mark}", LONG, {"a": "{mark}"}),
    "priority": (-1001, 1001, "{mark}", 1.5, [1], {"a": 1}, True, 10**12, ""),
    "timeout": (0, -1, 604_801, "{mark}", 1.5, [], True, ""),
    "max_attempts": (0, -5, 1001, 40_000, "{mark}", 1.5, [], True),
    "run_at": ("{mark}", "infinity", "1999-01-01", "4999-01-01T00:00:00Z", 5, [], True, "", "-infinity"),
    "kill_at": ("{mark}", "infinity", "1999-01-01", "4999-01-01T00:00:00Z", 5, [], True, ""),
    "owner": ("", LONG),
    "key": ("", LONG),
    "unique_key": ("", LONG),
    "tags": ("{mark}", 5, {"a": "{mark}"}, ["t"] * 33, ["{mark}" + "x" * 3000], True),
    "args": ({"a": "{mark}" + "x" * 300_000},),
    "meta": ({"a": "{mark}" + "x" * 20_000},),
    "backoff": ({"a": "{mark}" + "x" * 20_000},),
    "trace": ({"a": "{mark}" + "x" * 20_000},),
    "id": ("{mark}", 5, "", "019aa0b1-7c00-4000-8000-000000000000", "019aa0b1-7c00-7000-8000-000000000000", [], True),
}
"""Of one job of `enqueue_many`: what no field may hold."""

# Of `claim`: the caller's memory as parallel lists, here of one lane and one gap.
_LANE: Final = {
    "s_queue": ("text[]", "{q}"),
    "s_tenant": ("text[]", "{t}"),
    "s_priority": ("smallint[]", "{0}"),
    "s_after_at": ("timestamptz[]", "{-infinity}"),
    "s_after_id": ("uuid[]", "{00000000-0000-0000-0000-000000000000}"),
    "s_upto_at": ("timestamptz[]", "{infinity}"),
    "s_upto_id": ("uuid[]", "{ffffffff-ffff-ffff-ffff-ffffffffffff}"),
    "s_most": ("int[]", "{NULL}"),
    "s_held": ("int[]", "{0}"),
    "s_mixed": ("boolean[]", "{f}"),
    "g_queue": ("text[]", "{q}"),
    "g_tenant": ("text[]", '{""}'),
    "g_priority": ("smallint[]", "{-32768}"),
    "g_upto_tenant": ("text[]", "{~}"),
    "g_upto_priority": ("smallint[]", "{0}"),
}


def _lists() -> dict[str, Argument]:
    found = {}
    for name, (type_, sound) in _LANE.items():
        first = sound.strip("{}")
        longer = "{" + ",".join([first] * 3) + "}"
        found[name] = Argument(type_, sound.encode(), [*texts(longer, "{}", "{", "{mark}"), None])
    return found


def functions(worker: bytes, waiting: bytes, running: bytes) -> dict[str, dict[str, Argument]]:
    """Return each public function with its arguments; the ids are of a live worker, and of its jobs."""
    known = Argument("uuid", worker, [*NO_UUID, None, b"019aa0b1-7c00-7000-8000-000000000000"])
    one = b"{" + running + b"}"
    twice = b"{" + running + b"," + running + b"}"
    stream = Argument("uuid", waiting, [*NO_UUID, None])
    unsorted = b"{" + max(waiting, running) + b"," + min(waiting, running) + b"}"
    single = {
        "kind": Argument("text", b"k", NEEDED_NAME),
        "args": Argument("jsonb", b"{}", [*NO_JSON, *LARGE]),
        "tenant": Argument("text", b"default", NEEDED_NAME),
        "queue": Argument("text", b"q", NAME),
        "priority": Argument("int", b"0", WITHIN["priority"]),
        "run_at": Argument("timestamptz", None, NO_MOMENT),
        "kill_at": Argument("timestamptz", None, NO_MOMENT),
        "timeout": Argument("int", None, WITHIN["timeout"]),
        "max_attempts": Argument("int", None, WITHIN["max_attempts"]),
        "owner": Argument("text", b"ada", KEY),
        "tags": Argument("text[]", b"{a}", listed(MANY, '{"' + LONG + '"}')),
        "meta": Argument("jsonb", None, [*NO_JSON, *LARGE]),
        "key": Argument("text", None, KEY),
        "unique_key": Argument("text", None, KEY),
        "backoff": Argument("jsonb", None, [*NO_JSON, *LARGE]),
        "trace": Argument("jsonb", None, [*NO_JSON, *LARGE]),
        "id": Argument("uuid", None, [*NO_ID, running, waiting]),
        "actor": ACTOR,
        "strict": Argument("boolean", b"f", texts("", "{mark}", "2")),
        "shard": SHARD,
    }
    # Beside these it is a usual call, which steps over most of what the function does.
    usual = {name: single[name]._replace(sound=None) for name in ("queue", "owner", "tags")}
    return {
        "enqueue": single | usual,
        "enqueue_job": single,
        "enqueue_many": {
            "jobs": Argument(
                "jsonb",
                b'[{"kind": "k"}]',
                [
                    *NO_JSON,
                    *NO_OBJECT[:3],
                    *texts("[1]", '["{mark}"]', "[null]", "[[]]", '[{"kind": "k"}, 1]', "{}"),
                    None,
                ],
            ),
            "actor": ACTOR,
            "strict": Argument("boolean", b"f", texts("", "{mark}", "2")),
            "shard": SHARD,
        },
        "worker_start": {
            "p_shard": SHARD,
            "p_worker": Argument("uuid", None, [*NO_ID, running]),
            "p_queues": Argument(
                "jsonb",
                None,
                [*NO_JSON, *NO_OBJECT, *texts('{"q": "{mark}"}', '{"q": -1}', '{"q": 1.5}', '{"a b{mark}": 1}')],
            ),
            "p_kinds": Argument("text[]", b"{k}", listed("{NULL}", '{""}', '{"a b{mark}"}', '{"' + LONG + '"}')),
            "p_tenants": Argument("text[]", None, listed("{NULL}", '{""}', '{"a b{mark}"}')),
            "p_lease_s": Argument("int", b"30", [*number(1, 3600), None]),
            "p_about": Argument("jsonb", b"{}", [*NO_JSON, *NO_OBJECT, *LARGE]),
        },
        "worker_stop": {"p_shard": SHARD, "p_worker": known, "p_reason": REASON},
        "worker_idle": {
            "p_shard": SHARD,
            "p_worker": known,
            "p_idle": Argument("boolean", b"t", [*texts("", "{mark}", "2"), None]),
        },
        "channel": {"p_shard": SHARD},
        "heartbeat": {
            "p_shard": SHARD,
            "p_worker": known,
            "p_beat": Argument("int", b"1", [*number(0, 2**31 - 1)[2:], b"-1", None]),
            "p_settled": Argument("int", b"0", [*number(0, 2**31 - 1)[2:], b"-1", None]),
            "p_held": Argument("uuid[]", one, listed("{NULL}", "{1}")),
            "p_stalled_s": Argument("real", b"0", [*texts("", "{mark}", "NaN", "-1", "Infinity", "1e99"), None]),
        },
        "claim": {
            "p_shard": SHARD,
            "p_worker": known,
            "p_call": Argument("int", b"99", [*number(0, 2**31 - 1)[2:], b"-1", None]),
            "p_n": Argument("int", b"1", [*number(0, 100_000), None]),
            "p_kinds": Argument("text[]", b"{nobody}", [*NO_LIST, None]),
            "p_queues": Argument("text[]", b"{q}", [*NO_LIST, None]),
            "p_room": Argument("int[]", b"{1}", listed("{1,2}", "{}", "{1.5}", "{NULL}")),
            "p_any_queue": Argument("boolean", b"f", [*texts("", "{mark}"), None]),
            **_lists(),
            "p_new_lanes": Argument("int", b"8", [*number(0, 100_000), None]),
            "h_tenant": Argument("text[]", b"{t}", listed("{a,b}", "{}")),
            "h_count": Argument("int[]", b"{0}", listed("{1,2}", "{}", "{-1}", "{x}")),
        },
        "claim_job": {
            "p_shard": SHARD,
            "p_worker": known,
            "p_call": Argument("int", b"1", [*number(0, 2**31 - 1)[2:], b"-1", None]),
            "p_id": Argument("uuid", waiting, [*NO_ID, None, running]),
            "p_kinds": Argument("text[]", b"{k}", [*listed("{}", "{other}", "{NULL}"), None]),
        },
        "claim_hinted": {
            "p_shard": SHARD,
            "p_worker": known,
            "p_call": Argument("int", b"1", [*number(0, 2**31 - 1)[2:], b"-1", None]),
            "p_id": Argument("uuid", running, NO_UUID),
            "p_kinds": Argument("text[]", b"{nobody}", NO_LIST),
            "p_queues": Argument("text[]", b"{q}", NO_LIST),
            "p_timeout": Argument("int", b"1", texts("", "{mark}", "1.5", "NaN")),
        },
        "claimed": {
            "p_shard": SHARD,
            "p_worker": known,
            "p_call": Argument("int", b"1", [*number(0, 2**31 - 1)[2:], b"-1", None]),
        },
        "report": {
            "p_shard": SHARD,
            "p_worker": Argument("uuid", worker, [*NO_UUID, None]),
            "p_ids": Argument("uuid[]", one, [*listed("{NULL}", "{}"), twice, unsorted, None]),
            "p_claims": Argument("int[]", b"{2}", [*listed("{}", "{2,3}", "{NULL}", "{-1}", "{2.5}"), None]),
            "p_outcomes": Argument(
                "text[]",
                b"{snoozed}",
                [*listed("{}", "{NULL}", "{done}", '{"{mark}"}', "{succeeded,failed}", "{killed}"), None],
            ),
            "p_datas": Argument(
                "jsonb[]",
                b'{"{\\"run_at\\": \\"2026-12-24T00:00:00Z\\"}"}',
                [*listed("{}", "{1}", "{nan}", "{NULL,NULL}", '{"[1]"}', '{"\\"{mark}\\""}'), None, *_reported()],
            ),
        },
        "register_kind": {
            "p_shard": SHARD,
            "p_name": Argument("text", b"k", NEEDED_NAME),
            "p_version": Argument("int", b"1", number(1, 2**31 - 1)),
            "p_schema": Argument(
                "jsonb",
                b"{}",
                [*NO_JSON, *NO_OBJECT[:2], *NO_OBJECT[3:], *texts('{"a": "{mark}' + "x" * 800_000 + '"}')],
            ),
            "p_aliases": Argument("text[]", b"{}", listed("{NULL}", '{""}', '{"a b{mark}"}', '{"' + LONG + '"}')),
            "p_defaults": Argument(
                "jsonb",
                b"{}",
                [
                    *NO_JSON,
                    *NO_OBJECT,
                    *texts(
                        '{"queue": "a b{mark}"}',
                        '{"queue": 5}',
                        '{"timeout": "{mark}"}',
                        '{"timeout": 0}',
                        '{"timeout": 1.5}',
                        '{"max_attempts": -1}',
                        '{"max_attempts": 99999999999}',
                        '{"kill_after": "{mark}"}',
                        '{"kill_after": -5}',
                        '{"kill_after": 1e300}',
                        '{"backoff": "{mark}"}',
                        '{"backoff": []}',
                        '{"on_timeout": "{mark}"}',
                        '{"on_timeout": {}}',
                        '{"other": "{mark}"}',
                    ),
                ],
            ),
        },
        "tick": {"p_shard": SHARD, "p_after": Argument("uuid", None, NO_UUID)},
        "open": {"p_shard": SHARD},
        "queue_snapshot": {"p_shard": SHARD},
        "open_epoch": {"p_shard": SHARD},
        "seal": {"p_shard": SHARD},
        "partitions": {"p_shard": SHARD},
        "is_gone": {"p_shard": SHARD, "p_id": Argument("uuid", waiting, [*NO_UUID, None])},
        "verify_events": {
            "p_shard": SHARD,
            "p_after": stream,
            "p_version": Argument("int", b"0", [*number(-(2**31), 2**31 - 1)[4:], None]),
            "p_upto": stream,
            "p_limit": Argument("int", b"10", [*number(1, 10_000), None]),
            "p_lean": TRUE_OR_FALSE,
        },
        "verify_rows": {"p_shard": SHARD, "p_after": stream, "p_upto": stream},
        "verify_views": {"p_shard": SHARD, "p_after": stream, "p_upto": stream},
        "verify_keys": {
            "p_shard": SHARD,
            "p_what": Argument("text", b"unique", [*texts("", "UNIQUE", "jobs{mark}"), *BROKEN_TEXT, None]),
            "p_tenant": Argument("text", b"t", [*BROKEN_TEXT, None]),
            "p_key": Argument("text", b"k", [*BROKEN_TEXT, None]),
            "p_limit": Argument("int", b"10", [*number(1, 10_000), None]),
        },
        "verify_blocks": {
            "p_shard": SHARD,
            "p_after": Argument("bigint", b"0", [*texts("9" * 40, "", "{mark}", "1.5"), None]),
            "p_limit": Argument("int", b"10", [*number(1, 10_000), None]),
        },
        "verify_unsealed": {
            "p_shard": SHARD,
            "p_block": Argument("bigint", b"1", [*texts("9" * 40, "", "{mark}", "1.5"), None]),
            "p_streams": Argument("uuid[]", one, [*listed("{1}", "{{mark}}"), None]),
            "p_versions": Argument("int[]", b"{1}", [*listed("{{mark}}", "{1.5}", "{1,2}"), None]),
        },
        "projections_due": {"p_shard": SHARD},
        "projection_list": {"p_shard": SHARD},
        "projection_begin": {
            "p_shard": SHARD,
            "p_name": PROJECTION,
            "p_version": Argument("int", b"1", [*number(1, 2**31 - 1), None]),
            "p_shadow": TRUE_OR_FALSE,
            "p_effects": TRUE_OR_FALSE,
        },
        "projection_make": {
            "p_shard": SHARD,
            "p_name": PROJECTION,
            "p_shadow": TRUE_OR_FALSE,
            "p_version": Argument("int", b"1", [*number(1, 2**31 - 1), None]),
            "p_checksum": Argument("text", b"x", [LONG.encode(), *BROKEN_TEXT]),
        },
        "projection_take": {
            "p_shard": SHARD,
            "p_name": PROJECTION,
            "p_shadow": TRUE_OR_FALSE,
            "p_events": Argument("int", b"10", [*number(1, 100_000), None]),
        },
        "projection_stop": {
            "p_shard": SHARD,
            "p_name": PROJECTION,
            "p_error": Argument("text", b"boom", [LONG.encode(), *BROKEN_TEXT]),
            "p_shadow": Argument("boolean", b"f", texts("2", "maybe{mark}")),
            "p_block": Argument("bigint", b"1", texts("9" * 40, "", "{mark}", "1.5")),
        },
        "projection_resume": {"p_shard": SHARD, "p_name": PROJECTION, "p_skip": TRUE_OR_FALSE},
        "projection_swap": {"p_shard": SHARD, "p_name": PROJECTION},
        "projection_drop": {"p_shard": SHARD, "p_name": PROJECTION, "p_shadow_only": TRUE_OR_FALSE},
        "log_end": {"p_shard": SHARD},
        "origins": {"p_shard": SHARD, "p_ids": Argument("uuid[]", one, [*listed("{1}", "{{mark}}"), None])},
        "read_log": {
            "p_shard": SHARD,
            "p_epoch": Argument("int", b"0", [*number(0, 2**31 - 1), None]),
            "p_block": Argument("bigint", b"0", [*texts("-1", "9" * 40, "", "{mark}", "1.5", "NaN", "Infinity"), None]),
            "p_position": Argument("bigint", b"0", [*texts("-1", "9" * 40, "", "{mark}", "1.5", "--1"), None]),
            "p_limit": Argument("int", b"10", [*number(1, 10_000), None]),
            "p_tenant": Argument("text", None, BROKEN_TEXT),
            "p_types": Argument("text[]", None, NO_LIST),
            "p_stream": Argument("uuid", None, NO_UUID),
        },
        "follow_channel": {"p_shard": SHARD},
        "tell_sealed": {"p_shard": SHARD, "p_sealed": Argument("boolean", b"t", texts("{mark}", "2"))},
        "own_streams": {
            "p_shard": SHARD,
            "p_tenant": Argument("text", b"default", [*BROKEN_TEXT, None]),
            "p_limit": Argument("int", b"10", [*number(1, 10_000_000), None]),
        },
        "read_own": {
            "p_shard": SHARD,
            "p_epoch": Argument("int", b"0", [*number(0, 2**31 - 1), None]),
            "p_block": Argument("bigint", b"0", [*texts("-1", "9" * 40, "", "{mark}", "1.5", "NaN", "Infinity"), None]),
            "p_position": Argument("bigint", b"0", [*texts("-1", "9" * 40, "", "{mark}", "1.5", "--1"), None]),
            "p_limit": Argument("int", b"10", [*number(1, 100_000), None]),
            "p_tenant": Argument("text", b"default", BROKEN_TEXT),
            "p_types": Argument("text[]", None, NO_LIST),
            "p_job": Argument("uuid", None, NO_UUID),
        },
        "read_events": {
            "p_shard": SHARD,
            "p_streams": Argument("uuid[]", one, [*listed("{1}", "{{mark}}"), None]),
            "p_versions": Argument("int[]", b"{1}", [*listed("{x}", "{1.5}", "{1,2}"), None]),
        },
        "sealed_between": {
            "p_shard": SHARD,
            "p_after": Argument("bigint", b"0", [*texts("-1", "9" * 40, "", "{mark}", "1.5", "NaN"), None]),
            "p_upto": Argument("bigint", b"10", [*texts("9" * 40, "", "{mark}", "1.5", "NaN"), None]),
        },
        **_moments(one_id=b"019aa0b1-7c00-7000-8000-000000000001"),
        **_subscriptions(),
        **_webhooks(),
        **_pushes(),
        **_keys(),
        "act": {
            "p_shard": SHARD,
            "p_act": Argument("text", b"cancel", [*NEEDED_NAME, *texts("CANCEL", "delete")]),
            "p_tenant": Argument("text", b"default", BROKEN_TEXT),
            "p_ids": Argument("uuid[]", one, [*listed("{NULL}", "{}", "{1}"), None]),
            "p_actor": ACTOR,
            "p_reason": REASON,
            "p_data": Argument("jsonb", b"{}", [*NO_JSON, *NO_OBJECT]),
            "p_owner": Argument("text", None, BROKEN_TEXT),
        },
        "pause": _held(),
        "resume": _held(),
        "set_limit": {
            "p_shard": SHARD,
            "p_scope": Argument("text", b"kind", [*NEEDED_NAME, *texts("KIND", "service", "jobs")]),
            "p_name": Argument("text", b"k", NEEDED_NAME),
            "p_set": Argument(
                "jsonb",
                b'{"timeout": 60}',
                [
                    *NO_JSON,
                    *NO_OBJECT,
                    None,
                    *texts(
                        "{}",
                        '{"timeout": 0}',
                        '{"timeout": 1.5}',
                        '{"timeout": "{mark}"}',
                        '{"other": 1}',
                        '{"{mark}": 1}',
                        '{"timeout": -1}',
                        '{"timeout": 1e300}',
                        '{"max_attempts": 1001}',
                        '{"kill_after": 99999999999}',
                        '{"args_limit": 2048}',
                        '{"timeout": []}',
                        '{"timeout": {"a": "{mark}"}}',
                        '{"timeout": true}',
                    ),
                ],
            ),
            "p_actor": ACTOR,
            "p_reason": REASON,
        },
        "is_open": {"p_shard": Argument("smallint", b"0", NO_SHARD[:-1])},
        "may": {"p_tenant": Argument("text", b"t", BROKEN_TEXT)},
        "new_id": {
            "at": Argument("timestamptz", None, [*NO_MOMENT[2:9], *BROKEN_TEXT]),
            "ordinal": Argument("int", b"0", number(-(2**31), 2**31 - 1)[4:]),
        },
        "first_id_at": {"at": Argument("timestamptz", b"2026-01-01T00:00:00Z", [*NO_MOMENT[2:9], *BROKEN_TEXT])},
        "time_of": {"id": Argument("uuid", waiting, NO_UUID)},
        "serves": {"p_contract": Argument("int", b"1", number(-(2**31), 2**31 - 1)[4:])},
        "control_id": {name: Argument("text", b"a", BROKEN_TEXT) for name in ("tenant", "what", "name")},
    }


def _moments(one_id: bytes) -> dict[str, dict[str, Argument]]:
    """Return the arguments of what asks as of a moment of the past."""
    large = [*texts("9" * 40, "", "{mark}", "1.5", "NaN", "--1"), None]
    no_moment: list[Value] = [
        *texts("", "{mark}", "()", "(1)", "(1,0,,2026-01-01,0,9,9,100:100:)", "(,,,,,,,,)", "(1,0,,,0,9,9,1:1:,1:1:)"),
        *texts(
            "(1,0,,2026-01-01,0,9,9,9:1:,1:1:)", "(1,0,,{mark},0,9,9,1:1:,1:1:)", "(1,0,,2026-01-01,,9,9,1:1:,1:1:)"
        ),
        *BROKEN_TEXT,
        None,
    ]
    moment = Argument("jobledger.moment", b"(1,0,,2026-01-01,0,9,9,100:100:,100:100:)", no_moment)
    snapshots = texts(
        "", "{mark}", "1", "2:1:", "0:0:", "1:9:9", "1:9:4,3", "1:9:{mark}", "-1:4:", "1:" + "9" * 40 + ":"
    )
    return {
        "seen": {"p_shard": SHARD},
        "moment_of_token": {
            "p_shard": SHARD,
            "p_epoch": Argument("int", b"1", [*number(0, 2**31 - 1), None]),
            "p_mark": Argument("bigint", b"1", large),
            "p_block": Argument("bigint", b"1", large),
            "p_position": Argument("bigint", b"1", large),
            "p_snapshot": Argument("pg_snapshot", b"100:100:", [*snapshots, *BROKEN_TEXT, None]),
            "p_at": Argument("timestamptz", b"2026-01-01T00:00:00Z", [*NO_MOMENT, None]),
        },
        "moment_of_place": {
            "p_shard": SHARD,
            "p_epoch": Argument("int", b"0", [*number(0, 2**31 - 1), None]),
            "p_block": Argument("bigint", b"0", [*texts("-1"), *large]),
            "p_position": Argument("bigint", b"0", [*texts("-1"), *large]),
        },
        "moment_of_time": {
            "p_shard": SHARD,
            "p_at": Argument("timestamptz", b"2026-01-01T00:00:00Z", [*NO_MOMENT, None]),
            "p_reading": TRUE_OR_FALSE,
        },
        "job_as_of": {
            "p_shard": SHARD,
            "p_id": Argument("uuid", one_id, [*NO_UUID, None]),
            "p_moment": moment,
            "p_tenant": Argument("text", None, BROKEN_TEXT),
        },
        "bucket_middle": {"p_bucket": Argument("smallint", b"1", texts("9" * 40, "", "{mark}", "1.5", "NaN"))},
        "tenant_status": {
            "p_shard": SHARD,
            "p_tenant": Argument("text", b"acme", NEEDED_NAME),
            **{name: Argument("timestamptz", None, NO_MOMENT) for name in ("p_since", "p_until")},
        },
        "tenants": {
            "p_shard": SHARD,
            "p_after": Argument("text", b"acme", BROKEN_TEXT),
            "p_limit": Argument("int", b"10", [*number(1, 1000), None]),
            "p_among": Argument("text[]", None, NO_LIST),
        },
        "counts_as_of": {
            "p_shard": SHARD,
            "p_tenant": Argument("text", b"acme", BROKEN_TEXT),
            "p_moment": moment,
        },
        "jobs_as_of": {
            "p_shard": SHARD,
            "p_moment": moment,
            "p_tenant": Argument("text", b"acme", BROKEN_TEXT),
            "p_states": Argument(
                "text[]", b"{ready}", [*listed("{{mark}}", "{ready,}", "{READY}", "{ready,waiting}"), None]
            ),
            "p_below": Argument("uuid", b"ffffffff-ffff-ffff-ffff-ffffffffffff", [*NO_UUID, None]),
            "p_limit": Argument("int", b"10", [*number(1, 1001), None]),
            "p_window": Argument("int", b"10", [*number(1, 10_000), None]),
            **{name: Argument("text", None, BROKEN_TEXT) for name in ("p_queue", "p_kind", "p_owner", "p_tag")},
        },
    }


def _pushes() -> dict[str, dict[str, Argument]]:
    """Return the functions of queues that are delivered to endpoints."""
    of_one = {"p_shard": SHARD, "p_queue": Argument("text", b"q", NEEDED_NAME)}
    said = {"p_actor": ACTOR, "p_reason": REASON}
    return {
        "push_list": {
            "p_shard": SHARD,
            "p_tenant": Argument("text", None, BROKEN_TEXT),
            "p_queue": Argument("text", None, BROKEN_TEXT),
        },
        "push_set": {
            **of_one,
            "p_tenant": Argument("text", None, [*NAME, *texts("_global")]),
            "p_url": Argument(
                "text",
                b"https://a.example/x",
                [
                    *texts("", "{mark}", "ftp://{mark}", "https://", "https://a b{mark}", "https://é"),
                    *texts("https://" + LONG),
                    *BROKEN_TEXT,
                    None,
                ],
            ),
            "p_batch": Argument("int", b"1", [*number(1, 1000), None]),
            "p_concurrency": Argument("int", b"10", [*number(1, 10_000), None]),
            "p_max_run": Argument("int", b"60", [*number(1, 86_400), None]),
            "p_start_failure": Argument("text", b"free", [*NEEDED_NAME, *texts("FREE")]),
            "p_rotate": TRUE_OR_FALSE,
            **said,
        },
        "push_remove": {**of_one, "p_tenant": Argument("text", None, BROKEN_TEXT), **said},
    }


PLACE: dict[str, Argument] = {
    "p_to": Argument("text", b"beginning", [*texts("", "{mark}", "END", "cursor", "time"), *BROKEN_TEXT]),
    "p_epoch": Argument("int", None, [*number(0, 2**31 - 1), b"5"]),
    "p_block": Argument("bigint", None, texts("-1", "9" * 40, "", "{mark}", "1.5", "NaN", "5")),
    "p_position": Argument("bigint", None, texts("-1", "9" * 40, "", "{mark}", "1.5", "5")),
    "p_at": Argument("timestamptz", None, [*NO_MOMENT[:9], *BROKEN_TEXT]),
}
EVENT_FILTER = Argument(
    "jsonb",
    b"{}",
    [
        *NO_JSON,
        *NO_OBJECT,
        *texts(
            '{"types": []}',
            '{"types": ["job.nothing{mark}"]}',
            '{"types": "job.failed"}',
            '{"types": [5]}',
            '{"queue": ""}',
            '{"queue": 5}',
            '{"queue": "a b{mark}"}',
            '{"owner": ""}',
            '{"owner": ["{mark}"]}',
            '{"other": "{mark}"}',
            '{"tenant": "{mark}"}',
        ),
    ],
)


def _subscriptions() -> dict[str, dict[str, Argument]]:
    """Return the functions of durable subscriptions; there is none, so that those of one refuse whatever is sound."""
    unknown = Argument("uuid", b"019aa0b1-7c00-7000-8000-000000000001", NO_UUID)
    tenant = Argument("text", None, BROKEN_TEXT)
    said = {"p_actor": ACTOR, "p_reason": REASON}
    of_one = {"p_shard": SHARD, "p_tenant": tenant, "p_name": Argument("text", b"s", NEEDED_NAME)}
    of_consumer = {"p_shard": SHARD, "p_id": unknown, "p_consumer": unknown}
    lists = {"p_slices": "smallint[]", "p_taken": "int[]", "p_from_blocks": "bigint[]", "p_from_positions": "bigint[]"}
    lists |= {"p_epochs": "int[]", "p_blocks": "bigint[]", "p_positions": "bigint[]"}
    wrong = ("{NULL}", "{1,2}", "{-1}", "{x}", "{1.5}")
    return {
        "subscription_create": {
            **of_one,
            "p_tenant": Argument("text", None, NAME),
            "p_filter": EVENT_FILTER,
            "p_slices": Argument("int", b"4", [*number(1, 256), None]),
            "p_strict": Argument("boolean", b"f", [*texts("", "{mark}", "2"), None]),
            "p_max_failures": Argument("int", b"5", [*number(1, 1000), None]),
            "p_backoff_s": Argument("real", b"1", [*texts("-1", "3601", "NaN", "Infinity", "", "{mark}"), None]),
            "p_lease_s": Argument("int", b"30", [*number(2, 3600), None]),
            **PLACE,
            **said,
        },
        "subscription_list": {"p_shard": SHARD, "p_tenant": tenant, "p_name": Argument("text", b"s", BROKEN_TEXT)},
        "subscription_places": of_one,
        "subscription_aside": {
            **of_one,
            "p_after_block": Argument("bigint", b"0", [*texts("9" * 40, "", "{mark}", "1.5"), None]),
            "p_after_position": Argument("bigint", b"0", [*texts("9" * 40, "", "{mark}", "1.5"), None]),
            "p_limit": Argument("int", b"10", [*number(1, 10_000), None]),
        },
        "subscription_reset": {**of_one, **PLACE, **said},
        "subscription_disable": {**of_one, **said},
        "subscription_remove": {**of_one, **said},
        "subscription_retry": {
            **of_one,
            "p_streams": Argument("uuid[]", b"{}", listed("{1}", "{{mark}}")),
            "p_drop": Argument("boolean", b"f", [*texts("", "{mark}", "2"), None]),
            **said,
        },
        "subscription_take": {**of_consumer, "p_about": Argument("text", b"a", [*texts(LONG), *BROKEN_TEXT])},
        "subscription_advance": {
            **of_consumer,
            **{name: Argument(type_, b"{1}", [*listed(*wrong), None]) for name, type_ in lists.items()},
        },
        "subscription_failed": {
            **of_consumer,
            "p_slice": Argument("smallint", b"0", NO_SHARD),
            "p_taken": Argument("int", b"1", [*number(0, 2**31 - 1)[2:], None]),
            "p_what": Argument("text", b"failed", [*NEEDED_NAME, *texts("FAILED")]),
            "p_epoch": Argument("int", b"1", [*number(0, 2**31 - 1), None]),
            "p_block": Argument("bigint", b"1", [*texts("-1", "9" * 40, "", "{mark}"), None]),
            "p_position": Argument("bigint", b"1", [*texts("-1", "9" * 40, "", "{mark}"), None]),
            "p_stream": Argument("uuid", b"019aa0b1-7c00-7000-8000-000000000001", [*NO_UUID, None]),
            "p_version": Argument("int", b"1", [*number(0, 2**31 - 1)[2:], None]),
            "p_error": Argument("text", b"e", BROKEN_TEXT),
        },
        "subscription_release": {**of_consumer, "p_slices": Argument("smallint[]", None, listed("{x}", "{99999}"))},
        "subscription_again": {**of_consumer, "p_limit": Argument("int", b"10", [*number(1, 10_000), None])},
        "subscription_settled": {
            **of_consumer,
            "p_position": Argument("bigint", b"1", [*texts("9" * 40, "", "{mark}"), None]),
            "p_error": Argument("text", b"e", BROKEN_TEXT),
        },
        "subscription_mend": {"p_shard": SHARD, "p_id": unknown},
    }


def _keys() -> dict[str, dict[str, Argument]]:
    """Return the functions of the service's keys; there is none, so that what takes one away refuses what is sound."""
    unknown = Argument("uuid", b"019aa0b1-7c00-7000-8000-000000000001", [*NO_UUID, None])
    tenants = Argument("text[]", b"{t}", NO_LIST)
    return {
        "key_create": {
            "p_shard": SHARD,
            "p_hash": Argument(
                "bytea", b"\\x" + b"ab" * 32, [*texts("\\x", "\\xabc", "\\x" + "ab" * 33, "{mark}"), None]
            ),
            "p_prefix": Argument("text", b"jl_abcdefgh", [*NEEDED_NAME, *texts("jl_", "jl_abcdefghi", "jl_abcdefg\n")]),
            "p_name": Argument("text", b"k", NEEDED_NAME),
            "p_roles": Argument("text[]", b"{read}", [*listed("{NULL}", "{root}", "{READ}", "{{mark}}"), None]),
            "p_tenants": Argument("text[]", b"{t}", listed("{}", "{NULL}", "{_global}", '{"a b{mark}"}', '{""}')),
            "p_owner": Argument("text", b"ada", KEY),
            "p_rate": Argument("int", b"5", number(1, 1_000_000)),
            "p_expires_at": Argument("timestamptz", b"2900-01-01T00:00:00Z", NO_MOMENT),
            "p_actor": ACTOR,
            "p_reason": REASON,
        },
        "key_find": {
            "p_shard": SHARD,
            "p_hash": Argument("bytea", None, [*texts("\\xabc", "\\x" + "ab" * 32)]),
            "p_id": unknown,
        },
        "key_list": {
            "p_shard": SHARD,
            "p_tenants": tenants,
            "p_owner": Argument("text", b"ada", BROKEN_TEXT),
            "p_ended": Argument("boolean", b"f", texts("2", "maybe{mark}")),
            "p_after": Argument("uuid", None, NO_UUID),
            "p_limit": Argument("int", b"10", [*number(1, 1000), None]),
        },
        "key_revoke": {
            "p_shard": SHARD,
            "p_id": unknown,
            "p_tenants": tenants,
            "p_owner": Argument("text", b"ada", BROKEN_TEXT),
            "p_actor": ACTOR,
            "p_reason": REASON,
        },
        "key_standing": {"p_shard": SHARD, "p_ids": Argument("uuid[]", b"{}", [*listed("{1}", "{{mark}}"), None])},
        "key_used": {
            "p_shard": SHARD,
            "p_ids": Argument("uuid[]", b"{019aa0b1-7c00-7000-8000-000000000001}", [*listed("{1}", "{}"), None]),
            "p_ago": Argument("real[]", b"{0}", [*listed("{x}", "{-1}", "{NaN}", "{NULL}", "{0,1}", "{86401}"), None]),
        },
    }


def _webhooks() -> dict[str, dict[str, Argument]]:
    """Return the functions of webhooks; there is none, so that those of one refuse whatever is sound."""
    unknown = Argument("uuid", b"019aa0b1-7c00-7000-8000-000000000001", [*NO_UUID, None])
    text = Argument("text", None, BROKEN_TEXT)
    said = {"p_actor": ACTOR, "p_reason": REASON}
    of_one = {"p_shard": SHARD, "p_tenant": text, "p_owner": text, "p_id": unknown}
    slices = Argument("smallint[]", b"{1}", [*listed("{x}", "{99999}"), None])
    url = Argument(
        "text",
        b"https://a.example/",
        [*texts("", "{mark}", "ftp://{mark}", "https://", "https://{mark} b", "https://a\u00e9{mark}", LONG), None],
    )
    return {
        "webhook_create": {
            "p_shard": SHARD,
            "p_tenant": Argument("text", None, NAME),
            "p_name": Argument("text", b"w", NEEDED_NAME),
            "p_url": url,
            "p_filter": EVENT_FILTER,
            "p_batch": Argument("int", b"1", [*number(1, 100), None]),
            **PLACE,
            **said,
        },
        "webhook_list": {
            **of_one,
            "p_id": Argument("uuid", None, NO_UUID),
        },
        "webhook_due": {"p_shard": SHARD},
        "webhook_reset": {**of_one, **PLACE, **said},
        "webhook_disable": {**of_one, **said},
        "webhook_rotate": {**of_one, **said},
        "webhook_remove": {**of_one, **said},
        "webhook_succeeded": {
            "p_shard": SHARD,
            "p_id": unknown,
            "p_slices": slices,
            "p_status": Argument("int", b"200", [*number(100, 999), None]),
        },
        "webhook_failed": {
            "p_shard": SHARD,
            "p_id": unknown,
            "p_slices": Argument("smallint[]", b"{1}", [*listed("{}", "{x}", "{99999}", "{-1}", "{256}"), None]),
            "p_status": Argument("int", b"500", number(100, 999)),
            "p_fault": Argument("text", b"status", [*texts("", "{mark} ", "A", LONG), None]),
            "p_gone": Argument("boolean", b"f", [*texts("", "{mark}", "2"), None]),
            "p_disable_s": Argument("float8", b"60", [*texts("0", "-1", "NaN", "Infinity", "", "{mark}"), None]),
            "p_actor": ACTOR,
        },
    }


def _held() -> dict[str, Argument]:
    return {
        "p_shard": SHARD,
        "p_scope": Argument("text", b"kind", [*NEEDED_NAME, *texts("KIND", "service", "jobs")]),
        "p_name": Argument("text", b"k", NEEDED_NAME),
        "p_actor": ACTOR,
        "p_reason": REASON,
    }


def _reported() -> list[Value]:
    moments = ("{mark}", "", "infinity", "-infinity", "4999-01-01T00:00:00Z", "1999-01-01T00:00:00Z", "2026-02-30")
    documents = [f'{{"run_at": "{at}"}}' for at in moments]
    documents += ['{"run_at": 5}', '{"run_at": null}', '{"run_at": ["{mark}"]}', "{}", "1", "[]", '{"run_at": true}']
    documents.append('{"run_at": "2026-12-24T00:00:00Z", "reason": "{mark}' + "x" * 400_000 + '"}')
    return [b'{"' + document.replace('"', '\\"').encode() + b'"}' for document in documents]


FAILURES: Final = (
    '{"retry_in": -1}',
    '{"retry_in": "{mark}"}',
    '{"retry_in": 1e300}',
    '{"retry_in": null}',
    '{"retry_in": [1]}',
    '{"retry_in": true}',
    '{"retry_at": "{mark}"}',
    '{"retry_at": "infinity"}',
    '{"retry_at": 5}',
    '{"retry_at": "4999-01-01T00:00:00Z"}',
    '{"retry_at": ["{mark}"]}',
    '"{mark}"',
    "[]",
    "5",
)
"""What `report` may not be told of a failure."""

ACTS: Final = {
    "retry": (
        '{"attempts": 0}',
        '{"attempts": 1.5}',
        '{"attempts": "{mark}"}',
        '{"attempts": 1001}',
        '{"attempts": [1]}',
        '{"run_at": "{mark}"}',
        '{"run_at": "infinity"}',
        '{"run_at": 5}',
        '{"kill_at": "{mark}"}',
        '{"kill_at": "infinity"}',
        '{"kill_at": "1999-01-01T00:00:00Z"}',
        '{"run_at": ["{mark}"]}',
    ),
    "reschedule": (
        "{}",
        '{"run_at": null}',
        '{"run_at": "{mark}"}',
        '{"run_at": "infinity"}',
        '{"run_at": 5}',
        '{"run_at": "1999-01-01T00:00:00Z"}',
        '{"run_at": "4999-01-01T00:00:00Z"}',
        '{"run_at": "2026-12-24T00:00:00Z", "kill_at": "2026-12-23T00:00:00Z"}',
        '{"run_at": true}',
    ),
    "reprioritise": (
        "{}",
        '{"priority": 1001}',
        '{"priority": -1001}',
        '{"priority": 1.5}',
        '{"priority": "{mark}"}',
        '{"priority": null}',
        '{"priority": 1e300}',
        '{"priority": [1]}',
        '{"priority": true}',
    ),
    "move": (
        "{}",
        '{"queue": ""}',
        '{"queue": "a b{mark}"}',
        '{"queue": null}',
        '{"queue": 5.5}',
        '{"queue": ["{mark}"]}',
        '{"queue": {"a": "{mark}"}}',
    ),
}
"""The data that each act refuses."""

WITHOUT_ARGUMENTS: Final = {"now", "answered_at", "caller", "my_tenants", "every_tenant", "cursor_key", "service_key"}
"""What cannot be called wrongly."""
