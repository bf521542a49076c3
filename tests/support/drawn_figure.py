"""Renders a figure as it would be saved."""

import io

from matplotlib.figure import Figure
from PIL import Image


def drawn(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return Image.open(buffer)
