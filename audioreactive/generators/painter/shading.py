"""Run the shaders' text with PyTorch: the plain, differentiable form of the painter.

The text in `shaders/*.glsl` is the one source of all forms. It is written in the common subset of C++, CUDA and GLSL:
functions of scalars and vectors, declarations, assignments, `for` loops over constants, no pointers and no branches
(`select` chooses). A small parser turns it into Python functions of tensors here; compilers read the same text.

Conventions: a `Float` is a tensor (..., h, w), a `float` one that broadcasts against it; rows and columns are even,
because derivatives are differences within squares of 2 × 2 pixels, as on a GPU.
"""

from __future__ import annotations

import functools
import operator
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TOKEN: Final = re.compile(
    r"\s*(?:(?P<comment>//[^\n]*)|(?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:e[+-]?\d+)?f?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<operator>\+\+|[-+*/]=|[<>=]=|[-+*/<>=(){}\[\],;.%]))"
)
TYPES: Final = frozenset({"Float", "Vec2", "Vec3", "Vec4", "float", "vec2", "vec3", "int", "Bits"})

Scope = dict[str, Any]
Expression = "Callable[[Scope], Any]"

_BINARY: Final[tuple[Mapping[str, Callable[[Any, Any], Any]], ...]] = (
    {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge},
    {"+": operator.add, "-": operator.sub},
    {
        "*": operator.mul,
        "/": lambda a, b: a // b if isinstance(a, int) and isinstance(b, int) else a / b,
        "%": operator.mod,
    },
)
"""Operators, those that bind least first."""
_ASSIGNMENTS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+=": operator.add, "-=": operator.sub, "*=": operator.mul, "/=": operator.truediv,
}  # fmt: skip


@dataclass(frozen=True)
class Vector:
    """Two to four numbers for each pixel: `Vec2`, `Vec3`, `Vec4` and `vec3` of the text."""

    parts: tuple[Any, ...]

    def __getattr__(self, name: str) -> Any:
        place = "xyzw".find(name)
        if len(name) != 1 or not 0 <= place < len(self.parts):
            raise AttributeError(name)
        return self.parts[place]

    def _with(self, other: Any, apply: Callable[[Any, Any], Any]) -> Vector:
        others = other.parts if isinstance(other, Vector) else (other,) * len(self.parts)
        return Vector(tuple(map(apply, self.parts, others)))

    def __add__(self, other: Any) -> Vector:
        return self._with(other, operator.add)

    def __sub__(self, other: Any) -> Vector:
        return self._with(other, operator.sub)

    def __neg__(self) -> Vector:
        return Vector(tuple(-part for part in self.parts))

    def __mul__(self, other: Any) -> Vector:
        return self._with(other, operator.mul)

    def __truediv__(self, other: Any) -> Vector:
        return self._with(other, operator.truediv)


# Functions that every target of the text provides.


def _tensor(value: Any) -> torch.Tensor:
    return value if isinstance(value, torch.Tensor) else torch.tensor(float(value))


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], torch.Tensor]:
    return lambda x: function(_tensor(x))


def _pairs(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Difference of the two halves of each pair of pixels along a dimension, at both."""
    first, second = x.unflatten(dim, (-1, 2)).unbind(dim)
    return (second - first).repeat_interleave(2, dim)


def _derivative(dim: int) -> Callable[[Any], torch.Tensor]:
    def difference(x: Any) -> torch.Tensor:
        x = _tensor(x)
        return _pairs(x, dim) if x.ndim >= 2 and x.shape[dim] > 1 else torch.zeros(())

    return difference


_BITS: Final = 0xFFFFFFFF


def _hash(i: Any, j: Any, seed: int) -> torch.Tensor:
    """32 random bits for each lattice point (i, j), as int64."""
    column, row = _tensor(i).long(), _tensor(j).long()
    h = (column * 0x9E3779B1 + row * 0x85EBCA77 + seed * 0xC2B2AE3D) & _BITS
    h = (h * 0x2C1B3C6D) & _BITS
    h = h ^ (h >> 15)
    h = (h * 0x297A2D39) & _BITS
    return h ^ (h >> 15)


def _table_value(table: Table, x: Any, y: Any) -> torch.Tensor:
    """Values of a table (..., r, c) at (x, y), in entries of the table, with smooth steps between them."""
    x, y = _tensor(x).clamp(0, table.columns - 1.001), _tensor(y).clamp(0, table.rows - 1.001)
    i, j = x.floor(), y.floor()
    u, v = (t * t * (3 - 2 * t) for t in (x - i, y - j))
    index = (j * table.columns + i).long()
    flat = table.values.flatten(-2)

    def corner(offset: int) -> torch.Tensor:
        if flat.ndim == 1:
            return flat[index + offset]
        places = (index + offset).expand(*flat.shape[:-1], *index.shape[-2:])
        return flat.gather(-1, places.flatten(-2)).unflatten(-1, places.shape[-2:])

    above = corner(0) + (corner(1) - corner(0)) * u
    below = corner(table.columns) + (corner(table.columns + 1) - corner(table.columns)) * u
    return above + (below - above) * v


def _pow(x: Any, y: Any) -> torch.Tensor:
    return _tensor(x).clamp(min=1.2e-38) ** y


BUILTINS: Final[Mapping[str, Any]] = {
    "min": lambda a, b: torch.minimum(*torch.broadcast_tensors(_tensor(a), _tensor(b))),
    "max": lambda a, b: torch.maximum(*torch.broadcast_tensors(_tensor(a), _tensor(b))),
    "select": lambda c, a, b: torch.where(c, _tensor(a), _tensor(b)),
    "pow": _pow,
    "atan": lambda y, x: torch.atan2(_tensor(y), _tensor(x)),
    **{name: _unary(getattr(torch, name)) for name in ("abs", "floor", "sqrt", "exp", "exp2", "log2", "sin", "cos", "tanh")},
    "fract": _unary(lambda x: x - x.floor()),
    "inversesqrt": _unary(torch.rsqrt),
    "dFdx": _derivative(-1),
    "dFdy": _derivative(-2),
    "hash": _hash,
    "low": lambda bits: (bits & 0xFFFF).float() / 65536,
    "high": lambda bits: (bits >> 16).float() / 65536,
    "table_value": _table_value,
    **{name: (lambda *parts: Vector(parts)) for name in ("Vec2", "Vec3", "Vec4", "vec2", "vec3")},
    "float": lambda x: x,
    "Float": lambda x: x,
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Noise of a frame (..., r, c)."""

    values: torch.Tensor

    @property
    def rows(self) -> int:
        """r."""
        return self.values.shape[-2]

    @property
    def columns(self) -> int:
        """c."""
        return self.values.shape[-1]


@dataclass(frozen=True)
class Place:
    """Pixels of a picture: the `Place` of the text."""

    x: torch.Tensor
    """(1, columns), in units of half the picture's shorter side."""
    y: torch.Tensor
    """(rows, 1)."""
    px: float
    """Width of a pixel."""
    right: float
    """x of the right edge; the left one is at -right."""
    bottom: float
    table: Table


class Raster(NamedTuple):
    """Grid of pixels on which a picture is painted."""

    size: tuple[int, int]
    """(h, w) of the picture, which may end before the grid does."""
    sides: tuple[int, int]
    """Rows and columns of the grid, multiples of 4."""


class ShaderError(Exception):
    """The text is not in the subset that the parser reads."""


class _Parser:
    """Recursive descent over the tokens of a text."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._place = 0

    # tokens

    def _next(self) -> str:
        self._place += 1
        return self._tokens[self._place - 1]

    def _peek(self, ahead: int = 0) -> str:
        return self._tokens[min(self._place + ahead, len(self._tokens) - 1)]

    def _accept(self, token: str) -> bool:
        if self._peek() == token:
            self._place += 1
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            around = " ".join(self._tokens[max(self._place - 6, 0) : self._place + 3])
            raise ShaderError(f"{token!r} was expected in: {around}")

    # a file

    def program(self) -> Scope:
        """Parse constants and functions; the functions see each other."""
        scope: Scope = dict(BUILTINS)
        while self._peek() != "":
            if self._accept("const"):
                self._next()
                name = self._next()
                self._expect("=")
                scope[name] = self._expression()(scope)
                self._expect(";")
                continue
            self._next()
            name = self._next()
            scope[name] = self._function(scope)
        return scope

    def _function(self, scope: Scope) -> Callable[..., Any]:
        self._expect("(")
        names = []
        while not self._accept(")"):
            self._next()
            names.append(self._next())
            self._accept(",")
        body = self._block()

        def call(*values: Any) -> Any:
            inner = _Inner(scope)
            inner.update(zip(names, values, strict=True))
            try:
                body(inner)
            except _Return as returned:
                return returned.value
            raise ShaderError("a function ended without a value")

        return call

    # statements

    def _block(self) -> Callable[[Scope], None]:
        self._expect("{")
        statements = []
        while not self._accept("}"):
            statements.append(self._statement())

        def run(scope: Scope) -> None:
            for statement in statements:
                statement(scope)

        return run

    def _statement(self) -> Callable[[Scope], None]:
        self._accept("UNROLL")
        if self._peek() == "{":
            return self._block()
        if self._accept("for"):
            return self._loop()
        if self._accept("return"):
            value = self._expression()
            self._expect(";")
            return functools.partial(_return, value)
        if self._peek() in TYPES and self._peek(1) != "(":
            self._next()
            declared = [self._declared()]
            while self._accept(","):
                declared.append(self._declared())
            self._expect(";")
            return lambda scope: [assign(scope) for assign in declared] and None
        assign = self._assignment()
        self._expect(";")
        return assign

    def _declared(self) -> Callable[[Scope], None]:
        name = self._next()
        if self._accept("["):
            length = self._expression()
            self._expect("]")
            return lambda scope: scope.__setitem__(name, [None] * length(scope))
        if not self._accept("="):
            return lambda scope: None
        value = self._expression()
        return lambda scope: scope.__setitem__(name, value(scope))

    def _assignment(self) -> Callable[[Scope], None]:
        name = self._next()
        if self._accept("["):
            place = self._expression()
            self._expect("]")
            self._expect("=")
            stored = self._expression()
            return lambda scope: scope[name].__setitem__(int(place(scope)), stored(scope))
        sign = self._next()
        if sign == "++":
            return lambda scope: scope.__setitem__(name, scope[name] + 1)
        value = self._expression()
        if sign == "=":
            return lambda scope: scope.__setitem__(name, value(scope))
        if sign not in _ASSIGNMENTS:
            raise ShaderError(f"{name} {sign} is no assignment")
        apply = _ASSIGNMENTS[sign]
        return lambda scope: scope.__setitem__(name, apply(scope[name], value(scope)))

    def _loop(self) -> Callable[[Scope], None]:
        self._expect("(")
        self._expect("int")
        start = self._declared()
        self._expect(";")
        condition = self._expression()
        self._expect(";")
        step = self._assignment()
        self._expect(")")
        body = self._statement()

        def run(scope: Scope) -> None:
            start(scope)
            while condition(scope):
                body(scope)
                step(scope)

        return run

    # expressions

    def _expression(self, level: int = 0) -> Callable[[Scope], Any]:
        if level == len(_BINARY):
            return self._signed()
        left = self._expression(level + 1)
        while self._peek() in _BINARY[level]:
            apply = _BINARY[level][self._next()]
            left = _applied(apply, left, self._expression(level + 1))
        return left

    def _signed(self) -> Callable[[Scope], Any]:
        if self._accept("-"):
            value = self._signed()
            return lambda scope: -value(scope)
        return self._postfix()

    def _postfix(self) -> Callable[[Scope], Any]:
        value = self._primary()
        while True:
            if self._accept("."):
                value = _member(value, self._next())
            elif self._accept("["):
                value = _item(value, self._expression())
                self._expect("]")
            else:
                return value

    def _primary(self) -> Callable[[Scope], Any]:
        if self._accept("("):
            inner = self._expression()
            self._expect(")")
            return inner
        token = self._next()
        if token[0].isdigit() or token[0] == ".":
            number = float(token.rstrip("f")) if not token.isdigit() else int(token)
            return lambda scope: number
        if not self._accept("("):
            return lambda scope: scope[token]
        values = []
        while not self._accept(")"):
            values.append(self._expression())
            self._accept(",")
        return lambda scope: scope[token](*[value(scope) for value in values])


class _Inner(dict[str, Any]):
    """Variables of a call; other names are the file's."""

    def __init__(self, outer: Scope) -> None:
        super().__init__()
        self._outer = outer

    def __missing__(self, name: str) -> Any:
        return self._outer[name]


class _Return(Exception):  # noqa: N818  # not an error
    def __init__(self, value: Any) -> None:
        self.value = value


def _return(value: Callable[[Scope], Any], scope: Scope) -> None:
    raise _Return(value(scope))


def _applied(
    apply: Callable[[Any, Any], Any], left: Callable[[Scope], Any], right: Callable[[Scope], Any]
) -> Callable[[Scope], Any]:
    return lambda scope: apply(left(scope), right(scope))


def _member(value: Callable[[Scope], Any], name: str) -> Callable[[Scope], Any]:
    return lambda scope: getattr(value(scope), name)


def _item(value: Callable[[Scope], Any], index: Callable[[Scope], Any]) -> Callable[[Scope], Any]:
    return lambda scope: value(scope)[int(index(scope))]


def _tokens(text: str) -> Iterator[str]:
    place = 0
    text = text.rstrip()
    while place < len(text):
        found = TOKEN.match(text, place)
        if not found:
            raise ShaderError(f"not in the subset: {text[place : place + 40]!r}")
        place = found.end()
        if found.lastgroup != "comment":
            yield found[found.lastgroup or 0]
    yield ""


def parse(text: str) -> Scope:
    """Parse a text to its functions and constants by name.

    Raises:
        ShaderError: the text is not in the subset.
    """
    return _Parser(text).program()


def places(raster: Raster, table: Table, device: torch.device) -> Place:
    """Make the pixels of a raster."""
    height, width = raster.size
    px = 2 / min(height, width)
    rows, columns = (torch.arange(side, device=device) for side in raster.sides)
    return Place(
        x=((columns + 0.5 - 0.5 * width) * px)[None],
        y=((rows + 0.5 - 0.5 * height) * px)[:, None],
        px=px, right=0.5 * width * px, bottom=0.5 * height * px, table=table,
    )  # fmt: skip
