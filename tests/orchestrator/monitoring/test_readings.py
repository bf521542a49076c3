"""The metrics read from a study's state, without Ray."""

from orchestrator.monitoring.readings import METRICS, record_readings, slot_readings, study_readings
from orchestrator.ray_cluster.metric import Reading
from orchestrator.slots.messages import SlotStatus
from orchestrator.study.journal import StudyState


def of(readings: list[Reading], name: str, **labels: str) -> float:
    found = [one.value for one in readings if one.name == name and labels.items() <= one.labels.items()]
    assert len(found) == 1, (name, labels, readings)
    return found[0]


def state() -> StudyState:
    """Two trials: one ended after two epochs of 100 images, the other one runs after its first epoch."""
    found = StudyState()
    for trial in ("t00000", "t00001"):
        found.apply(
            {"event": "trial", "trial": trial, "kind": "search", "params": {}, "seed": 0, "of": None, "time": 0}
        )
    for trial, epoch, speed in (("t00000", 1, 50.0), ("t00000", 2, 25.0), ("t00001", 1, 20.0)):
        metrics = {"epoch": epoch, "images_per_s": speed, "epoch_s": 100 / speed}
        found.apply({"event": "epoch", "trial": trial, "metrics": metrics, "time": 0})
    found.apply({"event": "ended", "trial": "t00000", "state": "stopped", "reason": "", "time": 1})
    return found


def test_trials_epochs_and_images_are_counted() -> None:
    found = study_readings("s", state(), planned=8)
    assert of(found, "aib_trials_planned") == 8
    assert of(found, "aib_trials", kind="search", state="running") == 1
    assert of(found, "aib_trials", kind="search", state="stopped") == 1
    assert of(found, "aib_trials", kind="search", state="failed") == 0
    assert of(found, "aib_trials_ended_total", state="stopped") == 1
    assert of(found, "aib_epochs_total") == 3
    assert of(found, "aib_images_total") == 300
    assert of(found, "aib_images_per_second", trial="t00001") == 20
    assert of(found, "aib_images_per_second", trial="t00000") == 0, "an ended trial trains nothing"


def test_slots_are_counted_in_every_state() -> None:
    idle, leased = SlotStatus("idle", None, 0, "", True), SlotStatus("leased", "t00000", 3, "", True)
    found = slot_readings("s", [idle, leased, leased, None], wanted=5)
    assert of(found, "aib_slots", state="leased") == 2
    assert of(found, "aib_slots", state="unreachable") == 1
    assert of(found, "aib_slots", state="broken") == 0
    assert of(found, "aib_slots_wanted") == 5


def test_every_reading_is_a_declared_metric_with_its_labels() -> None:
    declared = {metric.name: set(metric.labels) for metric in METRICS}
    readings = [*study_readings("s", state(), 8), *slot_readings("s", [], 0), *record_readings("s", 1, 2)]
    for reading in readings:
        assert declared[reading.name] == set(reading.labels)
    by_other_hands = {"aib_worker_groups_lost_total"}
    assert {reading.name for reading in readings} == set(declared) - by_other_hands


def test_counters_are_called_total_and_gauges_are_not() -> None:
    for metric in METRICS:
        assert metric.name.startswith("aib_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
