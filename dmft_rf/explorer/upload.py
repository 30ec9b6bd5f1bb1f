"""A file that a visitor gave the page: kept in memory, read without pickle."""

from __future__ import annotations

import tempfile
from pathlib import Path

import dmft_rf
from dmft_rf.errors import DataError

MOST_BYTES = 64 << 20
_ENDINGS = (".npy", ".npz", ".csv", ".txt", ".h5", ".hdf5")


class Upload:
    """The last file that could be read.

    Attributes
    ----------
    covariance : Covariance or None
        Of its rows, eigenvalues divided by their mean.
    """

    def __init__(self) -> None:
        self.covariance: dmft_rf.Covariance | None = None
        self._name, self._content, self._folder = "", b"", ""

    def read(self, name: str, content: bytes) -> None:
        """Take a file; what was there before stays if it cannot be read.

        Raises
        ------
        DataError
            If it is too large, of no known kind, damaged, or holds no samples.
        """
        ending = Path(name).suffix.lower()
        if ending not in _ENDINGS:
            raise DataError(f"{name!r} is of no known kind: it can end with {', '.join(_ENDINGS)}")
        if len(content) > MOST_BYTES:
            raise DataError(f"{name!r} has {len(content)} bytes; at most {MOST_BYTES} are read")
        found = Upload()
        found._name, found._content = name, content
        try:
            with tempfile.TemporaryDirectory() as folder:
                law = dmft_rf.read_covariance(found._kept(Path(folder)))
                found.covariance = law.normalized()
        except DataError as error:
            raise DataError(found.hide(str(error))) from None
        self.__dict__.update(found.__dict__)

    def write(self, folder: Path) -> Path | None:
        """The file in a folder, for what reads files; None if there is none."""
        return self._kept(folder) if self._content else None

    def _kept(self, folder: Path) -> Path:
        self._folder = str(folder)
        path = folder / f"upload{Path(self._name).suffix.lower()}"
        path.write_bytes(self._content)
        return path

    def hide(self, text: str) -> str:
        """A message without the place where the file was kept."""
        kept = f"{self._folder}/upload{Path(self._name).suffix.lower()}"
        return text.replace(kept, self._name) if self._folder else text
