"""Floors look down only: ranks, cycles, imports hidden in functions, the lazy names.

The rank table is the one of docs/architecture.md.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from tests.architecture.checkers.source import PACKAGE, Import, Module, imports_of

RANKS: dict[str, int] = {
    "_version": 0,
    "errors": 0,
    "contract": 1,
    "storage": 2,
    "readers": 3,
    "overlay": 3,
    "sync": 4,
    "filter": 4,
    "dataset": 5,
    "analysis": 6,
    "tools": 6,
    "events": 6,
    "widgets": 7,
    "panel": 7,
    "cli": 7,
    "__main__": 8,
}

#: Neighbours on one floor do not know each other. The one exception: panel.py is the
#: host-aware constructor of the widgets, and nothing else.
NEIGHBOURS = {("panel", "widgets")}

#: Optional or slow to import; these alone may be imported inside a function.
HEAVY = frozenset({
    "altair", "anywidget", "dask", "distributed", "duckdb", "marimo", "openpyxl", "pandas",
    "polars", "torch",
})  # fmt: skip

#: `from usr_nb import Dataset` must not load the house: the package's own `__init__` resolves
#: names by a table, on first use. What the table may name:
LAZY_FLOORS = frozenset({
    "_version", "errors", "contract", "storage", "readers", "overlay", "dataset", "analysis",
    "filter", "sync", "tools", "panel",
})  # fmt: skip
LAZY_HOME = f"{PACKAGE}/__init__.py"
#: `usr --help` must not load the library: commands are loaded when they run, in one place.
LAZY_COMMANDS = f"{PACKAGE}/cli/lazy.py"
#: The verbs of `Dataset` load what they need when they are called: `usr head` need not load sync.
LAZY_VERBS = f"{PACKAGE}/dataset/face_"


def floor_of(name: str) -> str:
    """Return the first part below the package; "" is the package's own `__init__`."""
    return name.split(".")[1] if "." in name else ""


def ours(target: str) -> bool:
    return target == PACKAGE or target.startswith(PACKAGE + ".")


def check_ranks(modules: Sequence[Module]) -> list[str]:
    """Find imports that point up, or sideways between packages of one floor."""
    known = frozenset(m.name for m in modules)
    found = []
    for module in modules:
        here = floor_of(module.name)
        if here and here not in RANKS:
            found.append(module.at(1, f"'{here}' has no floor; give it one in docs and RANKS"))
            continue
        found += [
            module.at(imp.line, f"imports {imp.target}: {why}")
            for imp in imports_of(module, known)
            if ours(imp.target) and (why := _misdirected(here, floor_of(imp.target)))
        ]
    return found


def _misdirected(here: str, there: str) -> str | None:
    if here == there or not here:
        # The package's own __init__ is judged by check_lazy_table.
        return None
    if not there:
        return "the package's own __init__ stands above all floors; import the module itself"
    if there not in RANKS:
        return f"'{there}' has no floor; give it one in docs and RANKS"
    if RANKS[there] > RANKS[here]:
        return f"floor {RANKS[here]} ({here}) must not look up to floor {RANKS[there]} ({there})"
    if RANKS[there] == RANKS[here] and (here, there) not in NEIGHBOURS and RANKS[here] > 0:
        return f"{here} and {there} are neighbours on floor {RANKS[here]} and must not meet"
    return None


def check_cycles(modules: Sequence[Module]) -> list[str]:
    """Find groups of modules that import each other, types left aside."""
    known = frozenset(m.name for m in modules)
    edges = {
        m.name: sorted(
            {i.target for i in imports_of(m, known) if i.target in known and not i.for_types}
            - {m.name}
        )
        for m in modules
    }
    return [f"import cycle: {' -> '.join([*loop, loop[0]])}" for loop in _loops(edges)]


def _loops(edges: dict[str, list[str]]) -> Iterator[list[str]]:
    """Yield each import cycle that a depth-first walk closes, as the path around it."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> Iterator[list[str]]:
        for target in edges[node]:
            if target in path:
                yield path[path.index(target) :]
            elif target not in done:
                yield from visit(target, [*path, target])
        done.add(node)

    for start in edges:
        if start not in done:
            yield from visit(start, [start])


def check_hidden_imports(modules: Sequence[Module]) -> list[str]:
    """Find imports inside functions of anything but the heavy packages; verbs may be lazy."""
    known = frozenset(m.name for m in modules)
    return [
        module.at(imp.line, f"import of {imp.target} inside a function: move it to the top")
        for module in modules
        for imp in imports_of(module, known)
        if _is_hidden(imp, module)
    ]


def _is_hidden(imp: Import, module: Module) -> bool:
    if imp.for_types:
        return False
    if imp.dynamic:
        # A computed import could be anything; only the lazy table's own is known to be harmless.
        lazy = module.rel in {LAZY_HOME, LAZY_COMMANDS} and imp.target == "<computed>"
        return not lazy and imp.target.split(".")[0] not in HEAVY
    if ours(imp.target) and module.rel.startswith(LAZY_VERBS):
        return False
    return imp.in_function and imp.target.split(".")[0] not in HEAVY


def check_lazy_table(modules: Sequence[Module]) -> list[str]:
    """Judge the package's `__init__`: nothing but errors at once, and a table of true names."""
    known = frozenset(m.name for m in modules)
    home = next((m for m in modules if m.rel == LAZY_HOME), None)
    if home is None:
        return [f"{LAZY_HOME} is missing"]
    found = []
    for imp in imports_of(home, known):
        if ours(imp.target) and not imp.for_types and not imp.dynamic:
            floor = floor_of(imp.target)
            if floor not in {"errors", "_version"}:
                found.append(home.at(imp.line, f"loads {imp.target} at once; name it in the table"))
    trees = {m.name: m.tree for m in modules}
    for value, line in _table_modules(home.tree):
        if value not in known:
            found.append(home.at(line, f"the table names {value}, which does not exist"))
        elif floor_of(value) not in LAZY_FLOORS:
            found.append(home.at(line, f"the table must not name {value}"))
    for name, value, line in _table_names(home.tree):
        if value in trees and name != value.rpartition(".")[2] and not _defines(trees[value], name):
            found.append(home.at(line, f"the table says {value} has {name}, and it has not"))
    return found


def _dicts(tree: ast.Module) -> Iterator[ast.Dict]:
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            yield from (n for n in ast.walk(node.value) if isinstance(n, ast.Dict))


def _module_name(node: ast.AST | None) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = PACKAGE + node.value if node.value.startswith(".") else node.value
        return text if ours(text) and text.replace(".", "").isidentifier() else None
    return None


def _table_modules(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield every module named anywhere in a module-level dict, as key, value or inside one."""
    for table in _dicts(tree):
        for node in ast.walk(table):
            if isinstance(node, ast.expr) and (name := _module_name(node)):
                yield name, node.lineno


def _table_names(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    """Yield (public name, module, line) for tables of the form name: module or module: names."""
    for table in _dicts(tree):
        for key, value in zip(table.keys, table.values, strict=True):
            if (module := _module_name(value)) and isinstance(key, ast.Constant):
                yield str(key.value), module, value.lineno
            elif (module := _module_name(key)) and isinstance(
                value, ast.Tuple | ast.List | ast.Set
            ):
                for item in value.elts:
                    if isinstance(item, ast.Constant):
                        yield str(item.value), module, item.lineno


def _defines(tree: ast.Module, name: str) -> bool:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
            and node.name == name
        ):
            return True
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name:
            return True
        if isinstance(node, ast.alias) and (node.asname or node.name) == name:
            return True
    return False
