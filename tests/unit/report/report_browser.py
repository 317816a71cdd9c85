# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page in a headless Chromium, asked through its DevTools protocol. No host but this one is ever looked up."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import typing as t
import urllib.request
import zlib

import websockets.sync.client

PROGRAM = shutil.which("chromium")
#: seconds that the browser may take to begin, and to answer
PATIENCE = 60.0
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-port=0",
)


class Tab:
    """The one tab of a browser."""

    def __init__(self, socket: websockets.sync.client.ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.events: list[dict[str, t.Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: t.Any) -> dict[str, t.Any]:
        """Send a command and return its result; what happens meanwhile is kept in ``events``."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return t.cast("dict[str, t.Any]", message["result"])
            self.events.append(message)

    def wait_for(self, method: str) -> None:
        """Until an event of this name has come."""
        while not self.named(method):
            self.events.append(json.loads(self._socket.recv(timeout=PATIENCE)))

    def named(self, *methods: str) -> list[dict[str, t.Any]]:
        """What came with events of these names."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def open(self, page: pathlib.Path, *, scheme: str, width: int, height: int) -> None:
        """Show a page as somebody sees it who likes it light or dark, in a window of this size."""
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.do("Page.navigate", url=page.as_uri())
        self.wait_for("Page.loadEventFired")

    def ask(self, expression: str) -> t.Any:
        """The value of an expression of JavaScript."""
        answer = self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def point_at(self, x: float, y: float) -> None:
        """Move the mouse there."""
        self.do("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def complaints(self) -> list[str]:
        """What the page asked for beyond itself, and what the browser had to say about it."""
        asked = [one["request"]["url"] for one in self.named("Network.requestWillBeSent")][1:]
        return [*asked, *(json.dumps(one) for one in self.named("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"))]

    def picture(self, file: pathlib.Path) -> Picture:
        """Keep what is seen as a PNG and return it."""
        data = base64.b64decode(self.do("Page.captureScreenshot", format="png")["data"])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return Picture(data)


@contextlib.contextmanager
def tab(profile: pathlib.Path) -> t.Iterator[Tab]:
    """A browser with one tab, ended with the context."""
    assert PROGRAM is not None
    said = profile / "said"
    with said.open("wb") as stream:
        command = [PROGRAM, *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        with websockets.sync.client.connect(_address(process, profile, said), open_timeout=PATIENCE, max_size=None, proxy=None) as socket:
            yield Tab(socket)
    finally:
        # Its helpers as well, which stand in the same group.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=PATIENCE)


def _address(process: subprocess.Popen[bytes], profile: pathlib.Path, said: pathlib.Path) -> str:
    """Where the tab's protocol is spoken; the browser writes its port into its profile when it listens."""
    told = profile / "DevToolsActivePort"
    for _attempt in range(int(PATIENCE / 0.05)):
        port = told.read_text(encoding="utf-8") if told.exists() else ""
        if "\n" in port:
            with urllib.request.urlopen(f"http://127.0.0.1:{port.split()[0]}/json/list", timeout=PATIENCE) as answer:
                return str(next(one["webSocketDebuggerUrl"] for one in json.load(answer) if one["type"] == "page"))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
            break
    raise AssertionError(f"Chromium does not listen: {said.read_text(errors='replace')[-2000:]}")


class Picture:
    """The pixels of a PNG as Chromium writes it: 8 bits, RGB or RGBA, not interlaced."""

    def __init__(self, data: bytes) -> None:
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        chunks, at = [], 8
        while at < len(data):
            (length,) = struct.unpack(">I", data[at : at + 4])
            chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
            at += length + 12
        self.width, self.height, depth, kind = struct.unpack(">IIBB", chunks[0][1][:10])
        assert (depth, kind in (2, 6)) == (8, True)
        self._bytes = 3 if kind == 2 else 4
        self.rows = self._unfiltered(zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT")))

    def _unfiltered(self, raw: bytes) -> list[bytes]:
        length, size = self.width * self._bytes, self._bytes
        rows, above = [], bytes(length)
        for y in range(self.height):
            start = y * (length + 1)
            above = _row(raw[start], bytearray(raw[start + 1 : start + 1 + length]), above, size)
            rows.append(above)
        return rows

    def colour(self, x: int, y: int) -> str:
        """The colour of a pixel, as CSS writes it."""
        return "#" + self.rows[y][x * self._bytes : x * self._bytes + 3].hex()

    def colours(self, step: int = 1) -> dict[str, int]:
        """How many pixels have which colour, of every ``step``-th row."""
        found: dict[str, int] = {}
        for row in self.rows[::step]:
            for at in range(0, len(row), self._bytes):
                colour = "#" + row[at : at + 3].hex()
                found[colour] = found.get(colour, 0) + 1
        return found


def _row(kind: int, row: bytearray, above: bytes, size: int) -> bytes:
    """A row of a PNG out of what was written of it, by one of the five filters of its specification, section 9."""
    for at in range(len(row)):
        left = row[at - size] if at >= size else 0
        up = above[at]
        if kind == 1:
            row[at] = (row[at] + left) & 255
        elif kind == 2:
            row[at] = (row[at] + up) & 255
        elif kind == 3:
            row[at] = (row[at] + (left + up) // 2) & 255
        elif kind == 4:
            row[at] = (row[at] + _paeth(left, up, above[at - size] if at >= size else 0)) & 255
    return bytes(row)


def _paeth(left: int, up: int, corner: int) -> int:
    near = left + up - corner
    return min((left, up, corner), key=lambda value: abs(near - value))
