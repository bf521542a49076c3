"""Former name of `trainables.evaluation.inference`; the scripts of models registered by 0.1.0 import it."""

from trainables.evaluation.inference import infer

__all__ = ["infer"]
