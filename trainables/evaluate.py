"""Former name of `trainables.evaluation.evaluate`; the scripts of models registered by 0.1.0 import it."""

from trainables.evaluation.evaluate import Draws, final_draws

__all__ = ["Draws", "final_draws"]
