"""The board of a cluster's studies: a named actor on which every running study reports what it has and wants.

It decides nothing. Each study reads all reports and computes its own part, so the actor's code need not change with the
rules. Reports are plain mappings with a protocol number; a reader ignores keys that it does not know. The actor lives
outside every job. It restarts empty, and the next reports fill it again. A study that stops reporting expires, and the
last one to leave ends the actor.
"""

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from orchestrator.errors import PreflightError, first_line

BOARD, NAMESPACE = "studies-1", "aib"
"""The number is the protocol's; another one would be another board."""
PROTOCOL = 1
EXPIRE_S = 60.0
"""Silence after which a study counts as gone."""
YOUNG_S = 15.0
"""Age from which the board has heard of every study again."""
ANSWER_S = 5.0
START_S = 60.0
WARN_AFTER = 3
"""Failures in a row that are worth a warning; the last study of a moment ago may just have ended the actor."""
HEAD = {"node:__internal_head__": 0.001}
"""The board is on the head node: without that node there is no cluster."""

logger = logging.getLogger(__name__)


class StudyBoard:
    """The actor. Calls come one at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began_s = clock, clock()
        self._reports: dict[str, tuple[float, dict[str, Any]]] = {}

    def exchange(self, key: str | None, report: Mapping[str, Any] | None) -> dict[str, Any]:
        """Takes a study's report, if there is one; returns the board's age and every live report by its key."""
        now_s = self._clock()
        if key is not None and report is not None:
            self._reports[key] = (now_s, dict(report))
        self._reports = {key: entry for key, entry in self._reports.items() if now_s - entry[0] <= EXPIRE_S}
        return {"age_s": now_s - self._began_s, "studies": {key: entry[1] for key, entry in self._reports.items()}}

    def leave(self, key: str) -> bool:
        """Removes a study; returns whether the board is empty now."""
        self._reports.pop(key, None)
        return not self.exchange(None, None)["studies"]


class BoardView(NamedTuple):
    """The board at one moment."""

    reports: dict[str, dict[str, Any]]
    """By key; among them the reader's own."""
    complete: bool
    """False shortly after the actor restarted, when studies may be missing."""


class BoardMember:
    """One study's side of the board. No error of the board reaches the study: it then goes on alone."""

    def __init__(self, create: bool) -> None:
        """`create`: whether to start the actor where there is none; else the study joins a board that others start."""
        self.key = uuid.uuid4().hex
        self._create = create
        self._actor: Any = None
        self._failures = 0

    def exchange(self, report: Mapping[str, Any], timeout_s: float = ANSWER_S) -> BoardView | None:
        """Reports, and reads all studies; None without a board, or if it does not answer in time."""
        try:
            self._actor = self._actor or (_started() if self._create else _existing())
            if self._actor is None:
                return None
            answer = self._actor.exchange.remote(self.key, {**report, "protocol": PROTOCOL})
            view = _view(ray.get(answer, timeout=timeout_s))
        except Exception as error:
            # A lost actor, another version's, a busy head: whatever it is, the study does not depend on it.
            self._actor = None
            self._failures += 1
            if self._failures == WARN_AFTER:
                logger.warning(
                    "the cluster's board of studies does not answer (%s); this study takes what room it finds",
                    first_line(error),
                )
            return None
        self._failures = 0
        return view

    def leave(self) -> None:
        """Takes the study off the board; ends the board if no study is left."""
        if self._actor is None:
            return
        try:
            if ray.get(self._actor.leave.remote(self.key), timeout=ANSWER_S):
                ray.kill(self._actor, no_restart=True)
        except Exception:
            # The board forgets a silent study by itself.
            logger.debug("the board of studies was not told of this study's end", exc_info=True)


def read_board() -> dict[str, dict[str, Any]]:
    """Returns the report of every study on the connected cluster, by key; none where no board is.

    Raises PreflightError where the board does not answer.
    """
    actor = _existing()
    if actor is None:
        return {}
    try:
        return _view(ray.get(actor.exchange.remote(None, None), timeout=START_S)).reports
    except RayError as error:
        raise PreflightError(
            f"the cluster's board of studies does not answer ({first_line(error)}); try again in a minute."
        ) from None


def _view(answer: Mapping[str, Any]) -> BoardView:
    return BoardView(dict(answer["studies"]), float(answer["age_s"]) >= YOUNG_S)


def _existing() -> Any:
    try:
        return ray.get_actor(BOARD, namespace=NAMESPACE)
    except ValueError:
        return None


def _started() -> Any:
    options: dict[str, Any] = {"name": BOARD, "namespace": NAMESPACE, "lifetime": "detached", "get_if_exists": True}
    return ray.remote(StudyBoard).options(**options, num_cpus=0, resources=HEAD, max_restarts=-1).remote()
