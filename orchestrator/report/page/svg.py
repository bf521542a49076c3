"""Converts a matplotlib figure to SVG that follows the reader's light or dark theme."""

import io
import re

import matplotlib
from matplotlib.figure import Figure

_THEME = """<style>:root { --ink: #1b1f24; --paper: #ffffff; --blue: #0072B2; fill: var(--ink); }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #14171b; --blue: #4aa8e0; } }</style>"""

_COLORS = {"#000000": "var(--ink)", "#ffffff": "var(--paper)", "#0072b2": "var(--blue)"}
"""Drawn colour -> colour of the theme: black, white, and the blue that is too dark for a dark page. Elements without a
colour in matplotlib's SVG are black; they inherit the theme's ink from the root element."""


def themed_svg(figure: Figure) -> bytes:
    """The figure as SVG. Text is drawn as outlines, so no font is needed. The same figure gives the same bytes."""
    buffer = io.BytesIO()
    # Without a fixed salt, the ids in the SVG would be random.
    with matplotlib.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = buffer.getvalue().decode()
    for color, name in _COLORS.items():
        drawn = re.sub(color, name, drawn, flags=re.IGNORECASE)
    # The doctype names an address; a self-contained page must not name one.
    drawn = re.sub(r"<!DOCTYPE.*?>\s*", "", drawn, count=1, flags=re.DOTALL)
    return re.sub(r"(<svg\b.*?>)", rf"\1{_THEME}", drawn, count=1, flags=re.DOTALL).encode()
