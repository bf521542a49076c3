"""A matplotlib figure as an SVG picture that follows the reader's light or dark colours."""

import io
import re

import matplotlib
from matplotlib.figure import Figure

_THEME = """<style>:root { --ink: #1b1f24; --paper: #ffffff; --blue: #0072B2; fill: var(--ink); }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #14171b; --blue: #4aa8e0; } }</style>"""

_COLORS = {"#000000": "var(--ink)", "#ffffff": "var(--paper)", "#0072b2": "var(--blue)"}
"""What is drawn in black, white and the one colour too dark for a dark page, by the names of the theme. What carries
no colour in matplotlib's SVG is black, and takes the ink that the root hands down."""


def themed_svg(figure: Figure) -> bytes:
    """The figure as SVG, the same bytes for the same figure; text is drawn as outlines, so no font is needed."""
    buffer = io.BytesIO()
    # Without a salt of its own, every drawing would carry other random ids.
    with matplotlib.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = buffer.getvalue().decode()
    for color, name in _COLORS.items():
        drawn = re.sub(color, name, drawn, flags=re.IGNORECASE)
    # An image is a document of its own; the doctype names an address that nobody need fetch.
    drawn = re.sub(r"<!DOCTYPE.*?>\s*", "", drawn, count=1, flags=re.DOTALL)
    return re.sub(r"(<svg\b.*?>)", rf"\1{_THEME}", drawn, count=1, flags=re.DOTALL).encode()
