"""For each reader of series, files that cannot be used, and the one line that each must give."""

from __future__ import annotations

import gzip
import random
import re
from pathlib import Path
from typing import Any

import pytest

from recurra.data.series import Clock, Frequency, SeriesOptions, read_series
from recurra.errors import RecurraError

LONG: dict[str, Any] = {}
WIDE: dict[str, Any] = {"time": "date", "target": "a,b"}
ROWS: dict[str, Any] = {"layout": "rows"}
HEAD = "unique_id,ds,y\n"

FILES = [
    (LONG, "", "FILE: expected a table with names in its first row, got an empty file"),
    (LONG, HEAD, "FILE: expected rows below the names, got none; give a file with values"),
    (LONG, "id,ds,yy\na,1,2\n", r"FILE:1: expected a column 'y' \(target\), found id, ds, yy; did you mean 'yy'\?"),
    ({"target": "load"}, "ds,x\n1,2\n", r"FILE:1: expected a column 'load' \(target\), found ds, x; name another .*"),
    ({"time": "when"}, "ds,y\n1,2\n", r"FILE:1: expected a column 'when' \(time\), found ds, y; name another .*"),
    ({"series_id": "city"}, HEAD, r"FILE:1: expected a column 'city' \(series_id\), found unique_id, ds, y; name .*"),
    ({"known_covariates": "p"}, HEAD, r"FILE:1: expected a column 'p' \(known_covariates\), found .*"),
    (LONG, "ds,y,y\n1,2,3\n", "FILE:1: expected each column to have its own name, got 'y' twice"),
    (LONG, HEAD + "a,2020-01-01,1\na,2020-01-02\n", "FILE:3: expected 3 cells as in the first row, got 2"),
    (LONG, HEAD + "a,2020-01-01,1,\n", "FILE:2: expected 3 cells as in the first row, got 4"),
    (LONG, HEAD + "a,2020-01-01,1\na,2020-01-02,x1\n", "FILE:3: expected a number in column 'y', got 'x1'"),
    (LONG, HEAD + 'a,2020-01-01,"1,5"\n', "FILE:2: expected a number in column 'y', got '1,5'; decimals are .* point"),
    (LONG, HEAD + "a,2020-01-01,inf\n", "FILE:2: expected a number in column 'y', got 'inf'"),
    (LONG, HEAD + "a,2020-01-01,-1e999\n", "FILE:2: expected a number in column 'y', got '-1e999'"),
    (LONG, HEAD + "a,2020-01-01,1\na,2020-01-02,1e39\n", "FILE:3: expected .* 'y', got '1e39'; .* up to 3.4e\\+38, .*"),
    ({"past_covariates": "p"}, "ds,y,p\n1,1,-1e300\n", "FILE:2: expected a number in column 'p', got '-1e300'; .*"),
    ({"known_covariates": "y"}, "ds,y\n1,1\n", "FILE:1: column 'y' is taken as target and as known_covariates; .*"),
    ({"past_covariates": "y"}, "ds,y\n1,1\n", "FILE:1: column 'y' is taken as target and as past_covariates; .*"),
    ({"known_covariates": "ds"}, "ds,y\n1,1\n", "FILE:1: column 'ds' is taken as time and as known_covariates; .*"),
    ({"past_covariates": "unique_id"}, HEAD + "1,1,1\n", "FILE:1: column 'unique_id' is taken as series_id and as .*"),
    ({"target": "all", "known_covariates": "y"}, "ds,y\n1,1\n", "FILE:1: expected columns besides .*, found ds, y; .*"),
    ({"target": "ds"}, "ds,y\n1,1\n", "FILE:1: column 'ds' is taken as time and as target; name another .*"),
    ({"series_columns": "ds,y"}, "ds,y\n1,1\n", "FILE:1: column 'ds' is taken as time and as series_columns; .*"),
    ({"series_id": "ds"}, "ds,y\n1,1\n", "FILE:1: column 'ds' is taken as time and as series_id; name another .*"),
    (
        LONG,
        HEAD + "a,2020-01-01,1\na,2020-01-02,NaN\na,2020-01-03,\n",
        r"FILE:3: expected a number in column 'y', got a missing value \(and 1 more\); give --allow-missing-values .*",
    ),
    (LONG, HEAD + "a,2020-01-01,1_000\n", "FILE:2: expected a number in column 'y', got '1_000'"),
    (LONG, "ds,y\n1,1\n1_0,1\n", "FILE:3: expected a whole number as in the rows before in column 'ds', got '1_0'.*"),
    (
        {"frequency": "h"},
        "ds,y\n1,1\n2,1\n",
        "FILE:2: expected time stamps for --frequency h, got rows that are counted; name the column with --time",
    ),
    (LONG, HEAD + ",2020-01-01,1\n", "FILE:2: expected an id in column 'unique_id', got none"),
    (
        LONG,
        HEAD + "a,2020-01-01,1\nb,2020-01-01,1\na,2020-01-03,2\na,2020-01-02,3\n",
        r"FILE:5: expected a time after 2020-01-03 00:00:00 \(line 4\) of series 'a', got 2020-01-02 00:00:00; sort .*",
    ),
    (
        LONG,
        "ds,y\n2020-01-01,1\n2020-01-02,1\n2020-01-02,2\n",
        "FILE:4: time 2020-01-02 00:00:00 stands already in line 3; keep one row, or, if .* set back, give --time-zone",
    ),
    (LONG, "ds,y\n1,1\n2,1\n2,2\n", "FILE:4: time 2 stands already in line 3; keep one row"),
    (LONG, "ds,y\n01.02.2020,1\n", "FILE:2: expected a time stamp, as .* in column 'ds', got '01.02.2020'; .*format.*"),
    (LONG, "ds,y\n2020-13-01,1\n", "FILE:2: expected a time stamp, as .*, got '2020-13-01'; .*"),
    (LONG, "ds,y\n1,1\n2020-01-01,1\n", "FILE:3: expected a whole number as in the rows before in column 'ds', .*"),
    ({"time_format": "%d.%m.%Y"}, "ds,y\n2020-01-01,1\n", "FILE:2: expected a time stamp as %d.%m.%Y in .*"),
    (
        LONG,
        "ds,y\n2020-01-01T00:00+01:00,1\n2020-01-01T01:00,1\n",
        "FILE:3: expected time stamps with an offset from UTC as in line 2, got one without; write all alike",
    ),
    (
        {"time_zone": "Europe/Berlin"},
        "ds,y\n2020-03-29 01:00,1\n2020-03-29 02:30,1\n",
        "FILE:3: 2020-03-29 02:30:00 is never shown by a clock in Europe/Berlin, where it is put forward then; .*",
    ),
    (
        LONG,
        "ds,y\n2020-01-01 00:00,1\n2020-01-01 01:00,1\n2020-01-01 02:00,1\n2020-01-01 02:17,1\n",
        r"FILE:5: expected a step of 1h or a multiple after 2020-01-01 02:00:00 \(line 4\), got 2020-01-01 02:17:00.*",
    ),
    (
        LONG,
        "ds,y\n2020-01-01 00:00,1\n2020-01-01 01:00,1\n2920-01-01 02:00,1\n",
        "FILE:4: expected a row every 1h, got 7,889,232 missing before 2920-01-01 02:00:00; correct the stamp, .*",
    ),
    (LONG, "ds,y\n2020-01-01,1\n", "FILE:2: expected series of at least 2 rows, got 1; check --series-id"),
    (WIDE, "date,a\n1,2\n", r"FILE:1: expected a column 'b' \(target\), found date, a; name another with --target"),
    (WIDE, "date,a,b\n1,2,\n2,2,2\n", "FILE:2: expected a number in column 'b', got a missing value; give .*"),
    ({"series_columns": "all"}, "ds,a,b\n1,2,\n2,3,\n", "FILE:1: expected values in column 'b', got none.*"),
    ({"series_columns": "all"}, "ds,a\n1,2\n2,\n3,4\n", "FILE:3: expected a number in column 'a', got a missing .*"),
    (ROWS, "id,v1,v2\n", "FILE: expected a row per series, got none; give a file with values"),
    (ROWS, "id,v1,v2\nx,,\n", "FILE:2: expected values after the id 'x', got none; remove the row"),
    (ROWS, "id,v1,v2\nx,1,2\nx,3\n", "FILE:3: series 'x' stands already in line 2; keep one row"),
    (ROWS, "id,v1,v2\nx,1,1e39\n", "FILE:2: expected a number in column 'number 3', got '1e39'; networks hold .*"),
    (ROWS, "id,v1,v2\nx,1,z\n", "FILE:2: expected a number in column 'number 3', got 'z'"),
    (ROWS, "id,v1,v2,v3\nx,1,,3\n", "FILE:2: expected a number in cell 3, got a missing value; give .*"),
    (LONG, "ds,y\n1,\"2\n", "FILE:2: not a table .*|FILE:2: expected .*"),
    (LONG, "\0\0\0binary\n", "FILE:1: expected a text table, got binary data; give CSV, TSV or Parquet"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "text", "message"), FILES, ids=[message[:60] for _, _, message in FILES])
def test_bad_file(tmp_path: Path, options: dict[str, Any], text: str, message: str) -> None:
    path = tmp_path / "series.csv"
    path.write_text(text, encoding="utf-8")
    refused(path, options, message)


def refused(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecurraError) as caught:
        read_series(path, SeriesOptions.make(**options))
    assert "\n" not in str(caught.value)
    assert re.fullmatch(message.replace("FILE", re.escape(str(path))), str(caught.value)), str(caught.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    refused(path, {}, r"FILE: expected a table of series \(CSV, TSV, gzip, Parquet\), found nothing; check the path")
    path.write_bytes("ds,y\n1,2\n3,ä\n".encode("latin1"))
    refused(path, {}, "FILE: expected UTF-8 text, got byte 0xe4; convert the file first")
    path.write_bytes(gzip.compress(b"ds,y\n" + b"".join(b"%d,2\n" % n for n in range(2000)))[:-20])
    refused(path, {}, r"FILE: expected whole gzip, got a damaged file \(.*\); fetch it again")
    refused(tmp_path, {}, "FILE: expected a table of series .*, found a folder; check the path")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "a", "series_columns": "b"}, "target is for one multivariate model, .*"),
        ({"series_columns": "b", "series_id": "i"}, "series_id has no effect with series_columns, .*"),
        ({"layout": "rows", "time": "ds"}, "time has no effect with layout=rows: .*"),
        ({"time_format": "day"}, "time_format: expected 'unix' or a format as %d.%m.%Y, got 'day'"),
        ({"target": "a", "known_covariates": "b,a"}, "column 'a' is named twice among .*; name it once"),
    ],
)
def test_options_that_contradict(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecurraError, match=message):
        SeriesOptions.make(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frequency": "1 fortnight"}, "frequency: expected a number and one of .*, as 15min, got '1 fortnight'"),
        ({"frequency": "0h"}, "frequency: expected a number .*"),
        ({"time_zone": "Europe/Berlim"}, r"time_zone: expected a zone .*, got 'Europe/Berlim'; .*Berlin'\?"),
    ],
)  # fmt: skip
def test_options_out_of_range(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = tmp_path / "series.csv"
    path.write_text("ds,y\n2020-01-01,1\n2020-01-02,1\n")
    refused(path, options, message)


@pytest.mark.parametrize(
    ("zone", "text", "message"),
    [
        (
            None,
            "ds,y\n1,1\n2,1\n",
            "FILE:2: expected time stamps as in the training data, got rows that are counted; .*",
        ),
        (None, "y\n1\n2\n", "FILE:2: expected time stamps as in the training data, got rows that are counted; .*"),
        (
            None,
            "ds,y\n2020-01-01T00:00Z,1\n2020-01-01T01:00Z,1\n",
            "FILE:2: expected time stamps without an offset from UTC as in the training data, got them with; .*",
        ),
        (
            "UTC",
            "ds,y\n2020-01-01T00:00,1\n2020-01-01T01:00,1\n",
            "FILE:2: expected time stamps with an offset from UTC as in the training data, got them without; .*",
        ),
        (
            None,
            "ds,y\n2020-01-01T00:00,1\n2020-01-01T00:30,1\n",
            r"FILE:3: expected a step of 1h or a multiple after 2020-01-01 00:00:00 \(line 2\), got 2020-01-01 00:3.*",
        ),
    ],
)
def test_files_of_another_kind_than_the_training_data(
    tmp_path: Path, zone: str | None, text: str, message: str
) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(RecurraError) as caught:
        read_series(path, SeriesOptions(), Clock(Frequency.parse("h"), zone))
    assert re.fullmatch(message.replace("FILE", re.escape(str(path))), str(caught.value)), str(caught.value)


DAYS = [f"2020-01-{day:02}" for day in range(1, 9)]


@pytest.mark.parametrize(
    ("frequency", "stamps", "message"),
    [
        ("h", DAYS, "FILE:2: expected a row every 1h as in the training data, got 1d; resample the file"),
        ("d", ["2020-01", "2020-02", "2020-03", "2020-04"], "FILE:2: expected a row every 1d .*, got 1mo; .*"),
        ("mo", ["2020Q1", "2020Q2", "2020Q3", "2020Q4"], "FILE:2: expected a row every 1mo .*, got 1q; .*"),
        ("b", ["2020-01-03", "2020-01-10", "2020-01-17"], "FILE:2: expected a row every 1b .*, got 1w; .*"),
        ("row", ["0", "10", "20", "30"], "FILE:2: expected a row every 1row .*, got 10row; .*"),
    ],
)
def test_files_in_coarser_steps_than_the_training_data(
    tmp_path: Path, frequency: str, stamps: list[str], message: str
) -> None:
    path = tmp_path / "s.csv"
    path.write_text("ds,y\n" + "".join(f"{stamp},1\n" for stamp in stamps))
    with pytest.raises(RecurraError) as caught:
        read_series(path, SeriesOptions(), Clock(Frequency.parse(frequency)))
    assert re.fullmatch(message.replace("FILE", re.escape(str(path))), str(caught.value)), str(caught.value)


def test_gaps_are_no_coarser_steps(tmp_path: Path) -> None:
    """Business days that look like days, days over a weekend, one gap alone, and what the training data was too."""
    path, options = tmp_path / "s.csv", SeriesOptions.make(frequency="h")

    def steps(stamps: list[str], clock: Clock | None) -> int:
        path.write_text("ds,y\n" + "".join(f"{stamp},1\n" for stamp in stamps))
        return len(read_series(path, options if clock is None else SeriesOptions(), clock).values)

    assert steps(DAYS[:2], Clock(Frequency.parse("b"))) == 2
    assert steps(["2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07"], Clock(Frequency.parse("d"))) == 6
    assert steps(["2020-01-01", "2020-01-04"], Clock(Frequency.parse("d"))) == 4
    assert steps(DAYS, None) == 7 * 24 + 1  # --frequency h was asked for
    daily = read_series(path, options)
    assert daily.clock.usual == 24
    assert steps(DAYS, Clock.from_dict(daily.clock.to_dict())) == 7 * 24 + 1


WHOLE = [
    "unique_id,ds,y,k\n" + "".join(f"{name},2020-01-01 0{hour}:00,{hour},1\n" for name in "ab" for hour in range(5)),
    "ds,y\n2020-03-29T00:00+01:00,1\n2020-03-29T01:00+01:00,2\n2020-03-29T03:00+02:00,4\n",
    "id,v\na,1,2,3,,\nb,4,5\n",
    "ds,a,b\n2020-01,1,2\n2020-02,3,\n2020-03,,5\n",
]
ASKED: list[dict[str, Any]] = [
    {}, {"known_covariates": "k"}, {"layout": "rows"}, {"series_columns": "all", "allow_missing_values": True},
    {"target": "all"}, {"time_zone": "Europe/Berlin", "fill": "linear"}, {"frequency": "mo"}, {"time_format": "unix"},
]  # fmt: skip


def test_whatever_is_in_a_file_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    """Files with characters changed, added and taken away at random."""
    chance, path, refusals = random.Random(1), tmp_path / "s.csv", set()
    for _ in range(500):
        text = list(chance.choice(WHOLE))
        for _ in range(chance.randrange(4)):
            place = chance.randrange(len(text))
            text[place : place + chance.randrange(3)] = chance.choice('0123456789-:, \n\t";.eEnaN+TZ_/Qa\0é')
        path.write_text("".join(text), encoding="utf-8")
        try:
            found = read_series(path, SeriesOptions.make(**chance.choice(ASKED)))
            assert len(found.values) == found.lengths.sum() > 0
        except RecurraError as error:
            refusals.add(str(error).partition("expected")[2])
    assert not any("\n" in refusal for refusal in refusals)
    assert len(refusals) > 15
