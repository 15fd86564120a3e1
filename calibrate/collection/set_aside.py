"""Golden samples moved out of their folder: never deleted, and never over another file."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from engines.common.errors import ImageError
from engines.common.files import write_file
from engines.pictures.images import read_content


def set_aside(folder: Path, names: Sequence[str], to: Path) -> list[Path]:
    """Move files of a folder into another one, which is made. Returns where they are now.

    Raises ImageError, before any is moved, when one is not there or its name is taken in the other folder.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise ImageError(f"{name}: no such file in {folder}; nothing was moved: give names as the list shows them")
        if (to / name).exists():
            raise ImageError(f"{to / name}: is there already; nothing was moved: name another folder with --remove-to")
    to.mkdir(parents=True, exist_ok=True)
    for name in names:
        try:
            (folder / name).rename(to / name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            write_file(to / name, read_content(folder / name))  # another disk: whole there before it goes here
            (folder / name).unlink()
    return [to / name for name in names]
