"""What a kernel does in the middle of a write when a test wants to see it: hold still, or die."""

from __future__ import annotations

import os
import signal

from usr_nb.contract.progress import Progress
from usr_nb.storage import slots
from usr_nb.widgets.jobs import Job

_TELL = Job._tell
_FINISH = slots._finish


def arm(fault: str, env: dict[str, str] | None = None) -> None:
    """Set a fault of this process, and its environment.

    ``hold``: once it writes, wait to be cancelled; ``kill before``: die while it writes, before the
    commit; ``kill after``: die right after the commit, before anything is installed or told.
    """
    os.environ.update(env or {})

    def tell(job: Job, progress: Progress) -> None:
        _TELL(job, progress)
        if progress.stage == "writing" or progress.unit == "bytes":
            if fault == "hold":
                job._stop.wait(30)
            elif fault == "kill before":
                os.kill(os.getpid(), signal.SIGKILL)

    Job._tell = tell  # type: ignore[method-assign]

    def finish(stage: slots.Stage) -> None:
        if fault == "kill after" and stage.intent.action != "register":
            os.kill(os.getpid(), signal.SIGKILL)
        _FINISH(stage)

    slots._finish = finish
