"""Tests of permissions, which root does not feel."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534


@contextlib.contextmanager
def nobody_in(folder: Path) -> Iterator[None]:
    """Run as a user without rights in a folder, to be reached by relative names only.

    Who is not root already stays who he is.
    """
    before = os.getcwd()
    os.chdir(folder)
    try:
        if os.geteuid() == 0:
            folder.chmod(0o777)
            groups = os.getgroups()
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, 0)
            os.setresuid(NOBODY, NOBODY, 0)
            try:
                yield
            finally:
                os.setresuid(0, 0, 0)
                os.setresgid(0, 0, 0)
                os.setgroups(groups)
        else:
            yield
    finally:
        os.chdir(before)
