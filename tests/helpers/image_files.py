"""Folders of images that tests read."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def fill(folder: Path, images: Any, ending: str = "png", **options: Any) -> Path:
    """Save images in a folder, as 0000.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(np.asarray(image)).save(folder / f"{number:04}.{ending}", **options)
    return folder
