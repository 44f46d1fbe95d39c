"""Readers turn any source into one stream of Arrow record batches.

They know nothing of datasets, write nothing and check no biology.
"""

from usr_nb.readers.rows import FORMATS, Format, Rows, renamed
from usr_nb.readers.source import guess_format, open_rows

__all__ = ["FORMATS", "Format", "Rows", "guess_format", "open_rows", "renamed"]
