"""A file is about 300 lines, never over 600; a function fits a screen, never over 80 lines."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from tests.architecture.checkers.source import Module

MOST_FILE_LINES = 600
#: Without the docstring: a NumPy-style one with an example is long for a good reason.
MOST_FUNCTION_LINES = 80


def check_sizes(modules: Sequence[Module]) -> list[str]:
    """Find files and functions that have grown too long."""
    found = []
    for module in modules:
        lines = len(module.text.splitlines())
        if lines > MOST_FILE_LINES:
            found.append(module.at(1, f"{lines} lines; at most {MOST_FILE_LINES}"))
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = _body_lines(node)
                if length > MOST_FUNCTION_LINES:
                    message = f"{node.name} has {length} lines; at most {MOST_FUNCTION_LINES}"
                    found.append(module.at(node.lineno, message))
    return found


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        doc = node.body[0]
        total -= (doc.end_lineno or doc.lineno) - doc.lineno + 1
    return total
