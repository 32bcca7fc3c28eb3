"""Mutation operators: small faults that a programmer might make, for benchmarks/mutants.py.

Not mutated: types, decorators, documentation, and `strict=True` of `zip`, which only asserts that lengths are equal: no
input distinguishes it from `strict=False`. The -1 of a `reshape` may lose its sign, but does not become another
negative number, since numpy treats all of them alike.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Replace = Callable[[ast.AST], None]

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
IGNORED_FIELDS = {"annotation", "returns", "decorator_list", "bases"}  # fields without computation
SMALL = 10  # integers up to here are counts and indices, where off-by-one errors are common


@dataclass(frozen=True)
class Mutation:
    """One fault: its line, the text before and after, and the whole mutated module."""

    line: int
    text: str  # of the line
    before: str
    after: str
    source: str


def mutations(source: str) -> Iterator[Mutation]:
    """Return all faults of a module."""
    lines = source.splitlines()
    for index, (node, _) in enumerate(_slots(ast.parse(source))):
        line = getattr(node, "lineno", 1)
        for number, mutant in enumerate(_mutants(node)):
            text = lines[line - 1].strip()
            yield Mutation(
                line, text, _shortened_source(node), _shortened_source(mutant), _mutated(source, index, number)
            )


def _mutated(source: str, index: int, number: int) -> str:
    tree = ast.parse(source)
    node, replace = [*_slots(tree)][index]
    replace([*_mutants(node)][number])
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _shortened_source(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def _slots(parent: ast.AST) -> Iterator[tuple[ast.AST, Replace]]:
    """Yield each expression node with a function that replaces it."""
    if isinstance(parent, ast.If) and "TYPE_CHECKING" in ast.unparse(parent.test):
        return
    for field, value in ast.iter_fields(parent):
        if field in IGNORED_FIELDS or (isinstance(parent, ast.AnnAssign) and field == "target"):
            continue
        if isinstance(parent, ast.keyword) and parent.arg == "strict":
            continue
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(node, ast.AST) and not isinstance(node, ast.JoinedStr):
                yield node, _setter(parent, field, index if isinstance(value, list) else None)
                if not _is_open_length(parent, node):
                    yield from _slots(node)


def _is_open_length(parent: ast.AST, node: ast.AST) -> bool:
    """Return whether a node is the negative length in a call of `reshape`."""
    called = parent.func if isinstance(parent, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr == "reshape" and isinstance(node, ast.UnaryOp)


def _setter(parent: ast.AST, field: str, index: int | None) -> Replace:
    def replace(node: ast.AST) -> None:
        if index is None:
            setattr(parent, field, node)
        else:
            getattr(parent, field)[index] = node

    return replace


def _mutants(node: ast.AST) -> Iterator[ast.AST]:
    """Yield faulty replacements of a node."""
    if isinstance(node, ast.stmt):
        yield from _statements(node)
    elif isinstance(node, ast.expr):
        yield from _expressions(node)
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.Return(value=ast.expr()) if ast.unparse(node) != "return None":
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Continue():
            yield ast.Pass()


def _expressions(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=[op, *others]):
            for other in COMPARISONS[type(op)]:
                yield _with(node, ops=[other(), *others])
        case ast.BoolOp(op=op, values=values):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            yield from (_with(node, values=left) for left in _without_one(values))
        case ast.List(elts=[_, _, *_] as elements):
            yield from (_with(node, elts=left) for left in _without_one(elements))
        case ast.BinOp(op=op, left=left, right=right) if type(op) in OPERATORS and not _joins_texts(node):
            yield _with(node, op=OPERATORS[type(op)]())
            if isinstance(op, ast.BitAnd | ast.BitOr):
                yield from (left, right)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=inner):
            yield inner
        case ast.Constant() | ast.Name():
            yield from _constants_and_names(node)


def _joins_texts(node: ast.BinOp) -> bool:
    """Return whether an operator joins texts or paths: any other operator would fail at once."""
    return any(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in ast.walk(node))


def _constants_and_names(node: ast.Constant | ast.Name) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(value=bool() as truth):
            yield ast.Constant(not truth)
        case ast.Constant(value=int() as number) if abs(number) <= SMALL:
            yield from (ast.Constant(number + 1), ast.Constant(number - 1))
        case ast.Name(id=name) if name in FUNCTIONS:
            yield ast.Name(FUNCTIONS[name], node.ctx)


def _without_one(nodes: list[ast.expr]) -> Iterator[list[ast.expr]]:
    return ([*nodes[:index], *nodes[index + 1 :]] for index in range(len(nodes)))


def _with(node: ast.AST, **fields: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other
