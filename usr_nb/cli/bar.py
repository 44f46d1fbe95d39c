"""The progress bar of long work: there after half a second, gone at the end.

rich, which draws it, is loaded only when it appears: by the timer's thread, beside the work.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from usr_nb.cli import lazy
from usr_nb.contract.progress import Progress, reporting

DELAY_S: Final = 0.5


class Bar:
    """Listen to the library's progress, and show it on standard error once the work is long.

    Parameters
    ----------
    what : str
        What is being done, for example ``importing``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._last: Progress | None = None
        self._meter: Any = None
        self._held = self._over = False
        self._listening = ExitStack()

    def tell(self, progress: Progress) -> None:
        """Take in a report; it is drawn if the bar is there."""
        with self._lock:
            self._last = progress
            if self._meter is not None:
                self._meter.update(progress)
            elif self._held:
                self._held = False
                self._start()

    def hold(self) -> None:
        """Wipe the bar off for a question; it may come back after the next report."""
        with self._lock:
            self._timer.cancel()
            self._held = True
            if self._meter is not None:
                self._meter.stop()
                self._meter = None

    def _start(self) -> None:
        self._timer = threading.Timer(DELAY_S, self._appear)
        self._timer.daemon = True
        self._timer.start()

    def _appear(self) -> None:
        make = lazy.load("meter", "Meter")
        with self._lock:
            if self._over or self._held:
                return
            self._meter = make(self._what)
            if self._last is not None:
                self._meter.update(self._last)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._listening.enter_context(reporting(self.tell))
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wipe the bar off, also after Ctrl-C."""
        self._timer.cancel()
        self._listening.close()
        with self._lock:
            self._over = True
            if self._meter is not None:
                self._meter.stop()
