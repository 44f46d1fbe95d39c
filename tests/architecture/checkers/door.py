"""The one door: nothing but usr_nb/storage/door.py changes the disk.

Every fault test injects its faults there, so a call that goes round the door is a write whose
interruption nobody has tried. The tables below say what is looked for and why. Names are
followed through imports (`from os import replace as swap`), and mentioning a forbidden
function is enough: it could be passed on and called elsewhere.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from tests.architecture.checkers.source import PACKAGE, Module, _absolute

DOOR = f"{PACKAGE}/storage/door.py"
DOOR_MODULE = f"{PACKAGE}.storage.door"

#: Dotted names that change the disk whatever their arguments: name -> why it is here.
FORBIDDEN: dict[str, str] = {
    **{
        f"os.{name}": "changes a folder: an entry appears, moves or goes"
        for name in (
            "replace", "rename", "renames", "link", "symlink", "unlink", "remove", "mkdir",
            "makedirs", "rmdir", "removedirs", "mkfifo", "mknod",
        )
    },
    **{
        f"os.{name}": "changes a file's bytes or length"
        for name in (
            "write", "pwrite", "writev", "pwritev", "truncate", "ftruncate", "sendfile", "splice",
            "copy_file_range", "posix_fallocate",
        )
    },
    **{
        f"os.{name}": "decides when bytes are durable, which is the door's promise"
        for name in ("fsync", "fdatasync", "sync")
    },
    **{
        f"os.{name}": "changes a file's mode, owner, times or attributes"
        for name in (
            "chmod", "fchmod", "lchmod", "chown", "fchown", "lchown", "chflags", "utime",
            "setxattr", "removexattr",
        )
    },
    "os.system": "a shell can write anything",
    "os.popen": "a shell can write anything",
    "pyarrow.fs": "a file system object with open_output_stream, move and delete",
    "pyarrow.create_memory_map": "creates a file of its own",
    "sqlite3.connect": "creates its file when it is opened",
    "shelve": "a dict that is a file",
    "dbm": "a dict that is a file",
    "ctypes": "could call the C library past every other check",
    "logging.FileHandler": "opens its file for appending",
    "logging.handlers": "open their files for appending, and rename them",
    "numpy.memmap": "writes through memory by default",
    "numpy.save": "writes a file when given a path",
    "numpy.savez": "writes a file when given a path",
    "numpy.savez_compressed": "writes a file when given a path",
    "numpy.savetxt": "writes a file when given a path",
    "torch.save": "writes a file when given a path",
}  # fmt: skip

#: Whole modules, but for the named members that only look.
FORBIDDEN_MODULES: dict[str, tuple[frozenset[str], str]] = {
    "shutil": (
        frozenset({"which", "disk_usage", "get_terminal_size"}),
        "copies, moves or deletes",
    ),
    "tempfile": (
        frozenset(),
        "creates files; temporary files are the door's, with names that others can judge",
    ),
    "filelock": (frozenset({"Timeout"}), "creates its lock file when it is acquired"),
    "fileinput": (frozenset(), "can rewrite files in place"),
}

#: The one exception besides the door: a lock file is created by the library that locks it, and
#: its content never matters. What may be used, by file.
EXCEPTIONS: dict[str, frozenset[str]] = {f"{PACKAGE}/storage/lock.py": frozenset({"filelock"})}

#: Methods (mostly of pathlib.Path) whose name is enough, since no type is known here.
METHODS: dict[str, str] = {
    "write_text": "Path.write_text",
    "write_bytes": "Path.write_bytes",
    "unlink": "Path.unlink",
    "mkdir": "Path.mkdir",
    "touch": "Path.touch",
    "rmdir": "Path.rmdir",
    "hardlink_to": "Path.hardlink_to",
    "symlink_to": "Path.symlink_to",
    "link_to": "Path.link_to",
    "chmod": "Path.chmod",
    "lchmod": "Path.lchmod",
    "tofile": "ndarray.tofile",
    "extractall": "unpacks an archive into a folder",
    "open_output_stream": "pyarrow FileSystem",
    "open_append_stream": "pyarrow FileSystem",
    "delete_file": "pyarrow FileSystem",
    "delete_dir": "pyarrow FileSystem",
    "copy_file": "pyarrow FileSystem",
}
#: `Path.replace(target)` takes one argument, `str.replace` two, `datetime.replace` keywords;
#: `Path.rename(target)` takes one, `DataFrame.rename` keywords.
ONE_ARGUMENT_METHODS = {"replace": "Path.replace", "rename": "Path.rename"}

#: Calls that open a file: dotted name -> position of the mode, the default being to read.
OPENERS: dict[str, int] = {
    "open": 1, "io.open": 1, "codecs.open": 1, "gzip.open": 1, "bz2.open": 1, "lzma.open": 1,
    "os.fdopen": 1, "io.FileIO": 1, "gzip.GzipFile": 1, "bz2.BZ2File": 1, "lzma.LZMAFile": 1,
    "zipfile.ZipFile": 1, "tarfile.open": 1, "pyarrow.OSFile": 1, "pyarrow.memory_map": 1,
}  # fmt: skip
READING_FLAGS = frozenset({
    "O_RDONLY", "O_DIRECTORY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_NOATIME", "O_PATH",
})  # fmt: skip

#: Writers that take a path *or* an open sink: dotted name -> position of that argument. They are
#: fine on a sink that came out of storage/, or that is memory.
WRITERS: dict[str, int] = {
    "pyarrow.parquet.write_table": 1,
    "pyarrow.parquet.ParquetWriter": 0,
    "pyarrow.parquet.write_metadata": 1,
    "pyarrow.parquet.write_to_dataset": 1,
    "pyarrow.dataset.write_dataset": 1,
    "pyarrow.feather.write_feather": 1,
    "pyarrow.csv.write_csv": 1,
    "pyarrow.csv.CSVWriter": 0,
    "pyarrow.ipc.new_file": 0,
    "pyarrow.ipc.new_stream": 0,
    "pyarrow.ipc.RecordBatchFileWriter": 0,
    "pyarrow.ipc.RecordBatchStreamWriter": 0,
    "pyarrow.orc.write_table": 1,
    "pyarrow.output_stream": 0,
    "pyarrow.CompressedOutputStream": 0,
}
#: The same as methods of frames, relations, charts and workbooks; without argument most
#: return text, which is fine.
WRITER_METHODS = frozenset({
    "to_csv", "to_parquet", "to_json", "to_excel", "to_pickle", "to_feather", "to_hdf", "to_orc",
    "to_html", "to_markdown", "to_stata", "to_xml", "to_latex",
    "write_csv", "write_parquet", "write_json", "write_ndjson", "write_ipc", "write_excel",
    "write_avro", "write_delta",
    "sink_csv", "sink_parquet", "sink_ndjson", "sink_ipc", "save", "save_as",
})  # fmt: skip
MEMORY = frozenset({"io.BytesIO", "io.StringIO", "pyarrow.BufferOutputStream"})
SINK_TYPES = re.compile(
    r"\b(IO|BinaryIO|TextIO|BytesIO|StringIO|RawIOBase|BufferedIOBase|BufferedWriter|NativeFile"
    r"|BufferOutputStream|\w*Sink)\b"
)
#: `Any` lets a path in as well; the brackets of `IO[bytes]` are taken off before looking.
PATH_TYPES = re.compile(r"\b(str|bytes|Path|PathLike|StrPath|Any|object)\b")
IO_BRACKETS = re.compile(r"IO\[\w+\]")
#: DuckDB and friends write files by statement.
SQL_COPY = re.compile(
    r"\b(COPY\b[\s\S]*\bTO\s+'|EXPORT\s+DATABASE|ATTACH\s+(DATABASE\s+)?')", re.IGNORECASE
)


def check_door(modules: Sequence[Module]) -> list[str]:
    """Find everything outside the door that could change the disk."""
    found = []
    for module in modules:
        if module.rel != DOOR:
            visitor = _Visitor(module)
            visitor.visit(module.tree)
            found.extend(visitor.found)
    return found


class _Visitor(ast.NodeVisitor):
    def __init__(self, module: Module) -> None:
        self.module = module
        self.found: list[str] = []
        self.names: dict[str, str] = {}
        self.scopes: list[ast.AST] = [module.tree]
        self.docs = _docstrings(module.tree)

    def report(self, node: ast.AST, what: str, why: str) -> None:
        line = getattr(node, "lineno", 1)
        self.found.append(self.module.at(line, f"{what} outside {DOOR} ({why})"))

    # ------------------------------------------------------------ names
    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            first = alias.name.split(".")[0]
            self.names[alias.asname or first] = alias.name if alias.asname else first
            self.judge_name(node, alias.name, imported=True)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = _absolute(node, self.module)
        for alias in node.names:
            if alias.name == "*":
                self.report(node, f"from {base} import *", "hides which names come in")
                continue
            self.names[alias.asname or alias.name] = f"{base}.{alias.name}"
            self.judge_name(node, f"{base}.{alias.name}", imported=True)

    def dotted(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Name):
            return self.names.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and (base := self.dotted(node.value)):
            return f"{base}.{node.attr}"
        return None

    def is_imported(self, node: ast.AST) -> bool:
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and node.id in self.names

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in self.names:
            self.judge_name(node, self.names[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self.dotted(node)
        if name and self.is_imported(node):
            self.judge_name(node, name)
        else:
            self.visit(node.value)

    def judge_name(self, node: ast.AST, name: str, *, imported: bool = False) -> None:
        allowed = EXCEPTIONS.get(self.module.rel, frozenset())
        for forbidden, why in FORBIDDEN.items():
            if name == forbidden or name.startswith(forbidden + "."):
                self.report(node, name, why)
                return
        for whole, (readers, why) in FORBIDDEN_MODULES.items():
            if whole in allowed or not (name == whole or name.startswith(whole + ".")):
                continue
            member = name.removeprefix(whole).strip(".")
            # `import shutil` alone changes nothing; handing the module on might.
            if member not in readers and not (imported and not member):
                self.report(node, name, why)

    # ------------------------------------------------------------ calls
    def visit_Call(self, node: ast.Call) -> None:
        name = self.dotted(node.func) or ""
        if name in OPENERS and (self.is_imported(node.func) or name == "open"):
            self.judge_mode(node, name, OPENERS[name])
        elif name == "os.open":
            self.judge_flags(node)
        elif name in WRITERS:
            self.judge_sink(node, name, WRITERS[name])
        elif name in {"getattr", "setattr"} and node.args:
            self.judge_getattr(node)
        elif isinstance(node.func, ast.Attribute) and not self.from_package(node.func):
            self.judge_method(node, node.func)
        self.generic_visit(node)

    def from_package(self, func: ast.Attribute) -> bool:
        """Tell whether a call like `door.unlink(p)` goes to a function of this package."""
        name = self.dotted(func) or ""
        return self.is_imported(func) and name.startswith(PACKAGE + ".")

    def judge_mode(self, node: ast.Call, name: str, position: int) -> None:
        mode = _argument(node, position, "mode")
        if mode is None:
            if name.startswith("io.FileIO") or not any(k.arg is None for k in node.keywords):
                return
            self.report(node, f"{name}(**...)", "the mode cannot be seen")
        elif not (isinstance(mode, ast.Constant) and isinstance(mode.value, str)):
            self.report(node, f"{name} with a computed mode", "the mode cannot be seen")
        elif set(mode.value) & set("wax+"):
            self.report(node, f"{name}({mode.value!r})", "opens for writing")

    def judge_flags(self, node: ast.Call) -> None:
        flags = _argument(node, 1, "flags")
        parts = [self.dotted(p) or "" for p in _or_parts(flags)] if flags is not None else [""]
        if any(p.removeprefix("os.") not in READING_FLAGS for p in parts):
            self.report(node, "os.open", "its flags are not plainly those of reading")

    def judge_sink(self, node: ast.Call, name: str, position: int) -> None:
        sink = _argument(
            node, position, "where", "sink", "output_file", "base_dir", "root_path", "dest"
        )
        if sink is None:
            self.report(node, name, "the sink cannot be seen")
        elif not self.is_sink(sink):
            self.report(node, name, "its target is not a sink that came through the door")

    def judge_getattr(self, node: ast.Call) -> None:
        base = self.dotted(node.args[0])
        if base in {"os", "shutil", "tempfile", "pathlib.Path"} and len(node.args) > 1:
            attr = node.args[1]
            value = attr.value if isinstance(attr, ast.Constant) else None
            if isinstance(value, str):
                self.judge_name(node, f"{base}.{value}")
            else:
                self.report(node, f"getattr({base}, ...)", "which function cannot be seen")

    def judge_method(self, node: ast.Call, func: ast.Attribute) -> None:
        attr = func.attr
        dotted = self.dotted(func) or ""
        if self.is_imported(func) and (
            dotted in FORBIDDEN or dotted.split(".")[0] in FORBIDDEN_MODULES
        ):
            return  # already judged by its full name
        plain = len(node.args) == 1 and not node.keywords
        if attr in METHODS:
            self.report(node, f".{attr}()", METHODS[attr])
        elif attr in ONE_ARGUMENT_METHODS and plain and not isinstance(node.args[0], ast.Starred):
            self.report(node, f".{attr}(target)", ONE_ARGUMENT_METHODS[attr])
        elif attr == "open" and not self.is_imported(func) and _looks_like_mode(node):
            self.judge_mode(node, ".open", 0)
        elif attr in WRITER_METHODS:
            target = _argument(node, 0, "path", "path_or_buf", "file_name", "fp", "target", "file")
            if target is not None and not self.is_sink(target):
                self.report(node, f".{attr}(target)", "its target is not a sink from the door")

    # ------------------------------------------------------------ sinks
    def is_sink(self, node: ast.expr) -> bool:
        """Tell whether an argument is memory, or was opened by storage/, as far as one can see."""
        if isinstance(node, ast.Call):
            return self.is_sink_value(node)
        if isinstance(node, ast.Constant):
            return node.value is None
        scopes: Sequence[ast.AST] = [
            s for s in reversed(self.scopes) if not isinstance(s, ast.ClassDef)
        ]
        if isinstance(node, ast.Attribute):
            # `self.sink` is what the whole class binds it to.
            scopes = [s for s in reversed(self.scopes) if isinstance(s, ast.ClassDef)][:1]
        elif not isinstance(node, ast.Name):
            return False
        # The innermost scope that binds it decides, and there every binding must be a sink.
        verdicts = next((v for s in scopes if (v := self.bindings(ast.unparse(node), s))), [])
        return bool(verdicts) and all(verdicts)

    def is_sink_value(self, node: ast.expr | None) -> bool:
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Attribute) and node.func.attr == "enter_context":
            return bool(node.args) and self.is_sink_value(node.args[0])
        name = self.dotted(node.func) or ""
        return name in MEMORY or (
            self.is_imported(node.func) and name.startswith(f"{PACKAGE}.storage.")
        )

    def bindings(self, name: str, scope: ast.AST) -> list[bool]:
        """Judge each place in a scope that binds a name or `self.name`; None binds nothing."""
        verdicts = []
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            every = [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]
            verdicts += [_names_a_sink(a.annotation) for a in every if a.arg == name]
        for inner in ast.walk(scope):
            if isinstance(inner, ast.Assign) and any(_is(t, name) for t in inner.targets):
                bound: ast.expr | None = inner.value
            elif isinstance(inner, ast.AnnAssign | ast.NamedExpr) and _is(inner.target, name):
                bound = inner.value
            elif isinstance(inner, ast.withitem) and _is(inner.optional_vars, name):
                bound = inner.context_expr
            else:
                continue
            if bound is not None and not (isinstance(bound, ast.Constant) and bound.value is None):
                verdicts.append(self.is_sink_value(bound))
        return verdicts

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scopes.append(node)
        self.generic_visit(node)
        self.scopes.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.scopes.append(node)
        self.generic_visit(node)
        self.scopes.pop()

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.scopes.append(node)
        self.generic_visit(node)
        self.scopes.pop()

    def visit_Constant(self, node: ast.Constant) -> None:
        if (
            isinstance(node.value, str)
            and id(node) not in self.docs
            and SQL_COPY.search(node.value)
        ):
            self.report(node, "SQL that writes a file", "DuckDB's COPY ... TO, EXPORT, ATTACH")


def _docstrings(tree: ast.Module) -> set[int]:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, holders) and node.body and isinstance(node.body[0], ast.Expr)
    }


def _argument(node: ast.Call, position: int, *names: str) -> ast.expr | None:
    if len(node.args) > position:
        return node.args[position]
    return next((k.value for k in node.keywords if k.arg in names), None)


def _looks_like_mode(node: ast.Call) -> bool:
    """Tell `path.open(mode)` from `view.open(path)`: by the word, or by the letters of a text."""
    first = _argument(node, 0, "mode")
    if isinstance(first, ast.Constant):
        return isinstance(first.value, str) and not set(first.value) - set("rwaxbtU+")
    by_keyword = bool(node.keywords) and any(k.arg in {"mode", None} for k in node.keywords)
    return by_keyword or (first is not None and "mode" in ast.unparse(first).lower())


def _or_parts(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _or_parts(node.left)
        yield from _or_parts(node.right)
    else:
        yield node


def _is(node: ast.AST | None, name: str) -> bool:
    return isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) == name


def _names_a_sink(annotation: ast.expr | None) -> bool:
    text = IO_BRACKETS.sub("IO", ast.unparse(annotation)) if annotation else ""
    return bool(SINK_TYPES.search(text)) and not PATH_TYPES.search(text)
