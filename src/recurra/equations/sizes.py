"""The sizes of rows as unknowns, joined by unification."""

from __future__ import annotations


class SizeError(ValueError):
    """Sizes that agree one by one, but not with what splits say about them."""


class Size:
    """The size of a row: known, or to be found. Joined sizes share one root; a whole has `count` equal parts."""

    def __init__(self, value: int | None = None) -> None:
        self._value = value
        self._parent: Size | None = None
        self._parts: list[tuple[int, Size]] = []
        self._wholes: list[tuple[int, Size]] = []

    def root(self) -> Size:
        size = self
        while size._parent is not None:
            size = size._parent
        return size

    @property
    def value(self) -> int | None:
        return self.root()._value

    def join(self, other: Size) -> bool:
        """Make both one size; False where they are known to differ.

        Raises:
            SizeError: where a split stands in the way.
        """
        a, b = self.root(), other.root()
        if a is b:
            return True
        if a._value is not None and b._value is not None and a._value != b._value:
            return False
        both_known = a._value is not None and b._value is not None
        known = a._value if a._value is not None else b._value
        b._parent = a
        a._parts += b._parts
        a._wholes += b._wholes
        if known is not None and not both_known:
            a._settle(known)
        return True

    def part(self, count: int) -> Size:
        """The size of one of `count` equal parts; a SizeError where there can be none."""
        whole, part = self.root(), Size()
        whole._parts.append((count, part))
        part._wholes.append((count, whole))
        if whole._value is not None:
            whole._settle(whole._value)
        return part

    def _settle(self, value: int) -> None:
        self._value = value
        for count, part in self._parts:
            if value % count or not part.join(Size(value // count)):
                raise _no_split(value, count, part)
        for count, whole in self._wholes:
            if not whole.join(Size(value * count)):
                raise _no_split(whole.value, count, self)


def _no_split(whole: int | None, count: int, part: Size) -> SizeError:
    of = f" of {part.value}" if part.value is not None else ""
    return SizeError(f"a row of {whole} does not split into {count} equal parts{of}")
