"""Signals written in every format and read again: what was written is the truth."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_data import real_data

from recurra.data.signals import Layout, Signals, read_signals

Written = tuple[str, bytes, Layout]
NUMBERS = st.one_of(st.just(math.nan), st.floats(-1e30, 1e30), st.integers(-5, 5).map(float))


@st.composite
def some_signals(draw: st.DrawFn) -> Signals:
    """Series of 1 to 3 channels, each with at least one value; the last step of each is measured."""
    width = draw(st.integers(1, 3))
    step = st.lists(NUMBERS, min_size=width, max_size=width)
    measured = st.lists(st.floats(-9, 9), min_size=width, max_size=width)
    series = draw(st.lists(st.tuples(st.lists(step, max_size=4), measured).map(lambda p: [*p[0], p[1]]), min_size=1,
                           max_size=4))  # fmt: skip
    labels = draw(st.lists(st.sampled_from(["1", "-2", "walk", "é b"]), min_size=len(series), max_size=len(series)))
    ids = [f"s{n}" for n in range(len(series))]
    values = np.array([step for one in series for step in one])
    lengths = np.array([len(one) for one in series])
    return Signals(Path("made"), values, lengths, ids, [f"c{n}" for n in range(width)], ids, labels)


def as_text(number: float) -> str:
    return "?" if math.isnan(number) else repr(float(number))


def to_ts(signals: Signals) -> Written:
    classes = sorted({(label or "").replace(" ", "_") for label in signals.labels or []})
    lines = ["# made", "@problemName made", "@TimeStamps false", f"@classLabel true {' '.join(classes)}", "@data"]
    for number, label in enumerate(signals.labels or []):
        channels = [",".join(map(as_text, channel)) for channel in signals.series(number).T]
        lines.append(":".join([*channels, label.replace(" ", "_")]))
    return "a.ts", "\n".join(lines).encode(), Layout()


def to_npz(signals: Signals) -> Written:
    file = io.BytesIO()
    named = {"ids": np.array(signals.ids), "channels": np.array(signals.channels)}
    np.savez(file, values=signals.values, lengths=signals.lengths, labels=np.array(signals.labels), **named)
    return "a.npz", file.getvalue(), Layout()


def to_long(signals: Signals) -> Written:
    file = io.StringIO(newline="")
    rows = csv.writer(file, lineterminator="\r\n")
    rows.writerow(["id", "day", *signals.channels, "kind"])
    longest = int(signals.lengths.max())
    for step in reversed(range(longest)):  # neither ordered by time nor grouped by series
        for number, label in enumerate(signals.labels or []):
            if step < signals.lengths[number]:
                values = map(as_text, signals.series(number)[step])
                rows.writerow([signals.ids[number], f"2024-01-{step + 1:02}", *values, label])
    return "a.csv", file.getvalue().encode(), Layout(series_id="id", time="day", label="kind")


def to_table(separator: str, last: bool) -> Callable[[Signals], Written]:
    def write(signals: Signals) -> Written:
        longest, width = int(signals.lengths.max()), signals.values.shape[1]
        lines = []
        for number, label in enumerate(signals.labels or []):
            values = [as_text(value) for value in signals.series(number).ravel()]
            values += ["NaN"] * (longest * width - len(values))
            label = label.replace(" ", "_")
            lines.append(separator.join([*values, label] if last else [label, *values]))
        return "a.tsv", "\n".join(lines).encode(), Layout(label_column="last" if last else "first", channels=width)

    return write


WRITERS = [
    to_ts,
    to_npz,
    to_long,
    *(to_table(mark, last) for mark in ("\t", ",", "; ", "  ") for last in (True, False)),
]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@settings(max_examples=25)
@given(signals=some_signals())
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    write: Callable[[Signals], Written],
    pack: Callable[[bytes], bytes],
    signals: Signals,
) -> None:
    name, content, layout = write(signals)
    path = tmp_path_factory.getbasetemp() / (name + (".gz" if pack is not bytes else ""))
    path.write_bytes(pack(content))
    read = read_signals(path, layout)
    order = [read.ids.index(name) for name in signals.ids] if write is to_long else np.arange(len(signals))
    read = read.take(order)
    np.testing.assert_array_equal(read.values, signals.values)
    np.testing.assert_array_equal(read.lengths, signals.lengths)
    spaced = [label if write in (to_npz, to_long) else label.replace(" ", "_") for label in signals.labels or []]
    assert read.labels == spaced
    if write in (to_npz, to_long):
        assert (read.ids, read.channels) == (signals.ids, signals.channels)


def test_labels_that_are_one_number_are_one_class(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1.0000000e+00 5 6\n1 5 6\n  -1.0\t5\t6\t\n")
    assert read_signals(tmp_path / "a.txt").labels == ["1", "1", "-1"]


@pytest.mark.parametrize(
    ("layout", "values", "labels"),
    [
        (Layout(label_column="none"), [[1], [7], [2], [3]], None),
        (Layout(label_column=2), [[1], [2], [3]], ["7"]),
        (Layout(label_column=4, channels=3), [[1, 7, 2]], ["3"]),
        (Layout(label_column="none", channels=2), [[1, 7], [2, 3]], None),
    ],
)
def test_where_the_label_stands(tmp_path: Path, layout: Layout, values: list[list[int]], labels: list[str]) -> None:
    (tmp_path / "pen.tra").write_text("1,7,2,3\n")
    signals = read_signals(tmp_path / "pen.tra", layout)
    assert (signals.values.tolist(), signals.labels) == (values, labels)


def test_targets_are_classes_or_numbers(tmp_path: Path) -> None:
    arrays = {"values": np.ones((3, 1), np.float32), "lengths": np.array([2, 1], np.uint8)}
    for targets, expected in (
        (np.array([1, 2, 1]), ["1", "2", "1"]),
        (np.array([True, False, True]), ["True", "False", "True"]),
        (np.array(["a", "b", "a"]), ["a", "b", "a"]),
        (np.array([b"a", b"b", b"a"]), ["a", "b", "a"]),
        (np.array([0.5, 2, 1], np.float16), [0.5, 2.0, 1.0]),
    ):
        np.savez(tmp_path / "a.npz", targets=targets, **arrays)
        read = read_signals(tmp_path / "a.npz")
        assert read.targets is not None
        assert read.targets.tolist() == expected
        assert (read.labels, read.values.dtype) == (None, np.float32)


def test_a_long_table_without_labels_and_with_chosen_values(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id;a;b\nx;1;2\ny;3;4\n")
    signals = read_signals(tmp_path / "a.csv", Layout(series_id="id", values=["b", "a"], label="kind"))
    assert (signals.values.tolist(), signals.labels, signals.ids) == ([[2, 1], [4, 3]], None, ["x", "y"])


@pytest.mark.parametrize(
    ("file", "layout", "cases", "lengths", "channels", "classes"),
    [
        ("ecg200/ECG200_TRAIN.tsv", Layout(), 100, (96, 96), 1, {"-1": 31, "1": 69}),
        ("ecg200/ECG200_TEST.tsv", Layout(), 100, (96, 96), 1, {"-1": 36, "1": 64}),
        ("japanese_vowels/JapaneseVowels_TRAIN.ts.gz", Layout(), 270, (7, 26), 12, dict.fromkeys("123456789", 30)),
        ("pendigits/pendigits.tes", Layout(label_column="last", channels=2), 3498, (8, 8), 2, None),
    ],
)
def test_real_files_have_the_counts_that_their_archives_state(
    file: str, layout: Layout, cases: int, lengths: tuple[int, int], channels: int, classes: dict[str, int] | None
) -> None:
    signals = read_signals(real_data(file.partition("/")[0]) / file.partition("/")[2], layout)
    assert (len(signals), signals.values.shape[1]) == (cases, channels)
    assert (signals.lengths.min(), signals.lengths.max()) == lengths
    assert signals.labels is not None
    if classes is not None:
        assert {label: list(signals.labels).count(label) for label in sorted(set(signals.labels))} == classes
