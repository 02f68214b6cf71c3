"""A page in headless Chromium that is used as by a person: moved, clicked, painted on, saved from.

Chromium's DevTools protocol over two pipes (`--remote-debugging-pipe`), which needs no port and no
library: JSON messages with a zero byte after each.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browsing import BROWSER

PATIENCE = 60.0  # seconds for an answer


class Page:
    """A tab, driven from here."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._buffer, self._count, self._session = b"", 0, None
        self.faults: list[str] = []  # exceptions, errors of the console, breaches of the policy

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; its result."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def open(self, url: str) -> None:
        """Open the tab at an address, and wait until it is loaded."""
        made = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=made, flatten=True)["sessionId"]
        for part in ("Runtime", "Page", "Log"):
            self.call(f"{part}.enable")
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def look(self, script: str) -> Any:
        """The value of a script's expression, or of what it promises."""
        wish = {"returnByValue": True, "awaitPromise": True}
        done = self.call("Runtime.evaluate", expression=script, **wish)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.look(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        self.drag(selector, [(0.5, 0.5)])

    def drag(self, selector: str, way: Sequence[tuple[float, float]]) -> None:
        """Press the mouse at the first place of an element (in shares of its sides), move, lift."""
        script = (
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect();"
            "return [r.left, r.top, r.width, r.height]; })()"
        )
        left, top, width, height = self.look(script)
        places = [{"x": left + x * width, "y": top + y * height} for x, y in way]
        kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 1), "mouseReleased"]
        for kind, place in zip(kinds, [*places, places[-1]], strict=True):
            held = {"button": "left", "buttons": 1, "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **place, **held)

    def dark(self, on: bool) -> None:
        """Prefer a dark page, or a light one."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def _next(self) -> Mapping[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reading], [], [], PATIENCE)
            assert ready, "chromium does not answer"
            piece = os.read(self._reading, 1 << 16)
            assert piece, "chromium has ended"
            self._buffer += piece
        first, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(first)
        about = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.faults.append(str(about["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.faults.append(about["entry"]["text"])
        return message


@contextmanager
def page(url: str, folder: Path, width: int = 1200, height: int = 900) -> Iterator[Page]:
    """A tab at `url`; what it downloads comes to `folder`/downloads."""
    from_here, to_there = os.pipe()
    from_there, to_here = os.pipe()
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    words += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{height}"]
    assert BROWSER
    ends = f"3<&{from_here} 4>&{to_here}"  # where chromium looks for them
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$0" "$@" {ends}', BROWSER, *words],
        pass_fds=(from_here, to_here),
        stderr=subprocess.DEVNULL,
    )
    os.close(from_here)
    os.close(to_here)
    try:
        tab = Page(from_there, to_there)
        place = str(folder / "downloads")
        tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=place)
        tab.open(url)
        yield tab
    finally:
        process.kill()
        process.wait()
        os.close(to_there)
        os.close(from_there)
