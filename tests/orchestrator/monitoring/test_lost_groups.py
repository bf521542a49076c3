from orchestrator.monitoring.lost_groups import LostGroups


def test_lost_groups_add_up_over_slots_whose_counts_start_again() -> None:
    lost = LostGroups()
    for slot, count in (("a", 0), ("b", 1), ("a", 2), ("a", 0), ("a", 1), ("b", 1)):
        lost.add(slot, count)
    assert lost.total == 4
