"""Ctrl-C: the first asks training to stop after the current update, the second stops it at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Within the block, SIGINT and SIGTERM set `requested`; a second one has its former effect.

    Signals reach the main thread only: elsewhere the block changes nothing.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        """Name of the signal that came."""
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._request) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._former = {}

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            self._restore()
            signal.raise_signal(number)
        self.requested = signal.Signals(number).name
