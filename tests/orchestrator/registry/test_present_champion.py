"""The champion that a challenger is compared with."""

import json
from typing import Any

import pytest

from orchestrator.finalists.candidate import CANDIDATE_TAG, ForeignChampionError, present_champion
from orchestrator.registry.versions import CHAMPION
from orchestrator.tracking.mlflow.store import mlflow_client
from tests.orchestrator.registry.conftest import Registry
from tests.orchestrator.registry.test_gate import candidate


def register(registry: Registry, tags: dict[str, str]) -> None:
    """Registers a model as any MLflow program does."""
    client: Any = mlflow_client(registry.uri)
    client.create_registered_model("m")
    version = client.create_model_version("m", source="file:///nowhere", run_id=registry.run_id, tags=tags)
    client.set_registered_model_alias("m", CHAMPION, version.version)


@pytest.mark.slow
def test_without_a_model_of_the_name_there_is_no_champion(registry: Registry) -> None:
    assert present_champion(registry.uri, "m") is None


def test_a_search_s_champion_is_read_from_its_tag(registry: Registry) -> None:
    register(registry, {CANDIDATE_TAG: json.dumps(candidate().to_dict())})
    assert present_champion(registry.uri, "m") == candidate()


@pytest.mark.parametrize("tags", [{}, {CANDIDATE_TAG: "none"}, {CANDIDATE_TAG: '{"error": 3}'}, {CANDIDATE_TAG: "[]"}])
def test_a_champion_that_no_search_made_is_not_replaced_unseen(registry: Registry, tags: dict[str, str]) -> None:
    register(registry, tags)
    with pytest.raises(ForeignChampionError, match=r"version 1, has no figures to compare with.*aib promote"):
        present_champion(registry.uri, "m")
