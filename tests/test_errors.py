"""What a message makes of a text from outside."""

from dmft_rf import DataError, ModelError
from dmft_rf.errors import one_line, plain


def test_plain_text():
    assert plain("é 日本 a b") == "é 日本 a b"
    assert plain("\x1b\x07\x7f\u202e\udcff\ud800\n") == r"\x1b\x07\x7f\u202e\xff\ud800\n"
    assert one_line("a\n  b\tc") == "a b c"
    assert len(one_line("x" * 10**6)) <= 1000
    for error in (DataError("\x1b[2J\n"), ModelError("\udcff " * 10_000), DataError()):
        assert str(error).isprintable()
        assert len(str(error)) <= 1000
