"""The panel *attach*: the dry run is the screen; nothing is written before it is confirmed."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import PurePath
from typing import Any, ClassVar, Final
from weakref import finalize

from usr_nb.contract.names import STATE_NS
from usr_nb.contract.registry import Registry
from usr_nb.contract.types import parse_type
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.plans.attach import AttachPlan
from usr_nb.dataset.values import plain
from usr_nb.errors import NamespaceError, SequencesError, ValidationError
from usr_nb.overlay.attach import AGGREGATES
from usr_nb.overlay.parts import KEYS
from usr_nb.readers import open_rows
from usr_nb.storage import door
from usr_nb.storage.registryfile import load_or_none
from usr_nb.widgets.base import front_end
from usr_nb.widgets.messages import (
    COLUMNS,
    UPLOAD_BYTES,
    UPLOAD_PIECE,
    Answer,
    Args,
    Choice,
    Flag,
    Kind,
    Operations,
    Records,
    Text,
    Whole,
)
from usr_nb.widgets.writing import WRITING, WritingPanel, as_answer

_ROWS: Final = 10
SOURCE: Final[dict[str, Kind]] = {
    "kind": Choice(("path", "upload", "frame")), "source": Text(most=4096),
}  # fmt: skip
PLAN: Final[dict[str, Kind]] = {
    **SOURCE,
    "namespace": Text(most=200),
    "key": Choice(("", *KEYS), default=""),
    "key_col": Text(most=1000, default=""),
    "match": Text(most=1000, default=""),
    "aggregate": Choice(("", *AGGREGATES), default=""),
    "columns": Records(
        {"source": Text(most=1000), "name": Text(most=1000), "type": Text(most=1000),
         "take": Flag()},
        most=COLUMNS, default=[],
    ),
    "register": Flag(default=True),
    "overwrite": Flag(default=False),
    "missing": Flag(default=False),
    "note": Text(default=""),
}  # fmt: skip


class AttachPanel(WritingPanel):
    """Attaching a file or a table to a dataset, looked at first.

    Parameters
    ----------
    ds : Dataset
        The dataset.
    source : path or table, optional
        What is offered at first; a table is called ``table``.
    namespace : str, optional
        What is offered at first.
    frames : mapping of str to table, optional
        Tables of the kernel that can be chosen.
    """

    _esm, _css = front_end("attach")
    operations: ClassVar[Operations] = {
        **WRITING,
        "place": {},
        "plan": PLAN,
        "upload": {"name": Text(most=255), "at": Whole(high=UPLOAD_BYTES),
                   "piece": Text(most=2 * UPLOAD_PIECE), "last": Flag()},
    }  # fmt: skip

    def __init__(
        self,
        ds: Dataset,
        *,
        source: Any = None,
        namespace: str = "",
        frames: Mapping[str, Any] | None = None,
    ) -> None:
        self._frames = dict(frames or {})
        self._begin = {"kind": "path", "source": "", "namespace": namespace}
        if source is not None and not isinstance(source, str | PurePath):
            self._frames = {"table": source, **self._frames}
            self._begin |= {"kind": "frame", "source": "table"}
        elif source is not None:
            self._begin["source"] = str(source)
        self._uploaded: tuple[str, bytearray] = ("", bytearray())
        self._file: str | None = None
        self._kept = ExitStack()
        super().__init__(ds, summary=f"{ds.name}: attach columns of a file or a table")
        finalize(self, self._kept.close)

    # Operations -------------------------------------------------------------------------------

    def on_place(self, _args: Args) -> Answer:
        """Say what there is to choose from."""
        registry = load_or_none(self._ds.root) or Registry()
        spaces = [
            {"name": ns, "description": e.description or "", "columns": len(e.columns)}
            for ns, e in registry.items()
            if ns != STATE_NS
        ]
        return Answer({
            "dataset": self._ds.name, "root": str(self._ds.root), "namespaces": spaces,
            "frames": list(self._frames), "keys": list(KEYS), "aggregates": list(AGGREGATES),
            **self._begin,
        })  # fmt: skip

    def on_upload(self, args: Args) -> Answer:
        """Take the next piece of a file; with the last one it can be planned."""
        name = PurePath(args["name"].replace("\\", "/")).name or "upload"
        if args["at"] == 0:
            self._uploaded = (name, bytearray())
        known, data = self._uploaded
        if known != name or args["at"] != len(data):
            raise ValidationError(f"The pieces of {name} came out of order", hint="Try again.")
        try:
            data += base64.b64decode(args["piece"], validate=True)
        except (ValueError, binascii.Error):
            raise ValidationError(f"A piece of {name} is damaged", hint="Try again.") from None
        if len(data) > UPLOAD_BYTES:
            self._uploaded = ("", bytearray())
            raise ValidationError(
                f"{name} is larger than {UPLOAD_BYTES:,} bytes",
                hint="Put it where the kernel can read it, and give its path.",
            )
        if args["last"]:
            self._keep(name, bytes(data))
            self._uploaded = ("", bytearray())
        return Answer({"name": name, "bytes": len(data)})

    def _keep(self, name: str, data: bytes) -> None:
        self._kept.close()
        folder = self._kept.enter_context(door.temporary_folder())
        # Its suffix says what it is; nothing else of the name becomes a path.
        path = folder / ("upload" + "".join(PurePath(name).suffixes[-2:])[:20])
        with door.new_file(path) as sink:
            sink.write(data)
        self._file = str(path)

    def on_plan(self, args: Args) -> Answer:
        """Plan what is asked for, and say all there is to say about it."""

        def make() -> dict[str, Any]:
            plan, python = self._planned(args)
            return self.propose(plan, python) | shown(plan)

        self._plan = None
        answer = as_answer(make)
        if answer["plan"] is None:
            answer["columns"] = self._columns(args)
        return Answer(answer)

    def _source(self, args: Args) -> tuple[Any, str | None]:
        kind, source = args["kind"], args["source"]
        if kind == "frame":
            if source not in self._frames:
                raise ValidationError(f"No table is called {source[:40]!r}")
            return self._frames[source], None
        if kind == "upload":
            if self._file is None:
                raise ValidationError("No file was given yet", hint="Choose one.")
            return self._file, source or "upload"
        if not source.strip():
            raise ValidationError("No file was named yet", hint="Give a path, or choose a file.")
        return source.strip(), None

    def _planned(self, args: Args) -> tuple[AttachPlan, str]:
        source, name = self._source(args)
        if not args["namespace"].strip():
            raise NamespaceError("No namespace was given yet", hint="Such as the tool's name.")
        chosen: dict[str, Any] = {}
        rows = args["columns"]
        if rows:
            taken = [c for c in rows if c["take"]]
            chosen["columns"] = [c["source"] for c in taken]
            renamed = {c["source"]: c["name"] for c in taken if c["name"] != c["source"]}
            chosen["rename"] = renamed or None
            types = {c["source"]: c["type"] for c in taken if c["type"]}
            for text in types.values():
                parse_type(text)
            chosen["types"] = types or None
        else:
            names = open_rows(source).schema.names
            chosen["rename"] = {n: c for n in names if (c := clean_field(n)) != n} or None
        for field in ("key", "key_col", "match", "aggregate"):
            chosen[field] = args[field] or None
        chosen |= {"register": args["register"], "allow_overwrite": args["overwrite"],
                   "allow_missing": args["missing"], "note": args["note"]}  # fmt: skip
        plan = self._ds.plan_attach(source, args["namespace"].strip(), name=name, **chosen)
        said = source if args["kind"] == "path" else args["source"]
        return plan, _python(plan, said, chosen, is_path=args["kind"] != "frame")

    def _columns(self, args: Args) -> list[str]:
        """Return what the source has, where there is no plan yet."""
        try:
            return list(open_rows(self._source(args)[0]).schema.names)
        except SequencesError:
            return []


def clean_field(name: str) -> str:
    """Return a name that a column may have, made of one from a spreadsheet; others stay.

    Examples
    --------
    >>> clean_field("LLR (nats)"), clean_field("evo2__llr"), clean_field("Note ")
    ('LLR_nats', 'evo2__llr', 'Note')
    """
    kept = re.sub(r"[^A-Za-z0-9_.-]+", "_", name.strip())
    return name if kept == name else kept.strip("_.-") or name


def shown(plan: AttachPlan) -> dict[str, Any]:
    """Return what the panel shows of a plan, beside what it shows of every plan."""
    return {
        "source": plan.source, "format": plan.format, "namespace": plan.namespace,
        "key": plan.key, "key_col": plan.key_col, "match": plan.match or "",
        "columns": [asdict(c) for c in plan.columns],
        "incoming": plan.incoming, "matched": plan.matched, "missing": plan.missing,
        "new": plan.new, "overwritten": plan.overwritten, "unset": plan.unset,
        "choices": [asdict(c) | {"label": c.label, "rate": c.rate} for c in plan.choices[:_ROWS]],
        "unmatched": [asdict(u) for u in plan.unmatched[:_ROWS]],
        "misses": [asdict(m) for m in plan.misses[:_ROWS]],
        "repeats": [{"key": r.key, "count": r.count, "rows": list(r.rows)} for r in plan.repeats],
        "bad_cells": [asdict(b) for b in plan.bad_cells[: 2 * _ROWS]],
        "overwrites": [
            {"id": o.id, "column": o.column, "before": _short(o.before), "after": _short(o.after)}
            for o in plan.overwrites
        ],
        "registers": [{"name": c.name, "type": c.type} for c in plan.registers],
        "new_namespace": plan.new_namespace,
    }  # fmt: skip


def _short(value: Any) -> Any:
    ready = plain(value)
    if isinstance(ready, list | dict):
        text = str(ready)
        return text if len(text) <= 60 else f"{text[:57]}…"
    return ready[:60] if isinstance(ready, str) else ready


def _python(plan: AttachPlan, source: str, chosen: Mapping[str, Any], *, is_path: bool) -> str:
    said = [repr(source) if is_path else source, repr(plan.namespace)]
    given: dict[str, Any] = {"key": None if plan.match else plan.key, "key_col": plan.key_col}
    given |= {k: v for k, v in chosen.items() if k not in given}
    renamed = chosen.get("rename") or {}
    given["rename"] = {k: v for k, v in renamed.items() if k != plan.key_col}
    given["match"] = plan.match
    said += [f"{k}={v!r}" for k, v in given.items() if v]
    return f"ds.plan_attach({', '.join(said)}).apply()"
