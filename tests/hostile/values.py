"""What nobody means well by, by the kind of thing that it is given as."""

from __future__ import annotations

from typing import Final

LONG: Final = "A" * 5000
#: Names of datasets: everything that is no plain id. `{victim}` is a folder beside the root.
ID: Final = (
    "../..", "../victim", "{victim}", "a/../../victim", "/", "/etc", "-rf", "--", "", " ", ".",
    "..", "./.",
    "a//b", "a/b/c", "a/", "a\nb", "a\0b", "a\rb", "a b", "*", "a?", "[a]", "a'b", 'a"b', "a;b",
    "$(id)", "`id`",
    "~root/x", "~no-such-user", "é", "\u202egpj", "\udcff", "x\x1b[2J", "archived/x", "a.parquet",
    "_archive/x",
    "_txn", ".hidden", "densegen/.usr.lock", "densegen/demo/_derived", "con\\x", "a%00b", LONG,
)  # fmt: skip
NAMESPACE: Final = (
    "../..", "../../victim", "{victim}", "/etc", "-x", "", " ", ".", "..", "a/b", "a\nb", "a\0b",
    "*", "[a]", "a'b",
    'a"; DROP TABLE x; --', "$(id)", "~", "é", "\udcff", "x\x1b[2J", "usr", "Usr", "a__b", "_a",
    "1a", "usr_state ",
    "_archived", "quickstart/../..", LONG,
)  # fmt: skip
COLUMN: Final = (
    "../..", "", "a\0b", "a\nb", 'n"; DROP TABLE x; --', "n' OR '1'='1", "*", "\udcff",
    "usr__deleted_at ", "__",
    "quickstart__", "quickstart__\0", "sequence;", "x\x1b[2J", "-n", LONG,
)  # fmt: skip
SPEC: Final = (
    "", ":", "x", "x:", ":int8", "x:int8,", "x:int8,x:int8", "usr__x:int8", "../..:int8",
    "x\0:int8", "x\ny:int8",
    "x:list<" * 500, "x:" + "list<" * 15 + "int8" + ">" * 14,
    "x:fixed_size_list<int8>[999999999999]", "x:object",
    "x:struct<>", "x:struct<a:int8,a:int8>", "x:timestamp[us, Europe/Berlin]", "id:string",
    "\udcff:int8",
    "-x'\";:int8", LONG,
)  # fmt: skip
#: Names of snapshots.
NAME: Final = (
    "../x", "a/b", "{victim}/x", "", ".", "..", "-x", "a\0b", "a\nb", "*", "é", "\udcff",
    "x-auto", "x.parquet", LONG,
)  # fmt: skip
IDS: Final = (
    "", " ", "zzzzzzz", "../..", "a\0b", "a\nb", "*", "%", "0" * 39, "0" * 41, "0" * 40, "é" * 40,
    "\udcff" * 8,
    "' OR 1=1 --", "-rf", LONG,
)  # fmt: skip
#: Files to read. `{fifo}` has no writer, `{folder}` is a folder, `{loop}` a link to itself.
PATH: Final = (
    "", "nowhere.csv", "{folder}", "{fifo}", "{loop}", "/dev/zero", "a\0b.csv", "\udcff.csv",
    "~no-such-user/x.csv",
    "{victim}/keep.txt/x.csv", "*.csv", LONG + ".csv", "x\n.csv", "/proc/self/mem",
)  # fmt: skip
#: Files to write: places that are another's.
OUT: Final = (
    "", "{folder}", "{fifo}", "nowhere/x.csv", "a\0b.csv", LONG + ".csv",
    "{victim}/keep.txt/x.csv", "{loop}/x.csv",
    "{dataset}/records.parquet", "{dataset}/meta.md", "{dataset}/.events.log",
    "{dataset}/_derived/x.csv",
    "{dataset}/_txn/x", "{root}/registry.yaml",
    "{dataset}/_derived/quickstart/../../records.parquet",
    "{dataset}/_snapshots/x.csv", "{dataset}/_registry/x.csv", "{dataset}/.usr.lock",
)  # fmt: skip
ROOT: Final = (
    "",
    "a\0b",
    "{fifo}",
    "{victim}/keep.txt",
    "{loop}",
    LONG,
    "/proc/1/root/nowhere",
    "\udcff\n",
)
PATTERN: Final = (
    "", "(", "[", "*", "a{1001}", "(a{1000}){1000}", "((((((a{10}){10}){10}){10}){10}){10})",
    r"(?=x)", r"\1",
    "\udcff", "\0", "(a+)+$", "(a|a)*b", "(.*)*" * 50, "(" * 5000, "\\", "(?P<n>x", r"\p{Nope}",
                                                                           "a" * 20_000,
    r"(?i)(x?){500}y",
)  # fmt: skip
GLOB: Final = (
    "", "/etc/*", "../*", "../../**", "**/../../*", "[", "[!", "\0", "\udcff", "{victim}/*",
    "~/*", LONG, "*" * 300,
    "**/" * 60 + "x",
)  # fmt: skip
#: Words of a closed list.
WORD: Final = ("", "../..", "csv\0", "CSV ", "nonesuch", "é", "\udcff", "-x", "error;ignore", LONG)
NUMBER: Final = ("", "x", "-1", "1e3", "nan", "0x10", "9" * 30, "٣", "\udcff", "1;2")
#: Text that may be anything: it must be stored and shown as text, and tear nothing open.
FREE: Final = (
    "", "../..", "a\nname: evil\nb", "```\n- x", "\u202egpj\u2066", "\udcff", "x\x1b[2J", "=1+1",
    "'; DROP TABLE x; --",
    '"}\n{"action":"init"}', "-rf", "\u2028\x85\x0b", LONG,
)  # fmt: skip

#: Hosts, accounts and remotes: what ends up on a command line of ssh.
HOST: Final = (
    "", "-oProxyCommand=id", "--", "a b", "a\nb", "a\0b", "a;id", "$(id)", "`id`", "user@host",
    "a/b",
    "é", "\udcff", "x\x1b[2J", "*", "'", '"', "~", LONG,
)  # fmt: skip
#: Folders on another machine.
FAR: Final = ("-rf", "a\nb", "a\0b", "x\x1b[2J", "\udcff", LONG)

#: Filters and other little languages.
FILTER: Final = (
    "", "(", ")", "x", "x >", "and", "not " * 500 + "x", "(" * 3000, "x > 1 and " * 500,
    "x > 1e999",
    "x == 'a\0b'", "'; DROP TABLE x; --", "__import__('os').system('id')", "x.__class__",
    "\udcff > 1",
    "sequence ~ '(a+)+$'", "sequence ~ '('", '{"a": ' * 500, "[" * 3000, "NaN", "é > 1",
    "1 == 1; x", LONG,
)  # fmt: skip

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "ID": ID, "NAMESPACE": NAMESPACE, "COLUMN": COLUMN, "SPEC": SPEC, "NAME": NAME, "IDS": IDS,
    "PATH": PATH,
    "OUT": OUT, "ROOT": ROOT, "PATTERN": PATTERN, "GLOB": GLOB, "WORD": WORD, "NUMBER": NUMBER,
    "FREE": FREE,
    "HOST": HOST, "FILTER": FILTER, "FAR": FAR,
}  # fmt: skip
#: Kinds of which some values are fine after all; nothing outside the root may change even so.
MAY_SUCCEED: Final = frozenset({"FILTER", "FREE", "PATTERN", "GLOB", "ROOT", "NUMBER"})
