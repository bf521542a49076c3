"""A search that the figures of the parameter space share."""

from typing import Any

import pytest


@pytest.fixture
def varied(new_study: Any) -> Any:
    """Twenty full trials whose error is decided by lambda_q alone, and a stopped one."""
    study = new_study(constraints=[])
    for place in range(20):
        value = 0.05 + 0.9 * place / 20
        params = {
            "bottleneck.beta": 10.0 ** -(place % 5),
            "bottleneck.latent_dim": (16, 32, 64)[place % 3],
            "attention.lambda_q": value,
        }
        study.trial(f"t{place:05d}", 10 + 60 * value, params=params)
    study.trial("t00020", 90.0, epochs=2, state="stopped", params=params)
    return study
