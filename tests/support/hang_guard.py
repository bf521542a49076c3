"""Ends a hung test process, and prints the stack of every thread.

pytest-timeout interrupts a test once. It does not guard the teardown after that, nor the end of the process.
"""

import faulthandler
import os
import threading
import time
from collections.abc import Generator

import pytest

TEARDOWN_S = 240
"""Time for a test's fixtures to end after pytest-timeout has interrupted the test."""
EXIT_S = 120
"""Time for the process to end after its last test."""


class HangGuard:
    """A pytest plugin. `stderr` is a file descriptor that pytest does not capture."""

    def __init__(self, stderr: int, teardown_s: float = TEARDOWN_S, exit_s: float = EXIT_S) -> None:
        self._stderr, self._teardown_s, self._exit_s = stderr, teardown_s, exit_s

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        marker = item.get_closest_marker("timeout")
        limit_s = float(marker.args[0] if marker and marker.args else item.config.getini("timeout"))
        faulthandler.dump_traceback_later(limit_s + self._teardown_s, exit=True, file=self._stderr)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        threading.Thread(target=self._leave, args=(int(exitstatus),), daemon=True).start()

    def _leave(self, status: int) -> None:
        """Leaves with the result of the tests: they have ended, only the process has not."""
        time.sleep(self._exit_s)
        os.write(self._stderr, f"\nthis process did not end within {self._exit_s:g} s of its last test:\n".encode())
        faulthandler.dump_traceback(file=self._stderr)
        os._exit(status)
