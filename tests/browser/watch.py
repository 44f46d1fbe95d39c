"""What a page does that it must not do: errors, and requests off the loopback address."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Page

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
INSIDE = {"data", "blob", "about"}


@dataclass
class Watch:
    """What a page did that it must not do."""

    found: list[str] = field(default_factory=list)

    def on(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.found.append(f"page error: {error}"))
        page.on("request", lambda request: self.look(request.url))
        page.on("websocket", lambda ws: self.look(ws.url))

    def look(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in INSIDE and parts.hostname not in LOOPBACK:
            self.found.append(f"request off the loopback address: {url}")
