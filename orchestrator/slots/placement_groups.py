"""Placement groups that a Train controller left behind when it died while its workers were starting.

Ray's own cleaner learns of a group only once the workers run, so a controller killed before that leaves one that
nobody removes, and the resources in it are lost to every slot.
"""

import time
from collections.abc import Mapping, Set

from ray import PlacementGroupID
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.state import list_actors, list_placement_groups

TIMEOUT_S = 5
LOOK_S = 0.5
LIMIT = 10_000


def orphans(job_id: str, bundle: Mapping[str, float]) -> set[str]:
    """Ids of this job's groups for workers of a slot, however many, in which no actor lives or is being created."""
    return _without_actors(_groups(job_id, bundle, {"CREATED"}))


def remove_all(job_id: str, bundle: Mapping[str, float], within_s: float) -> None:
    """Removes all of them once no slot is left to want one, those that wait for a place included.

    One whose node was lost waits for another, and would take the CPUs there as soon as the last trial frees them.
    Groups whose workers are still dying are looked at again until the time is over; Ray's cleaner has those.
    """
    deadline_s = time.monotonic() + within_s
    while left := _groups(job_id, bundle, {"CREATED", "PENDING", "PREPARED", "RESCHEDULING"}):
        for group in _without_actors(left):
            remove(group)
        if time.monotonic() > deadline_s:
            return
        time.sleep(LOOK_S)


def _groups(job_id: str, bundle: Mapping[str, float], states: Set[str]) -> set[str]:
    return {
        group.placement_group_id
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
    """Gives a group's resources back."""
    remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(placement_group_id)))
