import pytest

from trainables.runtime.printable import printable, printable_line


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\u202eb", "a\\u202eb"),
        ("\u2066isolated\u2069", "\\u2066isolated\\u2069"),
        ("bell\x07 back\x08 nul\x00 c1\x9b", "bell\\x07 back\\x08 nul\\x00 c1\\x9b"),
        ("line\u2028separator", "line\\u2028separator"),
        ("over\rwritten", "over\\rwritten"),
        ("\udcff", "\\udcff"),
        ("hid\U000e0041den", "hid\\U000e0041den"),
    ],
)
def test_what_controls_or_hides_is_shown_as_an_escape(given: str, shown: str) -> None:
    assert printable(given) == shown
    assert printable(shown) == shown


@pytest.mark.parametrize(
    "text",
    ["plain", "±–→ β", "日本語　空白", "עברית", "क\u200dष", "👩\u200d💻", "two\nlines\tand a tab", "no\u00a0break"],
)
def test_every_script_is_left_alone(text: str) -> None:
    assert printable(text) == text


def test_a_line_has_no_breaks() -> None:
    assert printable_line("a\nb\tc\x1b") == "a\\nb\\tc\\x1b"


def test_no_character_passes_that_a_terminal_obeys() -> None:
    codes = (*range(0x3000), *range(0xD800, 0xE000), *range(0xE0000, 0xE0100))
    shown = printable("".join(map(chr, codes)))
    assert not {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))} & set(shown)
    shown.encode()
