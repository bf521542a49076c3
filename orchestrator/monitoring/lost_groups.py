"""Counts the worker groups that a study's slots have lost, across restarts of the slots."""


class LostGroups:
    """Sums the slots' own counts. A slot's count starts at 0 again when its process restarts; the sum does not."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self.total = 0

    def add(self, slot: str, count: int) -> None:
        """Takes the slot's present count."""
        before = self._last.get(slot, 0)
        self.total += count - before if count >= before else count
        self._last[slot] = count
