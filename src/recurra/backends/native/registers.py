"""Which memory each register of a program has, and in which manner the program runs."""

from __future__ import annotations

from collections.abc import Sequence

from recurra.backends.native.code import ROW_OPERATIONS, Kind, Program, Slot

CHUNK = 256
"""Numbers of a row that are worked on together, so that all rows a program touches stay in the first-level cache."""


def finish(program: Program, slots: Sequence[Slot]) -> None:
    """Settle how a program runs, and lay its registers out: rows that are no longer read give their place on.

    A program whose instructions are all of one width, and none of which needs a whole row, runs in chunks of columns;
    any other a row at a time.
    """
    widths = {each.width for each in program.instructions}
    sliced = any(
        span.register is not None and (span.column or span.width != program.registers[span.register])
        for each in program.instructions
        for span in (each.result, *each.arguments)
    )
    reduces = any(each.operation in ROW_OPERATIONS for each in program.instructions)
    program.chunked = len(widths) == 1 and not reduces and not sliced
    program.flat = all(
        span.register is not None or slots[span.slot].kind in (Kind.STEP, Kind.ONCE)
        for each in program.instructions
        for span in (each.result, *each.arguments)
    )
    _lay_out(program)


def _lay_out(program: Program) -> None:
    last: dict[int, int] = {}
    for k, each in enumerate(program.instructions):
        for span in (each.result, *each.arguments):
            if span.register is not None:
                last[span.register] = k
    free: dict[int, list[int]] = {}
    offsets = [-1] * len(program.registers)
    for k, each in enumerate(program.instructions):
        dying = [s.register for s in each.arguments if s.register is not None and last[s.register] == k]
        made = each.result.register
        elementwise = each.operation not in ROW_OPERATIONS
        if elementwise:
            _release(program, dying, offsets, free)
        if made is not None and offsets[made] < 0:
            offsets[made] = _take(program, made, free)
        if not elementwise:
            _release(program, dying, offsets, free)
        if made is not None and last[made] == k:
            _release(program, [made], offsets, free)
    program.registers = offsets


def _size(program: Program, register: int) -> int:
    return CHUNK if program.chunked else -(-program.registers[register] // 16) * 16


def _take(program: Program, register: int, free: dict[int, list[int]]) -> int:
    size = _size(program, register)
    if free.get(size):
        return free[size].pop()
    program.size += size
    return program.size - size


def _release(program: Program, registers: list[int], offsets: list[int], free: dict[int, list[int]]) -> None:
    for register in dict.fromkeys(registers):
        free.setdefault(_size(program, register), []).append(offsets[register])
