"""The buffers and slots of a code while it is made, and the memory that is found free again."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from recurra.backends.native.code import Buffer, Kind, Rows, Slot, Span
from recurra.equations.graph import Rate

ROWS_OF = {Rate.ONCE: Rows.ONCE, Rate.SEQUENCE: Rows.SEQUENCE, Rate.STEP: Rows.STEP, Rate.LOOP: Rows.STEP}


class Memory:
    """Buffers by name, slots, constants; each made once."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self.slots: list[Slot] = []
        self.constants: list[float] = []
        self._named: dict[Hashable, int] = {}
        self._slot_of: dict[int, int] = {}
        self._local = 0
        self.constant_slot = self.slot_of(self.buffer(Rows.ONCE, 0, ("constants",)))

    def buffer(self, rows: Rows, width: int, name: Hashable | None = None) -> int:
        """The buffer `name`, made when first asked for; a new one, that each run makes for itself, without a name."""
        if name is not None and name in self._named:
            return self._named[name]
        self.buffers.append(Buffer(rows, width, name))
        if name is not None:
            self._named[name] = len(self.buffers) - 1
        return len(self.buffers) - 1

    def slot_of(self, buffer: int) -> int:
        """The slot of a buffer's rows."""
        if buffer not in self._slot_of:
            held = self.buffers[buffer]
            self._slot_of[buffer] = self.slot(Slot(Kind(held.rows), held.width, buffer))
        return self._slot_of[buffer]

    def slot(self, slot: Slot) -> int:
        self.slots.append(slot)
        return len(self.slots) - 1

    def local(self, width: int) -> int:
        """A slot for rows of one step, each thread's own."""
        return self.slot(Slot(Kind.LOCAL, width, offset=self.reserve(width)))

    def reserve(self, width: int) -> int:
        """Numbers per row of each thread's own memory; gives where they begin."""
        width = -(-width // 16) * 16  # rows begin at a multiple of 64 bytes
        self._local += width
        return self._local - width

    def span(self, rows: Rows, width: int, name: Hashable | None = None) -> Span:
        """All columns of a buffer."""
        return Span(self.slot_of(self.buffer(rows, width, name)), 0, width)

    def constant(self, value: float, width: int) -> Span:
        if value not in self.constants:
            self.constants.append(value)
        return Span(self.constant_slot, self.constants.index(value), width, True)

    def save(self, span: Span) -> None:
        """Give the buffer behind a kept value a name, so that it outlives the run."""
        slot = self.slots[span.slot]
        if slot.kind is Kind.ENTER:
            self.save(Span(slot.of, slot.column, span.width))
        elif self.buffers[slot.buffer].name is None:
            name = ("saved", slot.buffer)
            self.buffers[slot.buffer] = replace(self.buffers[slot.buffer], name=name)
            self._named[name] = slot.buffer


def joined(spans: list[Span]) -> tuple[Span, ...]:
    """Spans with those that lie side by side made one."""
    found: list[Span] = []
    for span in spans:
        last = found[-1] if found else None
        if last and last.slot == span.slot and not span.number and last.column + last.width == span.column:
            found[-1] = Span(last.slot, last.column, last.width + span.width)
        else:
            found.append(span)
    return tuple(found)


def cut(spans: tuple[Span, ...], first: int, width: int) -> tuple[Span, ...]:
    """Columns [first, first + width) of a row of spans."""
    found, position = [], 0
    for span in spans:
        begin, end = max(first, position), min(first + width, position + span.width)
        if begin < end:
            found.append(span.part(begin - position, end - begin))
        position += span.width
    return tuple(found)
