"""Checks that this account may register the model, before a search spends hours on it."""

from orchestrator.errors import PreflightError
from orchestrator.process.redact import redact
from orchestrator.registry.versions import DeniedModelError, UnknownModelError, answering
from orchestrator.tracking.mlflow.store import mlflow_client


def check_may_register(uri: str, name: str) -> None:
    """Raises PreflightError if `name` is registered and this account may not change it. A free name is allowed."""
    client = mlflow_client(uri)
    try:
        with answering(uri):
            there = client.get_registered_model(name)
            # Only a write shows whether the server's rules allow one, so the description is written unchanged.
            client.update_registered_model(name, there.description)
    except UnknownModelError:
        return
    except DeniedModelError as denied:
        raise PreflightError(
            f"this account may not register versions of '{name}' at {redact(uri)}. Ask its owner or the server's "
            "administrator for the permission EDIT, or choose another registered_model in the spec."
        ) from denied
