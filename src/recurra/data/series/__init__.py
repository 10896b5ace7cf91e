"""Series in time: reading, splitting, scaling, and windows of them. Knows numpy only."""

from recurra.config.series import AUTO, FEATURES, SeriesOptions
from recurra.data.series.calendar import calendar, choose_features
from recurra.data.series.clock import Clock, Frequency
from recurra.data.series.read import ID, TIME, read_future, read_series
from recurra.data.series.record import SeriesSet
from recurra.data.series.scaling import KINDS, Scales, fit_scales
from recurra.data.series.splits import Splits, split_by_dates, split_by_files, split_by_fractions, split_by_rows
from recurra.data.series.windows import WindowBatch, WindowBatches, WindowReader, Windows

__all__ = [
    "AUTO",
    "FEATURES",
    "ID",
    "KINDS",
    "TIME",
    "Clock",
    "Frequency",
    "Scales",
    "SeriesOptions",
    "SeriesSet",
    "Splits",
    "WindowBatch",
    "WindowBatches",
    "WindowReader",
    "Windows",
    "calendar",
    "choose_features",
    "fit_scales",
    "read_future",
    "read_series",
    "split_by_dates",
    "split_by_files",
    "split_by_fractions",
    "split_by_rows",
]
