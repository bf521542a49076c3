"""Whether this account may register, asked before a search spends hours on what it could not publish."""

from orchestrator.errors import PreflightError
from orchestrator.process.redact import redact
from orchestrator.registry.versions import DeniedModelError, UnknownModelError, answering
from orchestrator.tracking.mlflow.store import mlflow_client


def check_may_register(uri: str, name: str) -> None:
    """PreflightError where `name` is registered and this account may not change it; a free name is anybody's."""
    client = mlflow_client(uri)
    try:
        with answering(uri):
            there = client.get_registered_model(name)
            # What is there already, written again: the one question that a server answers with its own rules.
            client.update_registered_model(name, there.description)
    except UnknownModelError:
        return
    except DeniedModelError as denied:
        raise PreflightError(
            f"this account may not register versions of '{name}' at {redact(uri)}. Ask its owner or the server's "
            "administrator for the permission EDIT, or choose another registered_model in the spec."
        ) from denied
