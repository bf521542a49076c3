"""A headless Chromium driven through its DevTools protocol: open a page, wait for what it shows, take a picture."""

import asyncio
import base64
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.free_port import free_port
from tests.support.server_processes import listens, serving, without_ours

WAIT_S = 60.0


class Page:
    """One tab. Each method is a request to the browser and the wait for its answer."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._sent = 0

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a DevTools method; what the browser tells unasked in between is passed over."""
        self._sent += 1
        await self._socket.send_str(json.dumps({"id": self._sent, "method": method, "params": params}))
        while True:
            message = await self._socket.receive_json(timeout=WAIT_S)
            if message.get("id") == self._sent:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result

    async def evaluate(self, expression: str) -> Any:
        """A JavaScript expression's value."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    async def open(self, url: str) -> None:
        await self.send("Page.navigate", url=url)

    async def text(self) -> str:
        """What a reader sees."""
        return str(await self.evaluate("document.body ? document.body.innerText : ''"))

    async def until(self, expression: str, what: str) -> None:
        """Waits until an expression holds; the test fails with the page's text where it does not."""
        deadline = time.monotonic() + WAIT_S
        while not await self.evaluate(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                pytest.fail(f"{what} did not appear in {WAIT_S:.0f} s; the page says:\n{await self.text()}")
            await asyncio.sleep(0.2)

    async def until_text(self, *texts: str) -> None:
        """Waits until the page shows every one of these."""
        for text in texts:
            await self.until(f"document.body && document.body.innerText.includes({json.dumps(text)})", repr(text))

    async def picture(self, path: Path) -> None:
        """A PNG of what is visible."""
        found = await self.send("Page.captureScreenshot")
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def chromium() -> Iterator[int]:
    """The DevTools port of a browser with a profile of its own; skips where Debian's Chromium is not installed."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no headless browser: apt-get install chromium")
    profile, port = Path(tempfile.mkdtemp(prefix="aib-chromium-")), free_port()
    command = [
        *(program, "--headless=new", f"--remote-debugging-port={port}", f"--user-data-dir={profile}"),
        # As root, and in containers without a large /dev/shm, it starts only like this; it visits our own server alone.
        *("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--window-size=1500,1100"),
        *("--disable-background-networking", "--disable-component-update", "about:blank"),
    ]
    try:
        with serving(command, profile / "log", lambda: listens(port), env=without_ours(), cwd=profile):
            yield port
    finally:
        shutil.rmtree(profile, ignore_errors=True)


@asynccontextmanager
async def tab(port: int, authorization: str | None = None) -> AsyncIterator[Page]:
    """A new tab that sends this Authorization header, as a browser does once its user has signed in."""
    async with aiohttp.ClientSession() as session:
        async with session.put(f"http://127.0.0.1:{port}/json/new?about:blank") as answer:
            address = (await answer.json(content_type=None))["webSocketDebuggerUrl"]
        async with session.ws_connect(address, max_msg_size=0) as socket:
            page = Page(socket)
            await page.send("Page.enable")
            await page.send("Network.enable")
            if authorization:
                await page.send("Network.setExtraHTTPHeaders", headers={"Authorization": authorization})
            yield page
            await page.send("Page.close")
