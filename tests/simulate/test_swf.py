"""The parser of the Standard Workload Format, on the real log and on hand-made ones."""

from __future__ import annotations

import gzip
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobledger.errors import InvalidFile
from jobledger.simulate import swf
from jobledger.simulate.swf import Status

DATA = Path(__file__).parents[1] / "data"
NASA = DATA / "NASA-iPSC-1993-3.1-cln.swf.gz"
GOOD = "1 0 -1 30 1 -1 -1 -1 -1 -1 1 1 1 -1 -1 -1 -1 -1\n"


def test_reads_the_real_log_whole() -> None:
    """The log of NASA Ames has 18,239 records of 69 users, all without a status, 173 with a run time of 0."""
    log = swf.read(NASA)
    assert len(log.records) == 18_239
    assert len({record.user for record in log.records}) == 69
    assert {record.status for record in log.records} == {Status.UNKNOWN}
    assert sum(record.run_s == 0 for record in log.records) == 173


def test_keeps_the_acknowledgements_of_the_header() -> None:
    """Who gave the log and who converted it is shown as the header asks, continued lines included."""
    lines = swf.read(NASA).acknowledgements()
    assert "Acknowledge: Bill Nitzberg" in lines
    assert "Installation: NASA Ames Research Center" in lines
    assert any(line.startswith("Conversion: Dror Feitelson") for line in lines)
    assert any("workload" in line for line in lines if line.startswith("Information"))


def test_reads_every_status_and_unknown_run_times() -> None:
    """All statuses of the format are read; a run time of -1 is kept as 0 and marked as unknown."""
    records = swf.read(DATA / "small.swf").records
    assert {record.status for record in records} == set(Status)
    assert [record.number for record in records if not record.run_known] == [7]
    assert next(record.run_s for record in records if record.number == 5) == 90.5


def test_a_bad_line_is_named_with_its_number() -> None:
    """The error names file, line and field, and does not repeat what stood there."""
    with pytest.raises(InvalidFile, match=r"bad_line\.swf, line 6: field 4 \(run time\) is not a number") as caught:
        swf.read(DATA / "bad_line.swf")
    assert caught.value.detail == {"file": "bad_line.swf", "line": 6}
    assert "ten" not in str(caught.value).replace("bad_line", "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no record"),
        ("; only a header\n", "holds no record"),
        ("1 2 3\n", "line 1: 3 fields, a record has 18"),
        (GOOD.replace(" 0 ", " -5 ", 1), "submit time"),
        (GOOD.replace(" 30 ", " -2 ", 1), "run time"),
        (GOOD.replace(" 30 ", " nan ", 1), "run time"),
        (GOOD.replace(" 30 ", " 1_0 ", 1), "run time"),
        (GOOD.replace(" 1 1 1 -1", " 9 1 1 -1"), "status"),
        (GOOD + "x" * 20_000, "line 2: longer than 10,000"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """Each way of not being a record has its sentence."""
    path = tmp_path / "log.swf"
    path.write_text(text)
    with pytest.raises(InvalidFile) as caught:
        swf.read(path)
    assert says in str(caught.value)


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there, a folder, and a gzip file that was cut off are named errors."""
    cut = tmp_path / "cut.swf.gz"
    cut.write_bytes(gzip.compress((GOOD * 1000).encode())[:60])
    for path in (tmp_path / "none.swf", tmp_path, cut):
        with pytest.raises(InvalidFile):
            swf.read(path)


def test_gzip_is_told_by_content(tmp_path: Path) -> None:
    """A zipped log without its ending, and a plain one with it, are both read."""
    (tmp_path / "zipped.swf").write_bytes(gzip.compress(GOOD.encode()))
    (tmp_path / "plain.gz").write_text(GOOD)
    assert swf.read(tmp_path / "zipped.swf").records == swf.read(tmp_path / "plain.gz").records


@given(content=st.binary(max_size=300))
def test_any_bytes_are_a_log_or_a_named_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever the file holds, the parser answers with records or with InvalidFile."""
    path = tmp_path_factory.mktemp("any") / "log.swf"
    path.write_bytes(content)
    with suppress(InvalidFile):
        assert swf.read(path).records


@given(fields=st.lists(st.integers(-1, 10**9), min_size=18, max_size=18), status=st.sampled_from(sorted(Status)))
def test_a_sound_line_reads_back(tmp_path_factory: pytest.TempPathFactory, fields: list[int], status: int) -> None:
    """Submit time, run time, status and user of a well-formed line come out as they went in."""
    fields[1] = abs(fields[1])
    fields[10] = status
    path = tmp_path_factory.mktemp("any") / "log.swf"
    path.write_text(" ".join(map(str, fields)) + "\n")
    (record,) = swf.read(path).records
    assert (record.submit_s, record.run_s, record.user) == (fields[1], max(fields[3], 0), fields[11])
    assert record.status == status
