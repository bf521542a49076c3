"""A proxy between a client and a real MLflow server that can spoil answers in a chosen way."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Fault = Literal["none", "status", "unanswered", "late", "cut", "slow", "login page"]
"""The ways to spoil an answer.

`status`: the proxy itself answers with `status`. `unanswered`: the server answers, but the connection is dropped.
`late`: the connection is dropped, and the server gets the request `delay_s` later. `cut`: half of the answer arrives.
`slow`: the answer is delayed by `delay_s`. `login page`: status 200 and HTML, as from a proxy that requires a password.
"""


class FaultyProxy:
    """Applies `fault` to requests for which `applies(path)` is true; `requests` lists the requested paths in order."""

    def __init__(self, server_port: int) -> None:
        self.fault: Fault = "none"
        self.status, self.delay_s = 503, 1.0
        self.applies: Callable[[str], bool] = lambda path: True
        self.requests: list[str] = []
        self.spoilt = 0
        self.server_port = server_port
        self.late: list[threading.Thread] = []

    def forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server_port, timeout=60)
        try:
            connection.request(method, path, body, {**headers, "Host": f"127.0.0.1:{self.server_port}"})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()


@contextmanager
def faulty_proxy(server_port: int) -> Iterator[tuple[FaultyProxy, str]]:
    """Yields the proxy and its address."""
    proxy = FaultyProxy(server_port)

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            proxy.requests.append(self.path)
            fault: Fault = proxy.fault if proxy.applies(self.path) else "none"
            proxy.spoilt += fault != "none"
            arguments = (self.command, self.path, dict(self.headers), body)
            if fault == "status":
                self._answer(proxy.status, {}, b"spoilt")
            elif fault == "login page":
                self._answer(200, {"Content-Type": "text/html"}, b"<html>who are you?</html>")
            elif fault == "late":
                thread = threading.Thread(target=_later, args=(proxy, arguments))
                thread.start()
                proxy.late.append(thread)
                self._drop()
            else:
                answer = proxy.forward(*arguments)
                if fault == "slow":
                    time.sleep(proxy.delay_s)
                if fault == "unanswered":
                    self._drop()
                else:
                    self._answer(*answer, cut=fault == "cut")

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle

        def _answer(self, status: int, headers: dict[str, str], content: bytes, cut: bool = False) -> None:
            self.send_response(status)
            if kind := headers.get("Content-Type", headers.get("content-type")):
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self._drop()

        def _drop(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *args: object) -> None:
            """Logs nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield proxy, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _later(proxy: FaultyProxy, arguments: tuple[str, str, dict[str, str], bytes]) -> None:
    time.sleep(proxy.delay_s)
    proxy.forward(*arguments)
