"""For each reader of signals, files that cannot be used, and the one line that each must give."""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recurra.data.signals import Layout, read_signals
from recurra.errors import ConfigError, RecurraError

LONG = Layout(series_id="id", label="kind", time="t")
TS = "@problemName x\n@timeStamps false\n@classLabel true a b\n@data\n"


def refused(path: Path, content: bytes, layout: Layout, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(RecurraError) as caught:
        read_signals(path, layout)
    assert re.fullmatch(message.replace("FILE", re.escape(str(path))), str(caught.value)), str(caught.value)


TABLES = [
    ("", Layout(), "FILE: expected at least one series, got none; give a file with data"),
    ("\n \r\n", Layout(), "FILE: expected at least one series, got none; give a file with data"),
    (
        "1\t2\t3\n\n1\t2\n",
        Layout(),
        "FILE:3: expected 3 columns as in line 1, got 2; fill up shorter series with NaN .*",
    ),
    ("1,2,3\n1,2,inf\n", Layout(), "FILE:2: expected finite numbers, got 'inf' in value 2; correct it, or leave .*"),
    ("1,2,3\n1,-1e39,2\n", Layout(), "FILE:2: expected finite numbers, got '-1e39' in value 1; .*"),
    ("1,2,3\n1,2,x3\n", Layout(), "FILE:2: expected a number in value 2, got 'x3'; correct it"),
    ("label,a,b\n1,2,3\n", Layout(), "FILE:1: expected a number in value 1, got 'a'; correct it"),
    ("1,2,3\n,2,3\n", Layout(), "FILE:2: expected a label, got ''; give every series one, or leave the line out"),
    ("nan,2,3\n", Layout(), "FILE:1: expected a label, got 'nan'; .*"),
    (
        "0.5,2,3\n",
        Layout(),
        r"FILE:1: expected a label \(text or a whole number\), got '0.5'; say by --label-column .*",
    ),
    ("inf,2,3\n", Layout(), r"FILE:1: expected a label \(text or a whole number\), got 'inf'; .*"),
    ("1,nan,?\n", Layout(), "FILE:1: expected a series with values, got one in which all are missing; leave it out"),
    ("1,2,3,4\n", Layout(channels=2), "FILE:1: expected a number of values that --channels 2 divides, got 3; check .*"),
    ("1,2\n", Layout(label_column=3), "FILE:1: expected the label in column 3, got 2 columns; give --label-column"),
    ("7\n", Layout(), "FILE:1: expected a number of values that --channels 1 divides, got 0; .*"),
    ("1,2\n", Layout(series_id="id"), r"FILE:1: expected a column 'id' \(--series-id\), got '1', '2'; check it"),
    ("1,2\n", Layout(values=["a"]), r"values has no effect on a.csv, only on tables with --series-id; leave it out"),
    ("1,2,\xe9\n".encode("latin1"), Layout(), "FILE: expected UTF-8 text, got byte 0xe9 at byte offset 4; .*"),
    (
        gzip.compress(b"1,2\n" * 99)[:-9],
        Layout(),
        r"FILE: expected whole gzip, got a damaged file \(.*\); fetch it again",
    ),
]


@pytest.mark.parametrize(("content", "layout", "message"), TABLES)
def test_tables(tmp_path: Path, content: str | bytes, layout: Layout, message: str) -> None:
    refused(tmp_path / "a.csv", content if isinstance(content, bytes) else content.encode(), layout, message)


LONG_TABLES = [
    ("", r"FILE:1: expected a column 'id' \(--series-id\), got none; check it"),
    ("ID,t,x\n", r"FILE:1: expected a column 'id' \(--series-id\), got 'ID', 't', 'x'; .*"),
    ("id,time,x\n", r"FILE:1: expected a column 't' \(--time\), got 'id', 'time', 'x'; did you mean 'time'\?"),
    ("id,t,x\n", "FILE: expected at least one series, got none; give a file with data"),
    ("id,t,x,x\n", "FILE:1: expected columns of different names, got 'x' twice; rename one"),
    (
        "id,t,kind\n",
        "FILE:1: expected columns of values beside series, time and label, got 'id', .*; give --values",
    ),
    ("id,t,x\n1,1,2\n1,2\n", "FILE:3: expected 3 columns as in the header, got 2; correct the row"),
    ("id,t,x\n,1,2\n", "FILE:2: expected a series in column 'id', got nothing; name it"),
    ("id,t,x\n1,1,a\n", "FILE:2: expected a number in column 'x', got 'a'; correct it"),
    ("id,t,x\n1,1,-inf\n", "FILE:2: expected finite numbers, got '-inf' in column 'x'; .*"),
    ("id,t,x\n1,soon,2\n", "FILE:2: expected a number or an ISO 8601 time in column 't', got 'soon'; correct it"),
    ("id,t,x\n1,nan,2\n", "FILE:2: expected a number or an ISO 8601 time in column 't', got 'nan'; correct it"),
    ("id,t,x\n1,2,5\n2,2,5\n1,1,5\n1,2.0,5\n", "FILE:5: expected each time once in a series, got that of line 2 .*"),
    ("id,t,x\n1,1,\n1,2,?\n", "FILE:2: expected a series with values, got one in which all are missing; leave it out"),
    ("id,t,x,kind\n1,1,2,a\n1,2,2,b\n", "FILE:3: expected label 'a' for series '1', as in line 2, got 'b'; .*"),
    ("id,t,x,kind\n1,1,2,\n", "FILE:2: expected a label, got ''; .*"),
    ('id,t,x\n1,1,"2\n', "FILE:2: expected a row of CSV, got a broken one .*"),
]


@pytest.mark.parametrize(("content", "message"), LONG_TABLES)
def test_long_tables(tmp_path: Path, content: str, message: str) -> None:
    refused(tmp_path / "a.csv", content.encode(), LONG, message)


CASES = [
    ("", "FILE: expected a line @data and cases after it, got none; give a whole .ts file"),
    ("@classLabel true a\n", "FILE: expected a line @data and cases after it, got none; give a whole .ts file"),
    ("1,2:a\n", "FILE:1: expected a header line that begins with @, got '1,2:a'; add @data"),
    ("@data\n1:a\n", "FILE:1: expected before @data a line '@classLabel true' with the classes, .* got none; add it"),
    ("@classLabel true\n@data\n", "FILE:2: expected before @data .*, got '@classLabel true'; add it"),
    ("@classLabel false\n@timestamps true\n@data\n", "FILE:2: expected values without time stamps .*, got 'true'; .*"),
    ("@targetLabel true\n@data\n", r"FILE:1: expected classes \(@classLabel\), got a number to predict for each .*"),
    (
        "@classLabel false\n@dimensions x\n@data\n",
        "FILE:3: expected a number of channels after @dimensions, got 'x'; .*",
    ),
    (TS, "FILE: expected at least one series, got none; give a file with data"),
    (TS + "1,2:a\n3,4:c\n", r"FILE:6: expected a class of @classLabel \('a', 'b'\) after the last colon, got 'c'; .*"),
    (TS + "1,2\n", r"FILE:5: expected a class of @classLabel \('a', 'b'\) after the last colon, got '1,2'.*"),
    (
        TS + "1,2:3,4:a\n3,4:b\n",
        "FILE:6: expected 2 channels and a class between colons, as in the first case, got 1 .*",
    ),
    (
        "@dimensions 3\n" + TS + "1,2:3,4:a\n",
        "FILE:6: expected 3 channels and a class .*, as @dimensions says, got 2 .*",
    ),
    (TS + "1,2:3:a\n", "FILE:5: expected 2 values in channel 2, as in channel 1, got 1; fill up with ?"),
    (TS + "1,2:3,z:a\n", "FILE:5, channel 2: expected a number in value 2, got 'z'; correct it"),
    (TS + "1,2:3,inf:a\n", "FILE:5, channel 2: expected finite numbers, got 'inf' in value 2; .*"),
    (TS + "(0,1),(1,2):a\n", r"FILE:5: expected values between commas, got time stamps \(\(0,1\),\(1,2\)...\); .*"),
    (TS + "?,?:a\n", "FILE:5: expected a series with values, got one in which all are missing; leave it out"),
]


@pytest.mark.parametrize(("content", "message"), CASES)
def test_ts_files(tmp_path: Path, content: str, message: str) -> None:
    refused(tmp_path / "a.ts", content.encode(), Layout(), message.replace("with ?", r"with \?"))


TWO = {"values": np.ones((3, 2)), "lengths": np.array([1, 2])}
INFINITE, ABSENT = np.ones((3, 2)), np.ones((3, 2))
INFINITE[2, 1], ABSENT[0] = np.inf, np.nan
ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({}, "FILE: expected an array 'values', got no array"),
    ({"value": np.ones(3)}, r"FILE: expected an array 'values', got 'value'; did you mean 'value'\?"),
    ({"values": np.ones((3, 2))}, "FILE: expected an array 'lengths', got 'values'"),
    ({**TWO, "label": np.ones(2)}, r"FILE: unknown array 'label'; did you mean 'labels'\?; leave it out"),
    ({**TWO, "values": np.ones(3)}, r"FILE: expected values as numbers \[sum T, I\], got float64 \[3\]; give a row .*"),
    ({**TWO, "values": np.ones((3, 0))}, r"FILE: expected values as numbers .*, got float64 \[3, 0\]; .*"),
    ({**TWO, "values": np.ones((3, 2), complex)}, r"FILE: expected values as numbers .*, got complex128 \[3, 2\]; .*"),
    ({**TWO, "values": np.full((3, 2), "1")}, r"FILE: expected values as numbers .*, got <U1 \[3, 2\]; .*"),
    ({**TWO, "values": np.full((3, 2), None)}, "FILE: expected arrays of numbers and text, got Python objects; .*"),
    ({**TWO, "values": INFINITE}, r"FILE: series 2: expected finite numbers, got inf in values\[2, 1\]; .*"),
    ({**TWO, "values": ABSENT}, "FILE: series 1: expected a series with values, got one in which all are missing; .*"),
    ({**TWO, "lengths": np.array([1.0, 2])}, r"FILE: expected lengths as whole numbers \[N\], got float64 \[2\]; .*"),
    ({**TWO, "lengths": np.array([], int)}, r"FILE: expected lengths as whole numbers \[N\], got int64 \[0\]; .*"),
    ({**TWO, "lengths": np.array([3, 0])}, "FILE: series 2: expected a length of at least 1, got 0"),
    ({**TWO, "lengths": np.array([4, -1])}, "FILE: series 2: expected a length of at least 1, got -1"),
    ({**TWO, "lengths": np.array([1, 1])}, "FILE: expected lengths whose sum is the rows of values, 3, got 2; .*"),
    ({**TWO, "labels": np.array([1])}, r"FILE: expected labels \[2\], one per series, got \[1\]; correct it"),
    ({**TWO, "labels": np.array([1, 0.5])}, r"FILE: labels\[1\]: expected a label \(text or .*, got '0.5'; .*"),
    ({**TWO, "labels": np.array(["a", ""])}, r"FILE: labels\[1\]: expected a label, got ''; .*"),
    ({**TWO, "labels": np.array([b"a", b"\xe9"])}, "FILE: expected labels as UTF-8 text, got other bytes; give text"),
    (
        {**TWO, "labels": np.array([1j, 2])},
        "FILE: expected labels as text or whole numbers, got complex128; convert it",
    ),
    ({**TWO, "labels": np.array([1, None])}, "FILE: expected arrays of numbers and text, got Python objects; .*"),
    ({**TWO, "targets": np.ones(2)}, r"FILE: expected targets \[3\], one per row of values, got \[2\]; correct it"),
    (
        {**TWO, "targets": np.array([1, np.nan, 2])},
        r"FILE: targets\[1\]: expected a finite number, got nan; correct it",
    ),
    ({**TWO, "channels": np.array(["a"])}, r"FILE: expected channels \[2\], one per column of values, got \[1\]; .*"),
    ({**TWO, "ids": np.array([["a"]])}, r"FILE: expected ids \[2\], one per series, got \[1, 1\]; correct it"),
]


@pytest.mark.parametrize(("arrays", "message"), ARRAYS)
def test_npz_files(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    file = io.BytesIO()
    np.savez(file, **arrays)
    refused(tmp_path / "a.npz", file.getvalue(), Layout(), message)


def test_damaged_npz_files(tmp_path: Path) -> None:
    file, single = io.BytesIO(), io.BytesIO()
    np.savez_compressed(file, **TWO)
    np.save(single, TWO["values"])
    whole = file.getvalue()
    damaged = "FILE: expected arrays.*, got .*; write it .*"
    for content in (b"", b"PK", whole[:-30], whole[:100], whole[:60] + b"xxxx" + whole[64:], b"not arrays at all"):
        refused(tmp_path / "a.npz", content, Layout(), damaged)
    one = r"FILE: expected named arrays \(.npz\), got one array; write it by numpy.savez"
    refused(tmp_path / "a.npz", single.getvalue(), Layout(), one)
    cut = r"FILE: expected whole gzip, got a damaged file \(.*\); fetch it again"
    refused(tmp_path / "a.npz", gzip.compress(whole)[:-20], Layout(), cut)
    with pytest.raises(ConfigError, match=r"channels has no effect on a.npz, only on rows of numbers; leave it out"):
        read_signals(tmp_path / "a.npz", Layout(channels=2))


@pytest.mark.parametrize(
    ("name", "content", "layout", "message"),
    [
        (
            "a.csv",
            b"id,t,x,kin\n1,1,2,3\n",
            LONG,
            r"FILE:1: expected a column 'kind' \(--label\), got 'id', 't', 'x', 'kin'; .*",
        ),
        (
            "a.tsv",
            b"1\t2\n",
            Layout(label_column="none"),
            "FILE: expected a label .*, got none; say by --label-column .*",
        ),
        (
            "a.ts",
            b"@classLabel false\n@data\n1,2\n",
            Layout(),
            "FILE: expected a label .*, got none; give a file with .*",
        ),
    ],
)
def test_labels_where_they_are_needed(tmp_path: Path, name: str, content: bytes, layout: Layout, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert read_signals(path, layout).labels is None
    with pytest.raises(RecurraError) as caught:
        read_signals(path, layout, labelled=True)
    assert re.fullmatch(message.replace("FILE", re.escape(str(path))), str(caught.value)), str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(RecurraError, match=r"a.tsv: expected a text file or a folder, got no such path"):
        read_signals(tmp_path / "a.tsv")
    with pytest.raises(RecurraError, match="expected a file of series, got a folder, pipe or device; give a file"):
        read_signals(tmp_path)
