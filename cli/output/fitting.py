"""Which columns of a table a terminal has room for, and how wide each is; pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

FREE_WIDTH_MIN = 20  # to which free text is folded at most
_ID_WIDTH_MIN = 12  # to which ids are folded at most, where nothing else makes room
_GAP = 2  # between two columns


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what stands in it, whether it may always fold (`free`), or where nothing else helps (`text`), and its alignment."""

    heading: str
    cells: Sequence[str]
    free: bool
    text: bool
    numeric: bool

    @property
    def whole(self) -> int:
        """As wide as its widest cell or its heading."""
        return max(cell_len(self.heading), self.needed)

    @property
    def needed(self) -> int:
        """As wide as its widest cell, or the longest word of its heading."""
        return max(map(cell_len, [*self.heading.split(), *self.cells]), default=1)

    @property
    def folded(self) -> int:
        """As wide as it must be: free text folds."""
        return self._folded(FREE_WIDTH_MIN) if self.free else self.needed

    @property
    def narrowest(self) -> int:
        """As wide as it must be where there is no room at all: ids fold, too; amounts and times never."""
        return self._folded(_ID_WIDTH_MIN) if self.free or self.text else self.needed

    def _folded(self, width: int) -> int:
        return self.needed if self.needed <= width else max(width, *map(cell_len, self.heading.split()), 1)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The columns that are shown, by number, with their widths; and the headings of those that are not."""

    columns: Sequence[int]
    widths: Sequence[int]
    left_out: Sequence[str]


def fit(columns: Sequence[Column], width: int, less: Collection[str] = (), *, every: bool = False) -> Fitted:
    """Makes the columns fit into `width` characters.

    Headings and free text fold first; then the columns in `less` are left out, in this order; then ids fold; then columns are left out
    from the right, never the first one. With `every` nothing folds and none is left out:
    what has no room stands beyond the edge.
    """
    numbers = list(range(len(columns)))
    if every:
        return Fitted(numbers, [column.whole for column in columns], [])
    left_out: list[str] = []
    for name in less:
        if _total([columns[n].folded for n in numbers]) <= width or len(numbers) == 1:
            break
        for n in [n for n in numbers[1:] if columns[n].heading == name]:
            numbers.remove(n)
            left_out.append(name)
    narrow = _total([columns[n].folded for n in numbers]) > width
    while narrow and len(numbers) > 1 and _total([columns[n].narrowest for n in numbers]) > width:
        left_out.append(columns[numbers.pop()].heading)
    least = [columns[n].narrowest if narrow else columns[n].folded for n in numbers]
    return Fitted(numbers, _spread(least, [columns[n].whole for n in numbers], [columns[n].needed for n in numbers], width), left_out)


def _spread(least: Sequence[int], whole: Sequence[int], needed: Sequence[int], width: int) -> list[int]:
    """The widths from `least` on, as near to `needed`, then to `whole`, as there is room: the narrowest first."""
    widths = list(least)
    for goal in (needed, whole):
        room = width - _total(widths)
        for n in sorted(range(len(widths)), key=lambda n: goal[n] - widths[n]):
            more = max(0, min(goal[n] - widths[n], room))
            widths[n] += more
            room -= more
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)
