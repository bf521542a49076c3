"""Dashboard, documentation and code name the same metrics."""

import json
import re
from typing import Any

import pytest

from orchestrator.monitoring.readings import METRICS, SLOT_STATES, TRIAL_STATES
from tests.support.cluster_files import CLUSTER, ROOT

PROMETHEUS = "aib-prometheus"
OURS = {f"ray_{metric.name}": metric for metric in METRICS}
DOCUMENT = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")


@pytest.fixture
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CLUSTER / "grafana" / "aib-dashboard.json").read_text(encoding="utf-8"))
    return found


def expressions(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def names(text: str) -> set[str]:
    return set(re.findall(r"\bray_[a-z0-9_]+", text))


def test_the_dashboard_shows_every_metric_of_ours_and_no_other(dashboard: dict[str, Any]) -> None:
    shown = {name for name in names(" ".join(expressions(dashboard))) if name.startswith("ray_aib_")}
    assert shown == set(OURS)


def test_counters_are_shown_as_rates_and_labels_exist(dashboard: dict[str, Any]) -> None:
    for expression in expressions(dashboard):
        for name, labels in re.findall(r"(ray_aib_\w+)\{([^}]*)\}", expression):
            used = set(re.findall(r"(\w+)(?:=~|!=|=)\"", labels))
            assert used <= set(OURS[name].labels), expression
            if OURS[name].kind == "counter" and "rejected" not in name:
                assert f"rate({name}" in expression


def test_rays_metrics_on_the_dashboard_are_rays_and_documented(dashboard: dict[str, Any]) -> None:
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    rays = {name for name in names(" ".join(expressions(dashboard))) if not name.startswith("ray_aib_")}
    of_the_agent = {f"ray_{name}" for name in METRICS_GAUGES}
    # These two are written by Ray's C++ processes, which have no list to import; they were seen at an endpoint.
    assert rays - of_the_agent == {"ray_object_store_used_memory", "ray_gcs_placement_group_count"}
    assert rays <= names(DOCUMENT)


def test_every_metric_is_documented_with_kind_and_labels() -> None:
    rows = re.findall(r"^\| `(aib_\w+)` \| (\w+) \| ([\w, ]+) \| (.+) \|$", DOCUMENT, re.MULTILINE)
    documented = {name: (kind, tuple(labels.split(", "))) for name, kind, labels, _ in rows}
    assert documented == {metric.name: (metric.kind, metric.labels) for metric in METRICS}
    assert all(state in DOCUMENT for state in (*TRIAL_STATES, *SLOT_STATES))


def test_panels_have_ids_places_and_the_provisioned_source(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken, f"{panel['title']} lies on another panel"
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == PROMETHEUS
    assert f"uid: {PROMETHEUS}" in (CLUSTER / "grafana" / "datasource.yaml").read_text(encoding="utf-8")
