"""A headless Chromium that opens pages: what they look like, how wide they are, what they ask for and what they complain about.

It is spoken to over two pipes (`--remote-debugging-pipe`), so it opens no port.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.process import ServerFailed

DEADLINE_SECONDS = 60.0
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
            "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
            "--font-render-hinting=none", "--force-color-profile=srgb", "--remote-debugging-pipe", "about:blank")  # fmt: skip
_MOST_AT_ONCE = 65_536


@dataclass(slots=True)
class Seen:
    """A page as a browser of some width had it.

    Attributes:
        picture: PNG of what was asked for.
        content_width: how wide the page is, in CSS pixels: more than the window is to be scrolled.
        requests: the addresses that it asked for, beside its own.
        complaints: what stands in the console, errors of the page and refusals of its policy among it.
    """

    picture: bytes = b""
    content_width: int = 0
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def find_chromium() -> str | None:
    """Where a Chromium is, if one is installed."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Chromium:
    """A running one, with one window."""

    def __init__(self, to_it: int, from_it: int) -> None:
        self._to_it, self._from_it = to_it, from_it
        self._number, self._rest, self._events = 0, b"", list[dict[str, Any]]()
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self._ask(f"{domain}.enable", {})

    def look(self, path: Path, *, width: int, dark: bool = False, height: int | None = None) -> Seen:
        """The page in this file, in a window of this width; pictured whole, or its upper `height` pixels.

        Raises:
            ServerFailed: Chromium ended, or didn't answer for a minute.
        """
        self._events.clear()
        self._ask("Emulation.setDeviceMetricsOverride", {"width": width, "height": height or 900, "deviceScaleFactor": 1, "mobile": width < 600})
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", {"features": [scheme]})
        self._ask("Page.navigate", {"url": path.resolve().as_uri()})
        self._wait_for("Page.loadEventFired")
        sizes = self._ask("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": width, "height": height or sizes["height"], "scale": 1}
        shot = self._ask("Page.captureScreenshot", {"format": "png", "clip": clip, "captureBeyondViewport": True})
        seen = Seen(base64.b64decode(shot["data"]), int(sizes["width"]))
        for event in self._events:
            self._note(event, seen, path)
        return seen

    @staticmethod
    def _note(event: dict[str, Any], seen: Seen, path: Path) -> None:
        told = event.get("params", {})
        match event["method"]:
            case "Network.requestWillBeSent" if told["request"]["url"] != path.resolve().as_uri():
                seen.requests.append(told["request"]["url"])
            case "Log.entryAdded":
                seen.complaints.append(told["entry"]["text"])
            case "Runtime.exceptionThrown":
                seen.complaints.append(json.dumps(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                seen.complaints.append(json.dumps(told["args"]))

    def _ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._to_it, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                if "error" in told:
                    raise ServerFailed(f"chromium: {method}: {told['error']}")
                result: dict[str, Any] = told["result"]
                return result
            self._events.append(told)

    def _wait_for(self, method: str) -> None:
        while not any(event["method"] == method for event in self._events):
            self._events.append(self._next())

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while b"\0" not in self._rest:
            ready = select.select([self._from_it], [], [], max(0.0, deadline - time.monotonic()))[0]
            more = os.read(self._from_it, _MOST_AT_ONCE) if ready else b""
            if not more:
                raise ServerFailed("chromium: no answer" if not ready else "chromium: it ended")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        return told


@contextlib.contextmanager
def chromium(program: str) -> Iterator[Chromium]:
    """A Chromium with a profile of its own, which ends with the block.

    Raises:
        ServerFailed: it doesn't answer.
    """
    its_input, to_it = os.pipe()
    from_it, its_output = os.pipe()
    with tempfile.TemporaryDirectory(prefix="tollbook-chromium-", ignore_cleanup_errors=True) as profile:
        # It reads from 3 and writes to 4.
        start = ["/bin/sh", "-c", f'exec "$@" 3<&{its_input} 4>&{its_output}', "sh", program, f"--user-data-dir={profile}", *_OPTIONS]
        process = subprocess.Popen(
            start, pass_fds=(its_input, its_output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.close(its_input)
        os.close(its_output)
        try:
            yield Chromium(to_it, from_it)
        finally:
            os.close(to_it)
            os.close(from_it)
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """It ends by itself once its pipes are closed; if not, it and its children are killed."""
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait(10)
