"""Reads pickles as data. Nothing in a pickle is imported, called or executed.

Python's own unpickler, restricted or not, is a machine with many doors: it sets attributes on whatever it is told to,
hashes tuples of any depth on the C stack, and allocates what a 5-byte instruction asks for. This is a reader for the
instructions that serialised models really use (protocols 2 to 5). A name in the file (`collections.OrderedDict`) is
looked up in a table of constructors that the caller gives, which build plain dicts and inert records; every other name
is refused. Memory and time stay within a constant factor of the file's size: a `Budget`, one for the whole file, counts
the instructions, and what constructors are given, which a file could otherwise make them copy again and again.

An unknown name is remembered, and what is made of it is a `Foreign` record without content, so that a caller can still
say which relative of StyleGAN2 the file is. `refuse_unknown_names` then ends the reading: such a file is never used.

Conventions: sets come back as lists and frozensets as tuples (nothing of the file's is ever hashed but the keys of
dicts, which must be scalars); byte strings above `SHORT` come back as views of the file, not copies.

Source: the instruction set is described in Python's `pickletools`.
"""

import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from stylegan_ops.budget import Budget, Damaged
from stylegan_ops.errors import CheckpointError

SHORT = 4096
"""Byte strings up to this length are copied; longer ones are views of the file."""

LONG = 32
"""Most bytes of an integer; arithmetic with longer ones takes time that grows with their square."""

LONGEST_NAME = 512
"""Most characters of the name of a module or class."""

LONGEST_KEY = 4096
"""Most characters of a key of a dict. Two equal keys are compared letter by letter, each time that one of them is
used."""

MOST_UNKNOWN = 1000
"""Most unknown names that are remembered for a message."""

WIDE_TEXT = 1 << 20
"""Bytes; longer text must be of Latin-1 letters. Python gives each letter as many bytes as the text's widest needs: one
rare sign would make four bytes of each."""

Constructor = Callable[..., object]
Names = Mapping[str, Constructor]


class Record:
    """An object of a class that the file names, held as data: what it was made from, and its state."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name: str, args: tuple[object, ...] = (), state: object = None) -> None:
        self.name = name
        self.args = args
        self.state = state

    def build(self, state: object) -> None:
        """Take the state that the file gives to the object."""
        self.state = state


class Global:
    """A name that the file mentions and the caller knows."""

    __slots__ = ("construct", "name")

    def __init__(self, name: str, construct: Constructor) -> None:
        self.name = name
        self.construct = construct


class Foreign(Record):
    """An object of a class that no StyleGAN2 file mentions: its name alone, whatever the file does with it."""

    __slots__ = ()

    def build(self, state: object) -> None:
        """Keep nothing of the state."""


class PickleReader:
    """Reads one pickle that begins at `position`; afterwards `position` is the byte behind it."""

    def __init__(
        self,
        data: memoryview,
        *,
        names: Names,
        budget: Budget,
        persistent: Callable[[object], object] | None = None,
        position: int = 0,
    ) -> None:
        """Make ready to read.

        Args:
            data: the file.
            names: constructors by `module.name`; each is called with the arguments in the file.
            budget: the whole file's.
            persistent: gives the object for a persistent id (torch's storages); None refuses them.
            position: where the pickle begins.
        """
        self.position = position
        self._data = data
        self._names = names
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._budget = budget
        self.unknown: dict[str, None] = {}
        """Names that are not in the table, in the order of their first use."""

    def read(self) -> object:
        """The object in the pickle.

        Raises:
            CheckpointError: it asks for more work than an honest file.
            Damaged: the bytes are not a whole pickle, or hold an instruction that serialised models do not use.
        """
        start = self.position
        run = self._budget.run
        try:
            while (code := self._take(1)[0]) != _STOP:
                run(1)
                instruction = _INSTRUCTIONS.get(code)
                if instruction is None:
                    raise Damaged(f"byte {self.position - 1} is {code:#04x}, no instruction that model files use")
                instruction(self)
            return self._stack.pop()
        except CheckpointError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
            raise Damaged(f"the pickle that begins at byte {start} is damaged near byte {self.position}") from error

    # Reading bytes.

    def _take(self, count: int) -> memoryview:
        end = self.position + count
        if end > len(self._data):
            raise Damaged(f"the file ends at byte {len(self._data)}, in the middle of a pickle")
        piece = self._data[self.position : end]
        self.position = end
        return piece

    def _unsigned(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _line(self) -> str:
        start = bytes(self._data[self.position : self.position + LONGEST_NAME])
        line, end, _ = start.partition(b"\n")
        if not end:
            raise Damaged(f"a name near byte {self.position} is too long")
        self.position += len(line) + 1
        return line.decode()

    # Values.

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _bytes(self, size: int) -> None:
        piece = self._take(size)
        self._push(piece if len(piece) > SHORT else bytes(piece))

    def _text(self, size: int, encoding: str = "utf-8") -> None:
        piece = self._take(size)
        if size > WIDE_TEXT and encoding == "utf-8" and np.frombuffer(piece, np.uint8).max() > _LATIN_1:
            raise Damaged(f"a text of {size} bytes near byte {self.position} is not of Latin-1 letters")
        text = str(piece, encoding, "surrogatepass" if encoding == "utf-8" else "strict")
        self._budget.copy(max(sys.getsizeof(text) - size - _TEXT_HEAD, 0))
        self._push(text)

    def _long(self, size: int) -> None:
        if size > LONG:
            raise Damaged(f"a whole number near byte {self.position} has {size} bytes")
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _struct(self, layout: str, size: int) -> None:
        self._push(struct.unpack(layout, self._take(size))[0])

    # Containers.

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise Damaged(f"a tuple near byte {self.position} lacks items")
        items = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        self._push(tuple(items))

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Foreign):
            return
        if type(target) is not list:
            raise Damaged(f"items near byte {self.position} belong to no list")
        target.extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Foreign):
            return
        if type(target) is not dict or len(items) % 2:
            raise Damaged(f"items near byte {self.position} belong to no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, Foreign):  # a class of another library as a key: of no use here
                continue
            if not is_key(key):
                raise Damaged(f"a key near byte {self.position}, a {type(key).__name__}, is none of ours")
            target[key] = value

    def _pop_pair(self) -> list[Any]:
        value, key = self._stack.pop(), self._stack.pop()
        return [key, value]

    def _replace_marked(self, make: Callable[[list[Any]], object]) -> None:
        self._push(make(self._since_mark()))

    def _dict(self) -> None:
        items = self._since_mark()
        self._push({})
        self._set_items(items)

    # The memo.

    def _get(self, index: int) -> None:
        self._push(self._memo[index])

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    # Names and what is made with them.

    def _global(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Damaged(f"a name near byte {self.position} is no text")
        if len(module) > LONGEST_NAME or len(name) > LONGEST_NAME:
            raise Damaged(f"a name near byte {self.position} is too long")
        full = f"{module}.{name}"
        construct = self._names.get(full)
        if construct is None:
            if len(self.unknown) < MOST_UNKNOWN:
                self.unknown[full] = None
            self._push(Foreign(full))
        else:
            self._push(Global(full, construct))

    def _line_global(self) -> None:
        module = self._line()
        self._global(module, self._line())

    def _stack_global(self) -> None:
        self._global(*self._pop_pair())

    def _construct(self, keywords: object = None) -> None:
        source, args = self._pop_pair()
        if isinstance(source, Foreign):
            self._push(Foreign(source.name))
            return
        if keywords:
            raise Damaged(f"an object near byte {self.position} is made with keywords")
        if not isinstance(source, Global) or not isinstance(args, tuple):
            raise Damaged(f"an object near byte {self.position} is made from no name")
        self._budget.copy(16 * len(args) + sum(map(_weight, args)))
        self._push(source.construct(*args))

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Record):
            target.build(state)
        elif type(target) is not dict:  # a dict's attributes (torch's `_metadata`) are of no use
            raise Damaged(f"a {type(target).__name__} near byte {self.position} is given a state")

    def _persistent_id(self) -> None:
        if self._persistent is None:
            raise Damaged(f"an object near byte {self.position} lies in another file")
        self._push(self._persistent(self._stack.pop()))

    def _protocol(self) -> None:
        if (protocol := self._unsigned(1)) > 5:
            raise Damaged(f"protocol {protocol} of pickle is unknown")


def is_key(value: object) -> bool:
    """Whether a dict of ours may have this key. Whole numbers beyond 64 bits could all be made to have one hash, and
    a dict of n such keys would take n² steps.
    """
    if isinstance(value, str | bytes):
        return len(value) <= LONGEST_KEY
    return isinstance(value, float | None) or (isinstance(value, int) and value.bit_length() <= 64)


MODULES = ("torch.nn.modules.", "torch.nn.parallel.")
"""How names of PyTorch's layers begin. They stand in files where a network was saved as an object, not its weights."""


def refuse_unknown_names(unknown: Iterable[str]) -> None:
    """End the reading of a file that mentions names which no StyleGAN2 file does.

    Raises:
        CheckpointError: there are any.
    """
    unknown = tuple(unknown)
    if any(name.startswith(MODULES) for name in unknown) and not any(map(is_dangerous, unknown)):
        raise CheckpointError(
            f"the file holds a whole network as an object of Python ({unknown[0][:200]!r}), which only the program "
            "that wrote it can rebuild; nothing was run; save the network's state_dict() there and give that file"
        )
    for name in unknown:
        raise CheckpointError(
            f"the file asks Python for {name[:200]!r}, which no StyleGAN2 model needs; nothing was run, and the file "
            "may be hostile: do not open it with other programs"
        )


DANGEROUS = frozenset({
    "os", "posix", "nt", "subprocess", "sys", "shutil", "socket", "importlib", "runpy", "code", "ctypes", "pty",
    "commands", "multiprocessing", "asyncio", "webbrowser", "builtins", "__builtin__", "urllib", "http", "requests",
    "pip", "signal", "threading", "_posixsubprocess", "pickle", "marshal", "tempfile", "pathlib", "io", "codecs",
})  # fmt: skip
"""Modules that no network needs, and with which a pickle does harm in programs that run what it asks for."""


def is_dangerous(name: str) -> bool:
    """Whether a name that a file mentions is one with which files do harm, and not merely of another library."""
    return name.split(".")[0] in DANGEROUS and name not in ("builtins.getattr", "__builtin__.getattr")


def _weight(argument: object) -> int:
    """About how many bytes a copy of an argument takes."""
    if isinstance(argument, str | bytes):
        return len(argument)
    if isinstance(argument, list | tuple):
        return 16 * len(argument)
    return 100 * len(argument) if isinstance(argument, dict) else 0


_STOP = ord(".")
_LATIN_1 = 0xC3
"""The first byte, in UTF-8, of Latin-1's last letters; larger bytes begin wider ones."""
_TEXT_HEAD = 80
"""Bytes of a text in addition to its letters."""

_INSTRUCTIONS: dict[int, Callable[[PickleReader], object]] = {
    0x80: PickleReader._protocol,
    0x95: lambda r: r._take(8),  # FRAME: its length, of no use here
    ord("("): PickleReader._mark,
    ord("0"): lambda r: r._stack.pop(),
    ord("1"): PickleReader._since_mark,
    ord("2"): lambda r: r._push(r._stack[-1]),
    # Scalars.
    ord("N"): lambda r: r._push(None),
    0x88: lambda r: r._push(True),
    0x89: lambda r: r._push(False),
    ord("J"): lambda r: r._struct("<i", 4),
    ord("K"): lambda r: r._push(r._unsigned(1)),
    ord("M"): lambda r: r._push(r._unsigned(2)),
    ord("G"): lambda r: r._struct(">d", 8),
    0x8A: lambda r: r._long(r._unsigned(1)),
    0x8B: lambda r: r._long(r._unsigned(4)),
    # Text and bytes.
    ord("X"): lambda r: r._text(r._unsigned(4)),
    0x8C: lambda r: r._text(r._unsigned(1)),
    0x8D: lambda r: r._text(r._unsigned(8)),
    ord("T"): lambda r: r._text(r._unsigned(4), "latin-1"),
    ord("U"): lambda r: r._text(r._unsigned(1), "latin-1"),
    ord("B"): lambda r: r._bytes(r._unsigned(4)),
    ord("C"): lambda r: r._bytes(r._unsigned(1)),
    0x8E: lambda r: r._bytes(r._unsigned(8)),
    0x96: lambda r: r._bytes(r._unsigned(8)),
    # Containers.
    ord(")"): lambda r: r._push(()),
    0x85: lambda r: r._tuple(1),
    0x86: lambda r: r._tuple(2),
    0x87: lambda r: r._tuple(3),
    ord("t"): lambda r: r._replace_marked(tuple),
    ord("]"): lambda r: r._push([]),
    ord("l"): lambda r: r._replace_marked(list),
    ord("a"): lambda r: r._extend([r._stack.pop()]),
    ord("e"): lambda r: r._extend(r._since_mark()),
    ord("}"): lambda r: r._push({}),
    ord("d"): PickleReader._dict,
    ord("s"): lambda r: r._set_items(r._pop_pair()),
    ord("u"): lambda r: r._set_items(r._since_mark()),
    0x8F: lambda r: r._push([]),
    0x90: lambda r: r._extend(r._since_mark()),
    0x91: lambda r: r._replace_marked(tuple),
    # The memo.
    ord("h"): lambda r: r._get(r._unsigned(1)),
    ord("j"): lambda r: r._get(r._unsigned(4)),
    ord("q"): lambda r: r._put(r._unsigned(1)),
    ord("r"): lambda r: r._put(r._unsigned(4)),
    0x94: lambda r: r._put(len(r._memo)),
    # Names, objects.
    ord("c"): PickleReader._line_global,
    0x93: PickleReader._stack_global,
    ord("R"): PickleReader._construct,
    0x81: PickleReader._construct,
    0x92: lambda r: r._construct(r._stack.pop()),
    ord("b"): PickleReader._build,
    ord("Q"): PickleReader._persistent_id,
}
"""Instructions by code, in the groups of `pickletools`; those of protocols 0 and 1, of the extension registry and of
out-of-band buffers are left out: models do not use them."""
