"""Placement groups that a Train controller left behind when it died while its workers were starting.

Ray's own cleaner learns of a group only once the workers run, so a controller killed before that leaves one that
nobody removes, and the resources in it are lost to every slot.
"""

from collections.abc import Mapping

from ray import PlacementGroupID
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.state import list_actors, list_placement_groups

TIMEOUT_S = 5
LIMIT = 10_000


def orphans(job_id: str, bundle: Mapping[str, float], num_bundles: int) -> set[str]:
    """Ids of this job's groups of the shape of a slot's workers in which no actor lives or is being created."""
    wanted = [dict(bundle)] * num_bundles
    ours = {
        group.placement_group_id
        for group in list_placement_groups(detail=True, limit=LIMIT, timeout=TIMEOUT_S)
        if group.state == "CREATED"
        and group.creator_job_id == job_id
        and [part["unit_resources"] for part in group.bundles or []] == wanted
    }
    actors = list_actors(detail=True, limit=LIMIT, timeout=TIMEOUT_S)
    return ours - {actor.placement_group_id for actor in actors if actor.state != "DEAD"}


def remove(placement_group_id: str) -> None:
    """Gives a group's resources back."""
    remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(placement_group_id)))
