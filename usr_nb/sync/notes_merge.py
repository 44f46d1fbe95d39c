"""``meta.md`` of two copies: missing notes are appended, people's text is kept (LAY-7, SYN-4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: How the notes begin that a sync writes of itself; they stay where they are.
OWN_TITLES: Final = ("pulled from", "pushed to", "received by push")
_NOTE = re.compile(
    r"^- (?P<at>\d{4}-\d\d-\d\dT[0-9:.]+Z): (?P<title>[^\n]*)\n```bash\n(?P<command>.*?)\n?```\n?",
    re.MULTILINE | re.DOTALL,
)
#: Lines of the head that differ between copies without anybody having written anything.
_HEAD = re.compile(r"(?:created_at|source):|### Updates \(")


@dataclass(frozen=True)
class Note:
    """One update: its time, title and command, and its text as it stands in the file."""

    at: str
    title: str
    command: str
    text: str

    @property
    def is_own(self) -> bool:
        """Whether a sync wrote it of itself."""
        return self.title.startswith(OWN_TITLES)

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes two notes the same."""
        return self.at, self.title.strip(), self.command.strip()


@dataclass(frozen=True)
class NotesOutcome:
    """What becomes of the receiver's ``meta.md``.

    Attributes
    ----------
    append : bytes
        Notes to append; empty if there are none.
    content : bytes or None
        The whole new file, where the sender's text replaces the receiver's.
    beside : bool
        Whether the sender's file is to be kept beside: both changed the text.
    other_name : str or None
        The dataset that the sender's file names, if it is another one.
    """

    append: bytes = b""
    content: bytes | None = None
    beside: bool = False
    other_name: str | None = None


@dataclass(frozen=True)
class _Parsed:
    notes: tuple[Note, ...]
    text: tuple[str, ...]
    """The lines that are no notes, without blank ones."""
    name: str | None


def _parse(data: bytes) -> _Parsed:
    text = data.decode("utf-8", errors="surrogateescape").replace("\r\n", "\n")
    notes = tuple(Note(m["at"], m["title"], m["command"], m.group(0)) for m in _NOTE.finditer(text))
    lines = tuple(s.rstrip() for s in _NOTE.sub("", text).split("\n") if s.strip())
    key, sep, value = lines[0].partition(":") if lines else ("", "", "")
    return _Parsed(notes, lines, value.strip() if sep and key.strip() == "name" else None)


def parse_notes(data: bytes) -> list[dict[str, str]]:
    r"""Return the notes in a text as an intent lists them: ``at``, ``title``, ``command``.

    Examples
    --------
    >>> parse_notes(b"- 2026-01-02T03:04:05.000006Z: init\n```bash\nusr init x\n```\n")
    [{'at': '2026-01-02T03:04:05.000006Z', 'title': 'init', 'command': 'usr init x'}]
    """
    return [{"at": n.at, "title": n.title, "command": n.command} for n in _parse(data).notes]


def _joined(notes: Sequence[Note]) -> bytes:
    texts = (n.text if n.text.endswith("\n") else n.text + "\n" for n in notes)
    return "".join(texts).encode("utf-8", errors="surrogateescape")


def without_own_notes(data: bytes) -> bytes:
    """Return a ``meta.md`` without the notes that syncs wrote of themselves."""
    parsed = _parse(data)
    if not any(n.is_own for n in parsed.notes):
        return data
    text = data.decode("utf-8", errors="surrogateescape").replace("\r\n", "\n")
    kept = _NOTE.sub(lambda m: "" if m["title"].startswith(OWN_TITLES) else m.group(0), text)
    return kept.encode("utf-8", errors="surrogateescape")


def _lacking(notes: Sequence[Note], *, known: Sequence[Note], past: Sequence[Note]) -> list[Note]:
    seen = {n.identity for n in (*known, *past)}
    lacking = []
    for note in notes:
        if not note.is_own and note.identity not in seen:
            seen.add(note.identity)
            lacking.append(note)
    return lacking


def merge_notes(
    sender: bytes, receiver: bytes, common: bytes | None, *, allow_text: bool = True
) -> NotesOutcome:
    r"""Say what becomes of the receiver's ``meta.md``.

    Parameters
    ----------
    sender, receiver : bytes
        The two files.
    common : bytes or None
        The sender's file when both last met.
    allow_text : bool
        Whether the receiver's text may be replaced at all.

    Examples
    --------
    >>> note = b"- 2026-01-02T03:04:05.000006Z: init\n```bash\nusr init x\n```\n"
    >>> merge_notes(b"name: x\n" + note, b"name: x\n", None).append == note
    True
    >>> merge_notes(b"name: x\nnew text\n", b"name: x\n", b"name: x\n").content
    b'name: x\nnew text\n'
    """
    theirs, ours = _parse(sender), _parse(receiver)
    past = _parse(common) if common is not None else None
    if theirs.name and ours.name and theirs.name != ours.name:
        return NotesOutcome(other_name=theirs.name)
    # A note that both had and that is gone here was taken away by somebody on purpose.
    lacking = _lacking(theirs.notes, known=ours.notes, past=past.notes if past else ())
    appended = _joined(lacking)
    if theirs.text == ours.text or (past is not None and theirs.text == past.text):
        return NotesOutcome(append=appended)
    if past is not None and ours.text == past.text and allow_text:
        known = {n.identity for n in theirs.notes if not n.is_own}
        kept = [n for n in ours.notes if n.identity not in known]
        body = without_own_notes(sender)
        end = b"" if body.endswith(b"\n") or not body else b"\n"
        return NotesOutcome(content=body + end + _joined(kept))
    if past is None:
        new = set(theirs.text) - set(ours.text)
        return NotesOutcome(append=appended, beside=any(not _HEAD.match(line) for line in new))
    return NotesOutcome(append=appended, beside=True)
