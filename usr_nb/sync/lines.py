"""Lines of two event logs: which of the sender's the receiver lacks (contract SYN-4, EVT-5).

Lines are only ever appended, byte for byte as the sender has them and in its order, so that an
offset into the receiver's log stays valid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from usr_nb.contract.events import decode_event, operation_of

#: What a sync says of itself stays on the side that it changed, and never counts as a change.
OWN_ACTIONS: Final = frozenset({"pull", "push", "pull_file", "push_file"})


@dataclass(frozen=True)
class Line:
    """One complete line of a log.

    Attributes
    ----------
    raw : bytes
        The line with its newline.
    identity : str
        Operation id and action, else the digest of the stripped line.
    event : dict or None
        None for a torn fragment or foreign text.
    """

    raw: bytes
    identity: str
    event: dict[str, Any] | None

    @property
    def travels(self) -> bool:
        """Whether the line may be appended to another copy's log."""
        return self.event is not None and self.event.get("action") not in OWN_ACTIONS


def read_log(data: bytes) -> tuple[Line, ...]:
    r"""Return the complete, non-blank lines of a log; an incomplete last line is left out.

    Examples
    --------
    >>> [l.travels for l in read_log(b'{"action":"init"}\nfragm\n{"action":"pull"}\n{"act')]
    [True, False, False]
    """
    return tuple(_lines(data))


def _lines(data: bytes) -> Iterator[Line]:
    for raw in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]:
        bare = raw.strip()
        if not bare:
            continue
        event = decode_event(raw)
        named = operation_of(event) if event is not None else None
        identity = "\0".join(named) if named is not None else hashlib.sha256(bare).hexdigest()
        yield Line(raw + b"\n", identity, event)


def missing_lines(sender: Sequence[Line], receiver: Sequence[Line]) -> tuple[Line, ...]:
    r"""Return the lines that the receiver lacks, in the sender's order, each once.

    Examples
    --------
    >>> here, there = read_log(b'{"action":"a"}\n'), read_log(b'{"action":"b"}\n{"action":"a"}\n')
    >>> [l.raw for l in missing_lines(there, here)]
    [b'{"action":"b"}\n']
    """
    known = {line.identity for line in receiver}
    missing = []
    for line in sender:
        if line.travels and line.identity not in known:
            known.add(line.identity)
            missing.append(line)
    return tuple(missing)
