"""A model's name in the registry, secured before a search spends hours on what it could not register."""

from typing import Any

from orchestrator.errors import PreflightError
from orchestrator.registry.versions import DeniedModelError, UnknownModelError, answering
from orchestrator.scrub import scrub
from orchestrator.tracking.mlflow_store import mlflow_client


def reserve_name(uri: str, name: str) -> None:
    """Makes sure that this account may register versions of `name`; PreflightError where it may not.

    A registry that says plainly that the name is free is left as it is. One with basic auth hides what an account may
    not see, so whether a name is free shows only in taking it: then an empty model of this account waits for the gate.
    """
    client = mlflow_client(uri)
    try:
        _check_writable(uri, client, name)
    except UnknownModelError:
        return
    except DeniedModelError:
        try:
            with answering(uri):
                create_name(client, name)
            _check_writable(uri, client, name)
        except DeniedModelError as denied:
            raise PreflightError(
                f"this account may not register versions of '{name}' at {scrub(uri)}. Ask its owner or the server's "
                "administrator for the permission EDIT, or choose another registered_model in the spec."
            ) from denied


def create_name(client: Any, name: str) -> None:
    """An empty registered model, unless there is one; another driver may be making it at the same time."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _check_writable(uri: str, client: Any, name: str) -> None:
    """Writes what is there already: only who may change the model is allowed to."""
    with answering(uri):
        client.update_registered_model(name, client.get_registered_model(name).description)
