"""Shape expressions of an exported program: a small grammar, parsed here and written anew.

torch hands these strings to `sympy.sympify`, which evaluates them as Python. Nothing reaches it that this parser did
not build itself: integers up to 64 bits, the symbols s0.. and u0.., sums, products, quotients and a few functions.
"""

from __future__ import annotations

import ast
import re

MAX_LENGTH = 4_000
MAX_TERMS = 400
SYMBOL = re.compile(r"[su][0-9]{1,6}")
_FUNCTIONS = frozenset({
    "Add", "Mul", "Max", "Min", "FloorDiv", "CeilDiv", "CleanDiv", "Mod", "PythonMod", "ModularIndexing", "Identity",
    "IntTrueDiv", "FloatTrueDiv", "FloorToInt", "CeilToInt", "TruncToInt", "ToFloat", "Rational",
    "Equality", "Unequality", "LessThan", "StrictLessThan", "GreaterThan", "StrictGreaterThan",
    "Eq", "Ne", "Le", "Lt", "Ge", "Gt", "And", "Or", "Not", "Where",
})  # fmt: skip
_ASSUMPTIONS = frozenset({"integer", "positive", "nonnegative", "negative", "real", "finite", "zero", "nonzero"})
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//"}


class Unsafe(ValueError):
    """Something in a model file that must not reach torch; the message says what, in a few words."""


def checked_expression(text: object) -> str:
    """The same expression, rebuilt from its parsed form. Raises Unsafe when it is outside the grammar."""
    if not isinstance(text, str) or len(text) > MAX_LENGTH:
        raise Unsafe("a shape expression is not a short text")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        if sum(1 for _ in ast.walk(tree)) > MAX_TERMS:
            raise Unsafe("a shape expression is too long")
        return _written(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unsafe(f"the shape expression {text[:60]!r} is not plain arithmetic") from error


def checked_symbol(text: object) -> str:
    if not isinstance(text, str) or not SYMBOL.fullmatch(text):
        raise Unsafe(f"the shape symbol {str(text)[:60]!r} is not of the form s0 or u0")
    return text


def _written(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(_integer(node))
    if isinstance(node, ast.Name):
        return node.id if node.id in ("true", "false") else checked_symbol(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return f"(-{_written(node.operand)})"
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return f"({_written(node.left)}{_OPERATORS[type(node.op)]}{_written(node.right)})"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node.func.id, node)
    raise Unsafe(f"the shape expression holds a {type(node).__name__}")


def _call(name: str, node: ast.Call) -> str:
    """One function of the grammar; `Symbol('s0', integer=True)` and `Integer(4)` are how torch writes the leaves."""
    if name == "Symbol" and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
        parts = [repr(checked_symbol(node.args[0].value))]
        for keyword in node.keywords:
            value = keyword.value
            if keyword.arg not in _ASSUMPTIONS or not isinstance(value, ast.Constant) or type(value.value) is not bool:
                raise Unsafe("a shape symbol carries an unknown assumption")
            parts.append(f"{keyword.arg}={value.value}")
        return f"Symbol({', '.join(parts)})"
    if node.keywords:
        raise Unsafe(f"the shape function {name[:40]!r} has named arguments")
    if name == "Integer" and len(node.args) == 1:
        return f"Integer({_written(node.args[0])})"
    if name == "Pow" and len(node.args) == 2:
        if any(isinstance(part, ast.Name) and part.id == "Pow" for part in ast.walk(node.args[0])):
            raise Unsafe("a shape expression raises a power to a power")
        return f"Pow({_written(node.args[0])}, {_small_exponent(node.args[1])})"
    if name not in _FUNCTIONS:
        raise Unsafe(f"the shape function {name[:40]!r} is not one of those allowed")
    return f"{name}({', '.join(_written(argument) for argument in node.args)})"


def _small_exponent(node: ast.expr) -> str:
    """Exponents stay small: a tower of powers would keep sympy busy for ever."""
    inner = node.args[0] if isinstance(node, ast.Call) and len(node.args) == 1 else node
    sign, inner = (-1, inner.operand) if isinstance(inner, ast.UnaryOp) else (1, inner)
    if not isinstance(inner, ast.Constant) or _integer(inner) > 4:
        raise Unsafe("a shape expression has a large or unknown exponent")
    return f"Integer({sign * _integer(inner)})"


def _integer(node: ast.Constant) -> int:
    if type(node.value) is not int or node.value >= 2**63:
        raise Unsafe("a shape expression holds something other than a 64-bit integer")
    return node.value
