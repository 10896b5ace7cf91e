"""Series written in every form and read again: what was written is the truth."""

from __future__ import annotations

import gzip
import importlib
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from real_data import real_data

from recurra.data.series import SeriesOptions, SeriesSet, read_future, read_series
from recurra.data.series.record import put_behind
from recurra.errors import DataError


def read(path: Path, text: str, **options: object) -> SeriesSet:
    path.write_text(text, encoding="utf-8")
    return read_series(path, SeriesOptions.make(**options))


def test_a_long_table(tmp_path: Path) -> None:
    """Series may be mixed; each keeps its own rows in order, its start, and its length."""
    text = (
        "unique_id,ds,y,p\nb,2020-01-02,5,1\na,2020-01-01,1,0\nb,2020-01-03,6,0\na,2020-01-02,2,1\na,2020-01-03,3,0\n"
    )
    found = read(tmp_path / "s.csv", text, known_covariates="p")
    assert found.ids == ("b", "a")
    assert found.lengths.tolist() == [2, 3]
    assert found.values[:, 0].tolist() == [5, 6, 1, 2, 3]
    assert found.known[:, 0].tolist() == [1, 0, 0, 1, 0]
    assert found.clock.text(found.times(0)) == ["2020-01-02", "2020-01-03"]
    assert found.clock.text(found.times(1, 0, 4)) == ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_separators_and_gzip_and_bom(tmp_path: Path, separator: str) -> None:
    text = "ds,y\n1,2.5\n2,-3e2\n".replace(",", separator)
    assert read(tmp_path / "s.txt", text).values[:, 0].tolist() == [2.5, -300]
    (tmp_path / "s.gz").write_bytes(gzip.compress(("\ufeff" + text.replace("\n", "\r\n")).encode()))
    assert read_series(tmp_path / "s.gz", SeriesOptions()).values[:, 0].tolist() == [2.5, -300]


def test_a_wide_table_as_one_series_or_many(tmp_path: Path) -> None:
    text = "date,a,b,c\n2020-01,1,10,7\n2020-02,2,20,8\n2020-03,3,30,9\n"
    one = read(tmp_path / "s.csv", text, time="date", target="a,b", past_covariates="c")
    assert len(one) == 1
    assert one.values.tolist() == [[1, 10], [2, 20], [3, 30]]
    assert one.past[:, 0].tolist() == [7, 8, 9]
    many = read(tmp_path / "s.csv", text, time="date", series_columns="b,a", known_covariates="c")
    assert many.ids == ("b", "a")
    assert many.values[:, 0].tolist() == [10, 20, 30, 1, 2, 3]
    assert many.known[:, 0].tolist() == [7, 8, 9, 7, 8, 9]
    assert many.clock.text(many.times(1, 3, 5)) == ["2020-04-01", "2020-05-01"]
    assert read(tmp_path / "s.csv", text, time="date", series_columns="all").ids == ("a", "b", "c")
    assert read(tmp_path / "s.csv", text, time="date", target="all").targets == ("a", "b", "c")


def test_columns_that_begin_later_and_end_earlier(tmp_path: Path) -> None:
    found = read(tmp_path / "s.csv", "ds,a,b\n1,1,\n2,2,5\n3,,6\n", series_columns="all")
    assert found.lengths.tolist() == [2, 2]
    assert found.starts.tolist() == [1, 2]
    assert found.values[:, 0].tolist() == [1, 2, 5, 6]


def test_a_row_per_series(tmp_path: Path) -> None:
    text = '"V1","V2","V3","V4"\n"x","1","2","3"\n"y","4",,\n'
    for content in (text, text.partition("\n")[2]):
        found = read(tmp_path / "s.csv", content, layout="rows")
        assert found.ids == ("x", "y")
        assert found.lengths.tolist() == [3, 1]
        assert found.values[:, 0].tolist() == [1, 2, 3, 4]
    assert found.lines.tolist() == [1, 2]


def test_missing_steps_are_found_and_filled_by_the_rule(tmp_path: Path) -> None:
    text = "unique_id,ds,y\na,2020-01-01,1\na,2020-01-02,2\na,2020-01-05,8\nb,2020-01-01,4\nb,2020-01-02,5\n"
    for rule, filled in (("previous", [2, 2]), ("linear", [4, 6]), ("zero", [0, 0])):
        found = read(tmp_path / "s.csv", text, fill=rule)
        assert found.lengths.tolist() == [5, 2]
        assert found.values[:5, 0].tolist() == [1, 2, *filled, 8]
        assert found.observed[:5, 0].tolist() == [True, True, False, False, True]
        assert found.observed[5:].all()


def test_missing_values_where_they_are_allowed(tmp_path: Path) -> None:
    text = "ds,y,p\n1,NaN,3\n2,2,\n3,,5\n4,7,6\n"
    found = read(tmp_path / "s.csv", text, allow_missing_values=True, known_covariates="p")
    assert found.values[:, 0].tolist() == [2, 2, 2, 7]  # what comes before the first value is the first
    assert found.observed[:, 0].tolist() == [False, True, False, True]
    assert found.known[:, 0].tolist() == [3, 3, 5, 6]


@pytest.mark.parametrize(
    ("step", "start", "count", "name"),
    [
        (timedelta(hours=1), datetime(2020, 1, 1), 50, "1h"),
        (timedelta(minutes=15), datetime(2020, 1, 1, 0, 5), 50, "15min"),
        (timedelta(days=1), datetime(2019, 12, 30, 7), 70, "1d"),
        (timedelta(days=7), datetime(2020, 1, 1), 20, "1w"),
        (timedelta(milliseconds=20), datetime(2020, 1, 1), 20, "20ms"),
    ],
)
def test_the_frequency_is_inferred(tmp_path: Path, step: timedelta, start: datetime, count: int, name: str) -> None:
    times = [start + number * step for number in range(count) if number % 7 != 3]
    text = "ds,y\n" + "".join(f"{time.isoformat()},1\n" for time in times)
    found = read(tmp_path / "s.csv", text)
    assert found.clock.frequency.text == name
    assert found.lengths.tolist() == [(times[-1] - start) // step + 1]
    assert int((~found.observed).sum()) == int(found.lengths[0]) - len(times)


@pytest.mark.parametrize(
    ("stamps", "name", "following"),
    [
        (["2020-01-31", "2020-02-29", "2020-03-31"], "1mo", "2020-04-30"),
        (["2020-01-15", "2020-02-15", "2020-04-15"], "1mo", "2020-05-15"),
        (["2019Q1", "2019Q2", "2019Q3", "2020Q1"], "1q", "2020-04-01"),
        (["2018-06-30", "2019-06-30", "2020-06-30"], "1y", "2021-06-30"),
        (["2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07"], "1b", "2020-01-08"),
        (["1", "3", "5", "9"], "2row", "11"),
        (["20200101", "20200102", "20200104"], "1d", "2020-01-05"),
        (["2020/1/1", "2020/1/2"], "1d", "2020-01-03"),
    ],
)
def test_calendar_steps(tmp_path: Path, stamps: list[str], name: str, following: str) -> None:
    found = read(tmp_path / "s.csv", "ds,y\n" + "".join(f"{stamp},1\n" for stamp in stamps))
    assert found.clock.frequency.text == name
    end = int(found.lengths[0])
    assert found.clock.text(found.times(0, end, end + 1)) == [following]


def test_offsets_are_kept(tmp_path: Path) -> None:
    text = "ds,y\n2020-01-01T00:00:00+05:30,1\n2020-01-01T01:00:00+05:30,2\n"
    found = read(tmp_path / "s.csv", text)
    assert found.clock.zone == "+05:30"
    assert found.clock.text(found.times(0)) == ["2020-01-01 00:00:00+05:30", "2020-01-01 01:00:00+05:30"]
    assert found.starts[0] == datetime.fromisoformat("2019-12-31T18:30+00:00").timestamp() * 1_000_000
    berlin = read(tmp_path / "s.csv", text, time_zone="Europe/Berlin")
    assert berlin.clock.text(berlin.times(0))[0] == "2019-12-31 19:30:00+01:00"
    several = read(tmp_path / "s.csv", text.replace("01:00:00+05:30", "02:30:00+07:00"))
    assert several.clock.zone == "UTC"
    assert several.lengths.tolist() == [2]


def test_hours_where_the_clock_is_set(tmp_path: Path) -> None:
    """Every hour of a year, as a clock on the wall in Berlin shows it: no step is missing and none is double."""
    zone = ZoneInfo("Europe/Berlin")
    first = datetime(2020, 1, 1, tzinfo=ZoneInfo("UTC"))
    moments = [first + timedelta(hours=hour) for hour in range(366 * 24)]
    walls = [moment.astimezone(zone) for moment in moments]
    text = "ds,y\n" + "".join(f"{wall:%Y-%m-%d %H:%M},1\n" for wall in walls)
    found = read(tmp_path / "s.csv", text, time_zone="Europe/Berlin")
    assert found.clock.frequency.text == "1h"
    assert found.lengths.tolist() == [len(moments)]
    assert found.observed.all()
    assert found.clock.text(found.times(0)) == [wall.isoformat(sep=" ") for wall in walls]
    with pytest.raises(DataError, match="stands already in line"):
        read(tmp_path / "s.csv", text)


def test_days_where_the_clock_is_set(tmp_path: Path) -> None:
    """Midnight stays midnight: days are counted by the clock on the wall."""
    days = [datetime(2020, 3, 27) + timedelta(days=day) for day in range(5)]
    text = "ds,y\n" + "".join(f"{day:%Y-%m-%d},1\n" for day in days)
    found = read(tmp_path / "s.csv", text, time_zone="Europe/Berlin")
    assert found.clock.frequency.text == "1d"
    assert found.clock.text(found.times(0, 0, 6)) == [f"2020-03-{day}" for day in range(27, 32)] + ["2020-04-01"]


def test_formats_of_stamps(tmp_path: Path) -> None:
    found = read(tmp_path / "s.csv", "ds,y\n31.01.2020 23:00,1\n01.02.2020 00:00,2\n", time_format="%d.%m.%Y %H:%M")
    assert found.clock.text(found.times(0))[1] == "2020-02-01 00:00:00"
    unix = read(tmp_path / "s.csv", "ds,y\n1577836800,1\n1577840400,2\n", time_format="unix")
    assert unix.clock.text(unix.times(0)) == ["2020-01-01 00:00:00+00:00", "2020-01-01 01:00:00+00:00"]


def test_series_come_back_from_a_folder(tmp_path: Path) -> None:
    text = "unique_id,ds,y,p\na,2020-01-01,1,0\na,2020-01-03,2,1\nb,2020-01-01,3,0\nb,2020-01-02,4,5\n"
    found = read(tmp_path / "s.csv", text, past_covariates="p", frequency="d")
    found.save(tmp_path / "kept")
    again = SeriesSet.load(tmp_path / "kept")
    for name in ("bounds", "starts", "lines", "values", "observed", "known", "past"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    assert (again.ids, again.clock, again.past_names) == (found.ids, found.clock, ("p",))
    taken = found.take([1])
    assert (taken.ids, taken.values[:, 0].tolist()) == (("b",), [3, 4])
    (tmp_path / "kept" / "values.npy").write_bytes(b"PK broken")
    with pytest.raises(DataError, match="damaged or missing series"):
        SeriesSet.load(tmp_path / "kept")


def test_a_continuation(tmp_path: Path) -> None:
    first = read(tmp_path / "a.csv", "unique_id,ds,y\na,2020-01-01,1\na,2020-01-02,2\nb,2020-01-02,5\nb,2020-01-03,6\n")
    second = read(
        tmp_path / "b.csv", "unique_id,ds,y\nb,2020-01-04,7\nb,2020-01-05,8\na,2020-01-04,4\na,2020-01-05,5\n"
    )
    joined = put_behind(first, second, "test file")
    assert joined.ids == ("a", "b")
    assert joined.values[:, 0].tolist() == [1, 2, 2, 4, 5, 5, 6, 7, 8]
    assert joined.observed[:, 0].tolist() == [True, True, False, *[True] * 6]
    for text, message in (
        ("unique_id,ds,y\na,2020-01-03,1\na,2020-01-04,1\n", "expected every series of .*, got none for 'b'"),
        ("unique_id,ds,y\na,2020-01-02,1\nb,2020-01-04,1\na,2020-01-03,1\n", ":2: series 'a': expected the test file "
         "to begin at 2020-01-03 or later, got 2020-01-02"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message):
            put_behind(first, read(tmp_path / "b.csv", text), "test file")


def test_known_covariates_of_the_future(tmp_path: Path) -> None:
    """The file needs no targets, and must have every step."""
    path = tmp_path / "f.csv"
    series = read(tmp_path / "s.csv", "ds,y,p\n2020-01-01,1,1\n2020-01-02,2,2\n", known_covariates="p")
    path.write_text("ds,p\n2020-01-03,3\n2020-01-04,4\n")
    options = SeriesOptions.make(known_covariates="p")
    assert read_future(path, options, series.clock).known[:, 0].tolist() == [3, 4]
    path.write_text("ds,p\n2020-01-03,3\n2020-01-06,4\n")
    with pytest.raises(DataError, match="expected a row for every step, got none for 2020-01-04"):
        read_future(path, options, series.clock)


def test_parquet(tmp_path: Path) -> None:
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        (tmp_path / "s.parquet").write_bytes(b"PAR1")
        with pytest.raises(ValueError, match="Parquet needs a library; pip install pyarrow"):
            read_series(tmp_path / "s.parquet", SeriesOptions())
        return
    times = [datetime(2020, 1, 1) + timedelta(hours=hour) for hour in range(3)]
    parquet.write_table(arrow.table({"ds": times, "y": [1.5, 2.5, 3.5]}), tmp_path / "s.parquet")
    found = read_series(tmp_path / "s.parquet", SeriesOptions())
    assert found.values[:, 0].tolist() == [1.5, 2.5, 3.5]
    assert found.clock.frequency.text == "1h"


def test_real_files() -> None:
    """Counts that the READMEs of the data state."""
    etth1 = read_series(real_data("etth1") / "ETTh1.csv.gz", SeriesOptions.make(time="date", target="all"))
    assert (etth1.lengths.tolist(), len(etth1.targets), etth1.clock.frequency.text) == ([17420], 7, "1h")
    assert etth1.clock.text(etth1.times(0, 17419, 17420)) == ["2018-06-26 19:00:00"]
    m4 = read_series(real_data("m4_hourly") / "Hourly-train.csv.gz", SeriesOptions.make(layout="rows"))
    assert (len(m4), m4.lengths.min(), m4.lengths.max(), m4.lengths.sum()) == (414, 700, 960, 353_500)
    folder = real_data("airline_passengers")
    (path,) = folder.glob("*.csv")
    airline = read_series(path, SeriesOptions.make(time="Month", target="Passengers"))
    assert (airline.lengths.tolist(), airline.clock.frequency.text, airline.lines.tolist()) == ([144], "1mo", [2])
