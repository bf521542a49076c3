"""A background thread that runs tasks in order while the caller continues."""

import threading
from collections import deque
from collections.abc import Callable


class Background:
    """Runs tasks one after another. After a task raises, no other one starts, and the next call raises its error."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._tasks: deque[Callable[[], None]] = deque()
        self._working = False
        self._error: Exception | None = None

    def do(self, task: Callable[[], None]) -> None:
        """Queues the task and returns; raises the error of an earlier task."""
        with self._changed:
            self._raise()
            self._tasks.append(task)
            if not self._working:
                self._working = True
                # A daemon, so that a process which must end at once does not wait for it.
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def settle(self) -> None:
        """Waits until all tasks are done; raises the error of a task that failed."""
        with self._changed:
            self._changed.wait_for(lambda: not self._working)
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            if self._tasks and self._error is None:
                return self._tasks.popleft()
            self._working = False
            self._changed.notify_all()
            return None

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except Exception as error:
                # The next call raises it.
                with self._changed:
                    self._error = error
