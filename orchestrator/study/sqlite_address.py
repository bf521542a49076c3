"""The address of a SQLite file for MLflow and Optuna."""

import re
from pathlib import Path

from trainables.errors import ConfigError

MISREAD = re.compile(r"\?|%[0-9A-Fa-f]{2}")
"""SQLAlchemy ends the path at a question mark and decodes a percent escape. Escaping the path does not help: MLflow
makes the folder of the escaped path."""


def sqlite_address(file: Path) -> str:
    """Returns `sqlite:////ABSOLUTE/PATH`; raises ConfigError for a path that MLflow and Optuna would misread."""
    if found := MISREAD.search(str(file)):
        what = "a question mark" if found[0] == "?" else f"'{found[0]}', a percent sign with two hexadecimal digits"
        raise ConfigError(
            f"the path of the folder {file.parent} has {what}. MLflow and Optuna would read another path in its place "
            "and write outside of the root; rename the folder, or choose another --root."
        )
    return f"sqlite:///{file}"
