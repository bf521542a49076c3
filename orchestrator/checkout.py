"""Whether this code runs from a checkout, which has to be sent to a cluster, or is installed, as it is there too."""

import sysconfig
from pathlib import Path

PACKAGES = ("orchestrator", "trainables", "search_spaces")


def checkout_root() -> Path | None:
    """The folder that holds our packages; None where they are installed among the site packages."""
    here = Path(__file__).resolve()
    installed = Path(sysconfig.get_paths()["purelib"]).resolve() in here.parents
    return None if installed else here.parents[1]
