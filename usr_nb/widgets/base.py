"""What all panels share: requests in, replies out, a summary for a page without a kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import pyarrow as pa
import traitlets

from usr_nb.errors import SequencesError
from usr_nb.widgets.messages import (
    Answer,
    Args,
    Operations,
    error_reply,
    notice,
    parse_request,
    reply,
)

STATIC = Path(__file__).parent / "static"


def front_end(name: str) -> tuple[str, str]:
    """Return the bundled script and style sheet of a widget, as text.

    Text and not paths: of a path anywidget would watch the file in a development setup.
    """
    script = (STATIC / f"{name}.js").read_text("utf-8")
    return script, (STATIC / f"{name}.css").read_text("utf-8")


class Panel(anywidget.AnyWidget):
    """A view over library objects. It reads in its message handler and writes nothing.

    Subclasses set ``_esm`` and ``_css``, list their ``operations``, and have a method ``on_<op>``
    for each, which is given the checked arguments and returns an :class:`Answer`.

    Attributes
    ----------
    summary : str
        Plain text that stands where no kernel answers: a saved page, a static export.
    """

    operations: ClassVar[Operations] = {}
    summary = traitlets.Unicode().tag(sync=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _repr_mimebundle_(self, **kwargs: dict[Any, Any]) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if isinstance(bundle, tuple):
            # What a page without widgets shows, GitHub for one.
            bundle[0]["text/plain"] = self.summary or repr(self)
        return bundle

    def _receive(self, _widget: object, content: object, _buffers: object) -> None:
        message, buffers = self.answer(content)
        self.send(message, list(buffers))

    def answer(self, content: object) -> tuple[dict[str, Any], tuple[bytes, ...]]:
        """Return the reply to a message, and its buffers. Bad input gives an error reply."""
        try:
            request = parse_request(content, self.operations)
            handler: Callable[[Args], Answer] = getattr(self, f"on_{request.op}")
            made = handler(request.args)
        except SequencesError as error:
            return error_reply(content, error), ()
        except OSError as error:
            # The disk may fail at any moment; the panel says so and stays.
            return error_reply(content, SequencesError(f"The files cannot be read: {error}")), ()
        return reply(request, made), made.buffers

    def tell_changed(self, **data: Any) -> None:
        """Tell the front end that what it shows is out of date."""
        self.send(notice("changed", **data))


def arrow_bytes(table: pa.Table, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return a table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    schema = table.schema.with_metadata(dict(metadata or {}))
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table.cast(schema))
    return bytes(sink.getvalue())
