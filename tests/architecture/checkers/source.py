"""Python modules as the checkers see them: read from the tree, or planted as strings."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "usr_nb"


@dataclass(frozen=True)
class Module:
    """One source file: its place (`usr_nb/storage/door.py`), dotted name, text and tree."""

    rel: str
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.rel.endswith("__init__.py")

    @property
    def name(self) -> str:
        parts = self.rel.removesuffix(".py").split("/")
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def at(self, line: int, message: str) -> str:
        """Word a finding the way compilers do, so that editors can jump to it."""
        return f"{self.rel}:{line}: {message}"


def read_package(root: Path) -> list[Module]:
    """Read every module of the package below a checkout."""
    files = sorted((root / PACKAGE).rglob("*.py"))
    return plant({p.relative_to(root).as_posix(): p.read_text("utf-8") for p in files})


def plant(sources: Mapping[str, str]) -> list[Module]:
    """Parse source strings keyed by the path that they pretend to have."""
    return [Module(rel, text, ast.parse(text, rel)) for rel, text in sources.items()]


@dataclass(frozen=True)
class Import:
    """One import: what is named, the line, and where it stands."""

    target: str
    line: int
    in_function: bool
    for_types: bool
    dynamic: bool = False


def imports_of(module: Module, known: frozenset[str]) -> list[Import]:
    """List a module's imports in full; `from a import b` names `a.b` if that is a module."""
    return list(_walk(module.tree, module, known, in_function=False, for_types=False))


def _walk(
    node: ast.AST, module: Module, known: frozenset[str], *, in_function: bool, for_types: bool
) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside = in_function or isinstance(
            child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        )
        for target in _targets(child, module, known):
            dynamic = isinstance(child, ast.Call)
            yield Import(target, getattr(child, "lineno", 0), inside, for_types, dynamic)
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for branch, typed in ((child.body, True), (child.orelse, for_types)):
                holder = ast.Module(body=list(branch), type_ignores=[])
                yield from _walk(holder, module, known, in_function=inside, for_types=typed)
        else:
            yield from _walk(child, module, known, in_function=inside, for_types=for_types)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _targets(node: ast.AST, module: Module, known: frozenset[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(node, module)
        for alias in node.names:
            full = f"{base}.{alias.name}"
            yield full if full in known else base
    elif isinstance(node, ast.Call):
        called = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        first = node.args[0] if node.args else None
        if called in {"import_module", "__import__", "resolve_name"}:
            value = first.value if isinstance(first, ast.Constant) else None
            yield value if isinstance(value, str) else "<computed>"


def _absolute(node: ast.ImportFrom, module: Module) -> str:
    if not node.level:
        return node.module or ""
    up = node.level - (1 if module.is_package else 0)
    parts = module.name.split(".")
    base = parts[: len(parts) - up] if up else parts
    return ".".join([*base, *([node.module] if node.module else [])])
