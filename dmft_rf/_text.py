"""Text from outside, such as a file name, in a form that can be printed and stored."""

from __future__ import annotations


def plain(text: str) -> str:
    r"""Return text without what a terminal would obey or no encoding can hold.

    Control characters (escape sequences, line feeds, marks that reverse the direction of writing)
    stand as ``\x1b``, bytes of a file name that are no UTF-8 as ``\xff``. Everything else stays.

    Examples
    --------
    >>> plain("\x1b[2Jé")
    '\\x1b[2Jé'
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def one_line(text: str, longest: int = 1000) -> str:
    """Return text as one line that can be printed, its middle left out where it is too long."""
    line = plain(text if text.isprintable() else " ".join(text.split()))
    if len(line) <= longest:
        return line
    half = (longest - 5) // 2
    return f"{line[:half]} ... {line[-half:]}"


def reason_of(error: BaseException) -> str:
    """What an error says, in one line of at most 500 characters."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # an error that cannot say what it is
        text = ""
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in said[:500])


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python marks a byte that it could not decode
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
