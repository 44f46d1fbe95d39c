"""One write at a time, in a thread of its own: how far it is, how it ended, how it is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, Literal, Self, TypeVar

from usr_nb.contract.progress import Progress
from usr_nb.dataset.plans.plan import Plan, Receipt
from usr_nb.errors import SequencesError, UserAbort

State = Literal["running", "done", "failed", "cancelled"]
T = TypeVar("T")


class Task(Generic[T]):
    """Something that is looked up in a thread and writes nothing.

    Attributes
    ----------
    result : object or None
        What came out, once it is there.
    error : SequencesError or None
        Why nothing did.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.result: T | None = None
        self.error: SequencesError | None = None
        self._thread = threading.Thread(target=self._run, name="usr-nb-look", daemon=True)

    def start(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it has ended."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self.result = self._work()
        except SequencesError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            self.error = SequencesError(f"{type(error).__name__}: {error}")


class Job:
    """A plan being applied, or one that was.

    Attributes
    ----------
    plan : Plan
    state : {"running", "done", "failed", "cancelled"}
    progress : Progress or None
        The last report.
    receipt : Receipt or None
        What was done.
    error : SequencesError or None
        Why nothing was.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state: State = "running"
        self.progress: Progress | None = None
        self.receipt: Receipt | None = None
        self.error: SequencesError | None = None
        self._stop = threading.Event()
        # A kernel that ends need not wait: the commit protocol outlives a kill.
        self._thread = threading.Thread(target=self._run, name="usr-nb-write", daemon=True)

    def start(self) -> Job:
        """Begin."""
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask it to stop; it does, unless it has committed."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it has ended."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self.receipt = self.plan.apply(progress=self._tell, cancel=self._stop.is_set)
        except UserAbort as error:
            self.error, self.state = error, "cancelled"
        except SequencesError as error:
            self.error, self.state = error, "failed"
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            message = f"{type(error).__name__}: {error}"
            self.error, self.state = SequencesError(message), "failed"
        else:
            self.state = "done"

    def _tell(self, progress: Progress) -> None:
        self.progress = progress

    def as_dict(self) -> dict[str, Any]:
        """Return where it stands, as it goes over the wire."""
        p, e = self.progress, self.error
        return {
            "state": self.state,
            "token": self.plan.token,
            "button": self.plan.button,
            "progress": None if p is None else
            {"stage": p.stage, "done": p.done, "total": p.total, "unit": p.unit},
            "receipt": None if self.receipt is None else _told(self.receipt),
            "error": None if e is None else
            {"type": type(e).__name__, "message": e.message, "hint": e.hint or ""},
        }  # fmt: skip


def _told(receipt: Receipt) -> dict[str, Any]:
    return {
        "summary": receipt.summary(), "operation_id": receipt.operation_id,
        "files": list(receipt.files)[:20], "retired": list(receipt.retired)[:20],
        "counts": dict(receipt.counts),
    }  # fmt: skip
