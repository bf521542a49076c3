"""Makes text that comes from data safe to show: characters that control a display, or hide, become escapes.

A class name, a file name or a library's message may contain them. A terminal would obey the control characters; the
bidirectional overrides would reorder the rest of the line.
"""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's control, format and surrogate characters, and its line and paragraph separators."""
_KEPT = frozenset("\n\t\u200c\u200d")
"""Our own layout, and the two joiners that several scripts and emoji need."""


def printable(text: str) -> str:
    """The text with every other control, format and surrogate character as Python writes it: `\\x1b`, `\\u202e`."""
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_line(text: str) -> str:
    """`printable` text without line breaks and tabs, for a value that must not look like a line of its own."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _shown(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode()
