"""The refusal codes in docs/words.md are those that the library gives, each once, none missing."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROOT = Path(__file__).parents[2]
_SRC = _ROOT / "src" / "consignment"
_WORDS = _ROOT / "docs" / "words.md"

_CODE = re.compile(r"[a-z][a-z0-9_]*")
_ROW = re.compile(r"^\| `([a-z0-9_]+)` \|", re.MULTILINE)

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@define
class _Names:
    """What is known of the source by name, over all modules."""

    #: Functions and classes that make a reason of a code, with the code's parameter and its place.
    makers: dict[str, tuple[str, int]] = field(
        factory=lambda: {"reason": ("code", 0), "Reason": ("code", 0)}
    )
    #: Functions by name, to find what those give that name a fault by its code.
    functions: dict[str, list[_Function]] = field(factory=dict)
    #: Mappings by name, to find the codes that are looked up in them.
    mappings: dict[str, list[ast.Dict]] = field(factory=dict)


@define
class _Scope:
    """A function within those around it."""

    function: _Function
    of_class: str | None = None
    around: _Scope | None = None

    def owner_of(self, name: str) -> _Scope | None:
        """Find the function that has a parameter, from here outwards."""
        if name in _parameters(self.function):
            return self
        return None if self.around is None else self.around.owner_of(name)

    @property
    def known_as(self) -> str:
        return self.of_class or self.function.name


def _parameters(function: _Function) -> list[str]:
    arguments = function.args
    return [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _code_of(call: ast.Call, maker: tuple[str, int]) -> ast.expr | None:
    name, place = maker
    if place < len(call.args):
        return call.args[place]
    return next((each.value for each in call.keywords if each.arg == name), None)


def _scopes(tree: ast.AST) -> Iterator[tuple[ast.AST, _Scope | None]]:
    """Give every node with the function that it is in."""

    def walk(
        node: ast.AST, scope: _Scope | None, of_class: str | None
    ) -> Iterator[tuple[ast.AST, _Scope | None]]:
        for child in ast.iter_child_nodes(node):
            yield child, scope
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                constructor = of_class if child.name == "__init__" else None
                yield from walk(child, _Scope(child, constructor, scope), None)
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, scope, child.name)
            else:
                yield from walk(child, scope, of_class)

    return walk(tree, None, None)


def _learn_makers(trees: Iterable[ast.Module], names: _Names) -> bool:
    """Find functions that hand a parameter of theirs on as a code; tell whether any was new."""
    before = len(names.makers)
    for tree in trees:
        for node, scope in _scopes(tree):
            if scope is None:
                continue
            code: ast.expr | None = None
            if isinstance(node, ast.Call) and _called(node) in names.makers:
                code = _code_of(node, names.makers[_called(node)])
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
                code = node.value if node.targets[0].attr == "code" else None
            if not isinstance(code, ast.Name) or (owner := scope.owner_of(code.id)) is None:
                continue
            parameters = _parameters(owner.function)
            bound = 1 if parameters[0] in {"self", "cls"} else 0
            place = parameters.index(code.id) - bound
            names.makers.setdefault(owner.known_as, (code.id, place))
    return len(names.makers) > before


def _values(expression: ast.expr | None, scope: _Scope | None, names: _Names) -> Iterator[str]:
    """Give the texts that an expression can have, as far as they stand in the source."""
    match expression:
        case ast.Constant(value=str() as code):
            yield code
        case ast.IfExp(body=body, orelse=orelse):
            yield from _values(body, scope, names)
            yield from _values(orelse, scope, names)
        case ast.BoolOp(values=values):
            for each in values:
                yield from _values(each, scope, names)
        case ast.Call():
            if isinstance(expression.func, ast.Attribute) and expression.func.attr == "get":
                yield from _looked_up(expression, expression.func.value, scope, names)
            for function in names.functions.get(_called(expression), ()):
                yield from _returned(function, names)
        case ast.Name(id=name):
            if scope is not None:
                yield from _assigned(name, scope, names)
        case _:
            pass


def _looked_up(
    call: ast.Call, mapping: ast.expr, scope: _Scope | None, names: _Names
) -> Iterator[str]:
    """Give what can be found in a mapping that stands in the source, and the default."""
    for each in call.args[1:]:
        yield from _values(each, scope, names)
    if isinstance(mapping, ast.Name):
        for found in names.mappings.get(mapping.id, ()):
            for value in found.values:
                yield from _values(value, None, names)


def _returned(function: _Function, names: _Names) -> Iterator[str]:
    if function.name.endswith(("_fault", "_code")):
        for node in ast.walk(function):
            if isinstance(node, ast.Return):
                yield from _values(node.value, _Scope(function), names)


def _assigned(name: str, scope: _Scope, names: _Names) -> Iterator[str]:
    function = scope.function
    arguments = function.args
    with_default = [*arguments.posonlyargs, *arguments.args][-len(arguments.defaults) or 10**6 :]
    for each, default in zip(with_default, arguments.defaults, strict=True):
        if each.arg == name:
            yield from _values(default, None, names)
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                yield from _values(value, scope, names)
            case ast.NamedExpr(target=ast.Name(id=target), value=value) if target == name:
                yield from _values(value, scope, names)
            case ast.For(
                target=ast.Tuple(elts=[ast.Name(id=target), *_]), iter=ast.Tuple() as all_
            ):
                if target == name:
                    firsts = [each.elts[0] for each in all_.elts if isinstance(each, ast.Tuple)]
                    for first in firsts:
                        yield from _values(first, scope, names)
            case _:
                pass
    if scope.around is not None:
        yield from _assigned(name, scope.around, names)


def _given(tree: ast.Module, names: _Names) -> Iterator[str]:
    """Give every code that stands in a module."""
    for node, scope in _scopes(tree):
        match node:
            case ast.Call() if _called(node) in names.makers:
                yield from _values(_code_of(node, names.makers[_called(node)]), scope, names)
            case ast.ClassDef(body=body):
                # Errors of the store have their code as a constant of the class.
                for each in body:
                    match each:
                        case ast.Assign(
                            targets=[ast.Name(id="code")], value=ast.Constant(value=str() as code)
                        ):
                            yield code
                        case _:
                            pass
            case ast.Dict(keys=[ast.Constant(value="code"), *_], values=[first, *_]):
                yield from _values(first, scope, names)
            case _:
                pass


def _codes_of_library() -> set[str]:
    files = [path for path in _SRC.rglob("*.py") if "testing" not in path.relative_to(_SRC).parts]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(files)]
    names = _Names()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names.functions.setdefault(node.name, []).append(node)
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict() as mapping):
                    names.mappings.setdefault(name, []).append(mapping)
                case _:
                    pass
    while _learn_makers(trees, names):
        pass
    found = {code for tree in trees for code in _given(tree, names)}
    assert all(_CODE.fullmatch(code) for code in found), found
    return found


def _codes_in_words() -> list[str]:
    section = _WORDS.read_text(encoding="utf-8").partition("\n## Refusal codes\n")[2]
    assert section, "docs/words.md has no section of refusal codes"
    return _ROW.findall(section)


def test_every_code_is_documented() -> None:
    """Each code that the library can give has a row in the table."""
    assert sorted(_codes_of_library() - set(_codes_in_words())) == []


def test_every_documented_code_exists() -> None:
    """Each row of the table is of a code that the library can give."""
    assert sorted(set(_codes_in_words()) - _codes_of_library()) == []


def test_no_code_is_documented_twice() -> None:
    """Each code has one row."""
    twice = [code for code, times in Counter(_codes_in_words()).items() if times > 1]
    assert twice == []


def test_the_collection_sees_every_way_to_give_a_code() -> None:
    """A code is seen as a literal, by way of a helper, a variable, a loop and a default."""
    expected = {
        "quota_exceeded",  # a literal
        "over_sold",  # through a helper
        "gtin_check_failed",  # through helpers of helpers
        "text_unprintable",  # given by a function that names faults
        "beneficiary_repeated",  # out of a loop over pairs
        "order_not_of_partner",  # a choice of two, in a variable
        "choice_unknown",  # a parameter's default
        "name_repeated",
        "number_not_finite",
        "database_locked",  # a class's constant
        "file_not_found",  # looked up in a mapping
    }
    assert expected - _codes_of_library() == set()


if __name__ == "__main__":
    print(*sorted(_codes_of_library()), sep="\n")  # noqa: T201 - to write the table from
