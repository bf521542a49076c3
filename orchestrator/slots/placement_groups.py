"""Finds the placement groups of slots: those that wait for room, and those that a Train controller leaked by dying.

Ray's own cleaner learns of a group only once the workers run. A controller that is killed before leaks its group, and
no slot can use the resources in it.
"""

import time
from collections.abc import Mapping, Set

from ray import PlacementGroupID
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.state import list_actors, list_placement_groups

TIMEOUT_S = 5
LOOK_S = 0.5
LIMIT = 10_000


def leaked_groups(job_id: str, bundle: Mapping[str, float]) -> set[str]:
    """Ids of the Ray job's placement groups for slot workers in which no actor lives or is being created.

    `bundle`: one worker's resources. A group may be for any number of workers.
    """
    return _without_actors(set(_groups(job_id, bundle, {"CREATED"})))


def waiting_groups(job_id: str, bundle: Mapping[str, float]) -> tuple[set[str], int]:
    """Ids of the Ray job's placement groups for slot workers that have no room in the cluster yet, and the number of
    those that have it."""
    found = _groups(job_id, bundle, {"PENDING", "RESCHEDULING", "PREPARED", "CREATED"})
    waiting = {group for group, state in found.items() if state in ("PENDING", "RESCHEDULING")}
    return waiting, len(found) - len(waiting)


def remove_all(job_id: str, bundle: Mapping[str, float], within_s: float) -> None:
    """Removes every such group, also one that still waits for room; for the time when no slot needs one any more.

    A group whose node was lost waits for another node, and would take the CPUs there as soon as the last trial frees
    them. Looks again, until the time is over, at groups whose workers are still dying; Ray's cleaner removes those.
    """
    deadline_s = time.monotonic() + within_s
    while left := _groups(job_id, bundle, {"CREATED", "PENDING", "PREPARED", "RESCHEDULING"}):
        for group in _without_actors(set(left)):
            remove(group)
        if time.monotonic() > deadline_s:
            return
        time.sleep(LOOK_S)


def _groups(job_id: str, bundle: Mapping[str, float], states: Set[str]) -> dict[str, str]:
    """The state of each group, by its id."""
    return {
        group.placement_group_id: group.state
        for group in list_placement_groups(detail=True, limit=LIMIT, timeout=TIMEOUT_S)
        if group.state in states
        and group.creator_job_id == job_id
        and group.bundles
        and all(part["unit_resources"] == bundle for part in group.bundles)
    }


def _without_actors(groups: set[str]) -> set[str]:
    actors = list_actors(detail=True, limit=LIMIT, timeout=TIMEOUT_S)
    return groups - {actor.placement_group_id for actor in actors if actor.state != "DEAD"}


def remove(placement_group_id: str) -> None:
    """Frees the resources of a placement group."""
    remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(placement_group_id)))
