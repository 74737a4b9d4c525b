"""A pickle interpreter that runs nothing: it builds plain values, and never uses the pickle module.

A pickle is a program for a stack machine. Python's own machine imports whatever the program
names and calls it; this one knows only the names in the table that it is given, and what stands
there are functions of ours. Everything else is refused, or inert (see `foreign`). It reads
protocols 2 to 5.

What bounds it: a claimed size is checked against the bytes that are left before anything is
allocated; bytes stay views of the file; operations and copied bytes are counted by a `Budget`,
which nested streams share; and only flat values may be keys, so that hashing is cheap.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from stylert.export.checkpoints.safe_pickle.budget import Budget
from stylert.export.checkpoints.safe_pickle.foreign import (
    ForeignNames,
    ForeignObject,
    find_foreign,
)
from stylert.export.checkpoints.safe_pickle.keys import pair_up, pick_flat
from stylert.export.checkpoints.safe_pickle.pickle_names import Buildable, Global, RefusedName
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.runtime.errors import CheckpointError

__all__ = ["PickleMachine"]

MAX_OPEN_MARKS = 256  # a snapshot takes about 30
MAX_LONG_BYTES = 32  # the longest integer that a checkpoint has takes 10
MAX_LINE = 512  # bytes of a line of text: the names of the GLOBAL operation

# What damaged bytes make ordinary Python code raise.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


class PickleMachine:
    """Reads one pickle of `data`, from the byte `position` on.

    Args:
        data: The file, or the part of it which holds the pickle.
        names: Module and name of every global which the pickle may use.
        budget: What the reading may cost.
        position: First byte of the pickle.
        persistent: Makes a value of a persistent id. None = refuse these.
        foreign: Takes the names that are not in the table. None = refuse these.
    """

    def __init__(
        self,
        data: memoryview,
        names: Mapping[tuple[str, str], Global],
        *,
        budget: Budget,
        position: int = 0,
        persistent: Callable[[Any], Any] | None = None,
        foreign: ForeignNames | None = None,
    ) -> None:
        self.position = position
        self._data = data
        self._size = len(data)
        self._names = names
        self._budget = budget
        self._persistent = persistent
        self._foreign = foreign
        self._stack: list[Any] = []
        self._outer_stacks: list[list[Any]] = []  # one a mark
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value of the pickle; `position` is then the byte behind it.

        Raises:
            CheckpointError: it is damaged, ends early, or asks for something that is refused.
        """
        data, size, budget, start = self._data, self._size, self._budget, self.position
        try:
            # A file takes a hundred thousand rounds, so single bytes are read here, without a call.
            while (opcode := data[start] if start < size else self._end_early(1)) != _STOP:
                budget.operations -= 1
                if budget.operations < 0:
                    budget.operate(0)
                width, pushes, operate = _OPERATIONS[opcode]
                self.position = start + 1
                if width == 0:
                    number = 0
                elif width == 1 and self.position < size:
                    number = data[self.position]
                    self.position += 1
                else:
                    number = int.from_bytes(self._take(width), "little")
                value = operate(self, number)  # it may put another stack in place
                if pushes:
                    self._stack.append(value)
                start = self.position
            self.position = start + 1
            (value,) = self._stack
            if self._outer_stacks:
                raise ValueError("open marks")
        except CheckpointError:
            raise
        except _DAMAGE:
            raise CheckpointError(
                f"the pickle is damaged at byte {start}; download it again"
            ) from None
        return value

    def _refuse(self, opcode: int) -> NoReturn:
        from pickletools import opcodes  # slow to load

        names = {ord(known.code): known.name for known in opcodes}
        name = names[opcode]  # a LookupError of what is no operation at all
        why = "no checkpoint needs it"
        if opcode in _OLD:
            why = "pickle protocols 0 and 1 have it, expected 2 to 5; save the file with another"
        raise CheckpointError(
            f"refuses the pickle operation {name} at byte {self.position - 1}: {why}"
        )

    # Reading.

    def _take(self, count: int) -> memoryview:
        end = self.position + count
        if end > self._size:
            self._end_early(count)
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def _end_early(self, count: int) -> NoReturn:
        raise CheckpointError(
            f"the pickle ends early: byte {self.position} asks for {count} more bytes, "
            f"{self._size - self.position} are left; download it again"
        )

    def _take_view(self, size: int) -> memoryview:
        """Bytes, which stay where they are; what stands for them takes 200 bytes, however few."""
        self._budget.operate()
        return self._take(size)

    def _make_set(self) -> set[Any]:
        self._budget.operate()  # an empty one takes 200 bytes, too
        return set()

    def _take_text(self, size: int) -> str:
        return str(self._take(size), "utf-8", "surrogatepass")

    def _take_long(self, size: int) -> int:
        data = self._take(size)
        if size > MAX_LONG_BYTES:
            raise CheckpointError(f"the pickle has an integer of {size} bytes")
        return int.from_bytes(data, "little", signed=True)

    def _take_line(self) -> str:
        window = bytes(self._data[self.position : self.position + MAX_LINE])
        line = self._take(window.index(b"\n") + 1)
        return str(line[:-1], "utf-8")

    def _check_protocol(self, protocol: int) -> None:
        if not 2 <= protocol <= 5:
            raise CheckpointError(f"got pickle protocol {protocol}, expected 2 to 5")

    def _check_frame(self, size: int) -> None:
        if size > self._size - self.position:
            raise CheckpointError(
                f"the pickle ends early: its frame at byte {self.position} is longer than the rest "
                "of the file; download it again"
            )

    # The stack. A mark puts the stack aside and starts a new one.

    def _mark(self) -> None:
        if len(self._outer_stacks) >= MAX_OPEN_MARKS:
            raise CheckpointError("the pickle is nested too deeply")
        self._outer_stacks.append(self._stack)
        self._stack = []

    def _pop_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._outer_stacks.pop()
        return items

    def _discard(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._pop_mark()

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    # Containers. `type(x) is` and not isinstance: these are values that this machine made.
    # What is put into a foreign one is dropped.

    def _pop_tuple(self, size: int) -> tuple[Any, ...]:
        items = tuple(self._stack[-size:])
        if len(items) < size:
            raise IndexError("a tuple of more than there is")
        del self._stack[-size:]
        return items

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is not ForeignObject:
            raise TypeError("append to what is no list")

    def _add(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is set:
            target.update(pick_flat(items))
        elif type(target) is not ForeignObject:
            raise TypeError("add to what is no set")

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is dict:
            target.update(pair_up(items))
        elif type(target) is not ForeignObject:
            raise TypeError("items for what is no dict")

    # Names and objects.

    def _resolve(self, module: Any, name: Any) -> Global | ForeignObject:
        if type(module) is not str or type(name) is not str:
            raise TypeError("a global without a name")
        known = self._names.get((module, name))
        if known is not None:
            return known
        if self._foreign is None:
            raise RefusedName(f"{module}.{name}")
        return self._foreign.resolve(f"{module}.{name}")

    def _find_stack_global(self) -> Global | ForeignObject:
        name = self._stack.pop()
        return self._resolve(self._stack.pop(), name)

    def _reduce(self) -> Any:
        arguments = self._stack.pop()
        function = self._stack.pop()
        if type(arguments) is not tuple or type(function) not in (Global, ForeignObject):
            raise TypeError("a call of what is no function")
        self._budget.operate(len(arguments))
        if foreign := find_foreign((function, *arguments)):
            return foreign
        if function.call is None:
            raise CheckpointError(f"refuses to call {quote(function.name)}")
        return function.call(*arguments)

    def _make_object(self) -> Any:
        arguments = self._stack.pop()
        kind = self._stack.pop()
        if type(kind) is ForeignObject:
            return kind.make()
        if type(kind) is not Global:
            raise TypeError("an object of what is no class")
        if kind.new is None or type(arguments) is not tuple or arguments:
            raise CheckpointError(f"refuses to make a {quote(kind.name)} object this way")
        return kind.new()

    def _make_keyword_object(self) -> Any:
        """Only classes that we do not know are made with arguments by name."""
        _keywords, _arguments, kind = self._stack.pop(), self._stack.pop(), self._stack.pop()
        if type(kind) is not ForeignObject:
            self._refuse(_NEWOBJ_EX)
        return kind.make()

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Buildable):
            target.build(state)
        # A dict class may have attributes: nothing we need.
        elif type(target) not in (dict, ForeignObject):
            raise CheckpointError("refuses to change the state of a plain value")

    def _load_persistent(self) -> Any:
        if self._persistent is None:
            self._refuse(_BINPERSID)
        persistent_id = self._stack.pop()
        self._budget.operate(len(persistent_id) if type(persistent_id) is tuple else 1)
        return find_foreign(persistent_id) or self._persistent(persistent_id)


_STOP = ord(".")
_BINPERSID = ord("Q")
_NEWOBJ_EX = 0x92

# By their bytes: how many bytes of an unsigned number are behind each, and what they do with it.
# These push what they make,
_Operate = Callable[[PickleMachine, int], Any]
_PUSHING: dict[int, tuple[int, _Operate]] = {
    ord("N"): (0, lambda m, _: None),
    0x88: (0, lambda m, _: True),
    0x89: (0, lambda m, _: False),
    ord("J"): (4, lambda m, n: n - ((n & 2**31) << 1)),  # signed
    ord("K"): (1, lambda m, n: n),
    ord("M"): (2, lambda m, n: n),
    0x8A: (1, PickleMachine._take_long),
    0x8B: (4, PickleMachine._take_long),
    ord("G"): (0, lambda m, _: struct.unpack(">d", m._take(8))[0]),
    ord("X"): (4, PickleMachine._take_text),
    0x8C: (1, PickleMachine._take_text),
    0x8D: (8, PickleMachine._take_text),
    ord("T"): (4, lambda m, n: str(m._take(n), "latin1")),  # Python 2's strings
    ord("U"): (1, lambda m, n: str(m._take(n), "latin1")),
    ord("B"): (4, PickleMachine._take_view),
    ord("C"): (1, PickleMachine._take_view),
    0x8E: (8, PickleMachine._take_view),
    0x96: (8, PickleMachine._take_view),  # a bytearray: here it stays a view, too
    ord(")"): (0, lambda m, _: ()),
    0x85: (0, lambda m, _: m._pop_tuple(1)),
    0x86: (0, lambda m, _: m._pop_tuple(2)),
    0x87: (0, lambda m, _: m._pop_tuple(3)),
    ord("t"): (0, lambda m, _: tuple(m._pop_mark())),
    ord("]"): (0, lambda m, _: []),
    ord("l"): (0, lambda m, _: m._pop_mark()),
    ord("}"): (0, lambda m, _: {}),
    ord("d"): (0, lambda m, _: pair_up(m._pop_mark())),
    0x8F: (0, lambda m, _: m._make_set()),
    0x91: (0, lambda m, _: frozenset(pick_flat(m._pop_mark()))),
    ord("h"): (1, lambda m, n: m._memo[n]),
    ord("j"): (4, lambda m, n: m._memo[n]),
    ord("c"): (0, lambda m, _: m._resolve(m._take_line(), m._take_line())),
    0x93: (0, lambda m, _: m._find_stack_global()),
    ord("R"): (0, lambda m, _: m._reduce()),
    0x81: (0, lambda m, _: m._make_object()),
    _NEWOBJ_EX: (0, lambda m, _: m._make_keyword_object()),
    _BINPERSID: (0, lambda m, _: m._load_persistent()),
}

# and these change what is there.
_CHANGING: dict[int, tuple[int, _Operate]] = {
    0x80: (1, PickleMachine._check_protocol),
    0x95: (8, PickleMachine._check_frame),
    ord("("): (0, lambda m, _: m._mark()),
    ord("0"): (0, lambda m, _: m._discard()),
    ord("1"): (0, lambda m, _: m._pop_mark()),
    ord("2"): (0, lambda m, _: m._stack.append(m._stack[-1])),
    ord("q"): (1, PickleMachine._put),
    ord("r"): (4, PickleMachine._put),
    0x94: (0, lambda m, _: m._put(len(m._memo))),
    ord("a"): (0, lambda m, _: m._extend([m._stack.pop()])),
    ord("e"): (0, lambda m, _: m._extend(m._pop_mark())),
    0x90: (0, lambda m, _: m._add(m._pop_mark())),
    ord("s"): (0, lambda m, _: m._set_items(list(m._pop_tuple(2)))),
    ord("u"): (0, lambda m, _: m._set_items(m._pop_mark())),
    ord("b"): (0, lambda m, _: m._build()),
    0x98: (0, lambda m, _: None),  # marks a buffer as read-only, which all views here are
}
_OLD = frozenset(b"ILFSVpg")


def _find_operation(opcode: int) -> tuple[int, bool, _Operate]:
    """The number's bytes, whether a value is pushed, and what makes it."""
    if opcode in _PUSHING:
        width, operate = _PUSHING[opcode]
        return width, True, operate
    width, operate = _CHANGING.get(opcode, (0, lambda m, _: m._refuse(opcode)))
    return width, False, operate


# By the byte, which takes half as long as to look it up.
_OPERATIONS = [_find_operation(opcode) for opcode in range(256)]
