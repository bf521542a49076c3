"""The script that MLflow runs to load and serve a registered model; MLflow copies it, so no class is pickled.

Input: uint8 RGB images (N, H, W, 3). Output: one object per image.
"""

from pathlib import Path
from typing import Any

import mlflow.models
import mlflow.pyfunc
import numpy as np

from trainables.errors import ConfigError
from trainables.evaluation.evaluate import Draws, final_draws
from trainables.evaluation.inference import infer
from trainables.export import LoadedModel, load_exported

ARTIFACT = "exported"
MAX_DRAWS = 1024


class AIBModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]
    """Loads the exported folder and predicts, by default with the number of draws of the final evaluation."""

    _loaded: LoadedModel

    def load_context(self, context: Any) -> None:
        self._loaded = load_exported(Path(context.artifacts[ARTIFACT]))

    def predict(
        self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Returns `label`, `index`, `probability`, `probabilities` and `attention` for every image.

        `attention` holds the rows of the headline map, or None if the model has no map. `params` may set
        `attention_samples` and `latent_samples`, up to 1024; 0 means as in the final evaluation.
        """
        usual = final_draws(self._loaded.config)
        draws = Draws(
            _draws("attention_samples", params or {}, usual.attention),
            _draws("latent_samples", params or {}, usual.latent),
        )
        found = infer(self._loaded, np.asarray(model_input, dtype=np.uint8), draws)
        maps_Nhw = found.maps_Nhw
        return [
            {
                "label": self._loaded.class_names[int(p_C.argmax())],
                "index": int(p_C.argmax()),
                "probability": float(p_C.max()),
                "probabilities": [float(p) for p in p_C],
                "attention": None if maps_Nhw is None else maps_Nhw[i].tolist(),
            }
            for i, p_C in enumerate(found.probabilities_NC)
        ]


def _draws(name: str, params: dict[str, Any], usual: int) -> int:
    # Limited, because clients of a server must not be able to request unlimited work.
    asked = int(params.get(name) or usual)
    if not 1 <= asked <= MAX_DRAWS:
        raise ConfigError(f"parameter '{name}' is {asked}; allowed: 1 to {MAX_DRAWS}, or 0 for the model's own.")
    return asked


mlflow.models.set_model(AIBModel())
