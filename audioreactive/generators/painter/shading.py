"""Run the shaders' text with PyTorch: the plain, differentiable form of the painter.

The text in `shaders/*.glsl` is the one source of all forms. It is written in the common subset of C++, CUDA and GLSL:
functions of scalars and vectors, declarations, assignments, `for` loops over constants, no pointers and no branches
(`select` chooses). A small parser turns it into Python functions of tensors here; compilers read the same text.
"""

from __future__ import annotations

import functools
import operator
import re
from typing import TYPE_CHECKING, Any, Final

from audioreactive.generators.painter.functions import BUILTINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

TOKEN: Final = re.compile(
    r"\s*(?:(?P<comment>//[^\n]*)|(?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:e[+-]?\d+)?f?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<operator>\+\+|[-+*/]=|[<>=]=|[-+*/<>=(){}\[\],;.%]))"
)
TYPES: Final = frozenset({"Float", "Vec2", "Vec3", "Vec4", "float", "vec3", "int", "Bits", "Place", "Latents"})

Scope = dict[str, Any]


def _divided(a: Any, b: Any) -> Any:
    return a // b if isinstance(a, int) and isinstance(b, int) else a / b


_BINARY: Final[tuple[Mapping[str, Callable[[Any, Any], Any]], ...]] = (
    {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge},
    {"+": operator.add, "-": operator.sub},
    {
        "*": operator.mul,
        "/": _divided,
        "%": operator.mod,
    },
)
"""Operators, those that bind least first."""
_ASSIGNMENTS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+=": operator.add, "-=": operator.sub, "*=": operator.mul, "/=": operator.truediv,
}  # fmt: skip


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
            if self._next() not in TYPES:
                raise ShaderError("a parameter has no type")
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
        return _sequence(statements)

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
            return _sequence(declared)
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


class _Return(Exception):  # not an error
    def __init__(self, value: Any) -> None:
        self.value = value


def _sequence(statements: Sequence[Callable[[Scope], None]]) -> Callable[[Scope], None]:
    def run(scope: Scope) -> None:
        for statement in statements:
            statement(scope)

    return run


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
