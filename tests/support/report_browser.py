"""A headless Chromium, driven over the DevTools protocol: loads pages, presses keys, records errors and requests."""

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
"""Path of the browser (Debian package chromium); None skips the tests that need it."""

_START_S = 60.0
_REPLY_S = 60.0


class Browser:
    """One page in its own browser; `problems` lists the errors it logged, `requests` the addresses it requested."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last = 0
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._loaded = False

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        await self._socket.send_json({"id": self._last, "method": method, "params": params})
        while True:
            message = await self._next()
            if message.get("id") == self._last:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result

    async def open(self, page: Path) -> float:
        """Loads a page and waits for its load event; returns the seconds by the browser's own clock."""
        self._loaded = False
        await self.call("Page.navigate", url=page.as_uri())
        while not self._loaded:
            await self._next()
        taken_ms = await self.evaluate("performance.timing.loadEventStart - performance.timing.navigationStart")
        return float(taken_ms) / 1000

    async def evaluate(self, expression: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, f"{expression}: {found['exceptionDetails']}"
        return found["result"].get("value")

    async def press(self, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)

    async def show(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self) -> bytes:
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])

    async def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self._socket.receive_str(timeout=_REPLY_S))
        params = message.get("params", {})
        match message.get("method"):
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.problems.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.problems.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.problems.append(str(params["args"]))
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Page.loadEventFired":
                self._loaded = True
        return message


def browse(folder: Path, visit: Callable[[Browser], Awaitable[None]]) -> None:
    """Runs `visit` in a fresh browser whose profile is under `folder`."""

    async def run() -> None:
        async with _browser(folder) as browser:
            await visit(browser)

    asyncio.run(run())


@contextlib.asynccontextmanager
async def _browser(folder: Path) -> AsyncIterator[Browser]:
    assert CHROMIUM is not None
    profile = folder / "profile"
    process = subprocess.Popen(
        [
            CHROMIUM,
            "--headless=new",
            # The tests may run as root, and in a container without a large /dev/shm.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = await _port(profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
                (target,) = [entry for entry in await reply.json() if entry["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=2**27) as socket:
                browser = Browser(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await browser.call(f"{domain}.enable")
                yield browser
    finally:
        process.terminate()
        process.wait(timeout=30)


async def _port(file: Path, process: "subprocess.Popen[bytes]") -> int:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        assert process.poll() is None, f"the browser left with {process.returncode}"
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        await asyncio.sleep(0.05)
    raise TimeoutError(f"the browser was not up after {_START_S} s")
