"""Text from data as a label in a figure."""

from trainables.runtime.printable import printable_line


def label(text: str) -> str:
    """The text as it is: matplotlib would set what is between two dollar signs as a formula, or fail to."""
    return printable_line(text).replace("$", r"\$")
