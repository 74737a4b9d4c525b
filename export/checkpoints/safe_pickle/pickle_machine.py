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
        start = self.position
        operate = self._budget.operate
        try:
            while (opcode := self._take_byte()) != _STOP:
                start = self.position - 1
                operate()
                if literal := _LITERALS[opcode]:
                    value = literal(self)  # it may put another stack in place
                    self._stack.append(value)
                elif action := _ACTIONS[opcode]:
                    action(self)
                else:
                    self._refuse(opcode)
            start = self.position
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
            raise CheckpointError(
                f"the pickle ends early: byte {self.position} asks for {count} more bytes, "
                f"{self._size - self.position} are left; download it again"
            )
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def _take_byte(self) -> int:
        """As `_take`, without a view of it: most of what a pickle has are single bytes."""
        position = self.position
        if position >= self._size:
            self._take(1)
        self.position = position + 1
        return self._data[position]

    def _take_unsigned(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def _take_signed(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little", signed=True)

    def _take_sized(self, width: int) -> memoryview:
        return self._take(self._take_byte() if width == 1 else self._take_unsigned(width))

    def _take_view(self, width: int) -> memoryview:
        """Bytes, which stay where they are; what stands for them takes 200 bytes, however few."""
        self._budget.operate()
        return self._take_sized(width)

    def _make_set(self) -> set[Any]:
        self._budget.operate()  # an empty one takes 200 bytes, too
        return set()

    def _take_text(self, width: int) -> str:
        return str(self._take_sized(width), "utf-8", "surrogatepass")

    def _take_long(self, width: int) -> int:
        data = self._take_sized(width)
        if len(data) > MAX_LONG_BYTES:
            raise CheckpointError(f"the pickle has an integer of {len(data)} bytes")
        return int.from_bytes(data, "little", signed=True)

    def _take_line(self) -> str:
        window = bytes(self._data[self.position : self.position + MAX_LINE])
        line = self._take(window.index(b"\n") + 1)
        return str(line[:-1], "utf-8")

    def _check_protocol(self) -> None:
        protocol = self._take_byte()
        if not 2 <= protocol <= 5:
            raise CheckpointError(f"got pickle protocol {protocol}, expected 2 to 5")

    def _check_frame(self) -> None:
        if self._take_unsigned(8) > self._size - self.position:
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

# Operations that push what they read.
_PUSHING: dict[int, Callable[[PickleMachine], Any]] = {
    ord("N"): lambda m: None,
    0x88: lambda m: True,
    0x89: lambda m: False,
    ord("J"): lambda m: m._take_signed(4),
    ord("K"): PickleMachine._take_byte,
    ord("M"): lambda m: m._take_unsigned(2),
    0x8A: lambda m: m._take_long(1),
    0x8B: lambda m: m._take_long(4),
    ord("G"): lambda m: struct.unpack(">d", m._take(8))[0],
    ord("X"): lambda m: m._take_text(4),
    0x8C: lambda m: m._take_text(1),
    0x8D: lambda m: m._take_text(8),
    ord("T"): lambda m: str(m._take_sized(4), "latin1"),  # Python 2's strings
    ord("U"): lambda m: str(m._take_sized(1), "latin1"),
    ord("B"): lambda m: m._take_view(4),
    ord("C"): lambda m: m._take_view(1),
    0x8E: lambda m: m._take_view(8),
    0x96: lambda m: m._take_view(8),  # a bytearray: here it stays a view, too
    ord(")"): lambda m: (),
    0x85: lambda m: m._pop_tuple(1),
    0x86: lambda m: m._pop_tuple(2),
    0x87: lambda m: m._pop_tuple(3),
    ord("t"): lambda m: tuple(m._pop_mark()),
    ord("]"): lambda m: [],
    ord("l"): PickleMachine._pop_mark,
    ord("}"): lambda m: {},
    ord("d"): lambda m: pair_up(m._pop_mark()),
    0x8F: PickleMachine._make_set,
    0x91: lambda m: frozenset(pick_flat(m._pop_mark())),
    ord("h"): lambda m: m._memo[m._take_byte()],
    ord("j"): lambda m: m._memo[m._take_unsigned(4)],
    ord("c"): lambda m: m._resolve(m._take_line(), m._take_line()),
    0x93: PickleMachine._find_stack_global,
    ord("R"): PickleMachine._reduce,
    0x81: PickleMachine._make_object,
    _NEWOBJ_EX: PickleMachine._make_keyword_object,
    _BINPERSID: PickleMachine._load_persistent,
}

# Operations that change what is there.
_CHANGING: dict[int, Callable[[PickleMachine], object]] = {
    0x80: PickleMachine._check_protocol,
    0x95: PickleMachine._check_frame,
    ord("("): PickleMachine._mark,
    ord("0"): PickleMachine._discard,
    ord("1"): PickleMachine._pop_mark,
    ord("2"): lambda m: m._stack.append(m._stack[-1]),
    ord("q"): lambda m: m._put(m._take_byte()),
    ord("r"): lambda m: m._put(m._take_unsigned(4)),
    0x94: lambda m: m._put(len(m._memo)),
    ord("a"): lambda m: m._extend([m._stack.pop()]),
    ord("e"): lambda m: m._extend(m._pop_mark()),
    0x90: lambda m: m._add(m._pop_mark()),
    ord("s"): lambda m: m._set_items(list(m._pop_tuple(2))),
    ord("u"): lambda m: m._set_items(m._pop_mark()),
    ord("b"): PickleMachine._build,
    0x98: lambda m: None,  # marks a buffer as read-only, which all views here are
}
_OLD = frozenset(b"ILFSVpg")

# By the byte, which takes half as long as to look it up.
_LITERALS = [_PUSHING.get(opcode) for opcode in range(256)]
_ACTIONS = [_CHANGING.get(opcode) for opcode in range(256)]
