"""The console of the command line: text that comes from data is escaped here, once, whatever printed it."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from trainables.runtime.printable import printable


class Terminal(Console):
    """Prints plain text: no markup, so that brackets and colons in names and paths are just that, and no control
    characters but the console's own colours."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, soft_wrap=True, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Escapes before the layout, so that columns are as wide as what is shown in them."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Escapes what came as a ready `Text`; rich's own control codes pass."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
