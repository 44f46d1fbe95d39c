"""The event log for tools that follow a dataset (contract EVT).

>>> from usr_nb.events import LogReader, read_events
"""

from __future__ import annotations

from usr_nb.contract.events import USR_EVENT_VERSION
from usr_nb.storage.eventlog import read_events
from usr_nb.storage.follow import LogReader

__all__ = ["USR_EVENT_VERSION", "LogReader", "read_events"]
