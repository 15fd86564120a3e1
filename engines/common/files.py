"""Files that are there whole or not at all, and are opened only after their digest has been checked."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from engines.common.errors import RecipeError

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
T = TypeVar("T")


def check_digest(file: Path, expected: str) -> None:
    """Raise RecipeError unless the file is there with this SHA-256."""
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise RecipeError(
            f"{file}: cannot be read ({error.strerror}); restore the recipe from its backup or fit it again"
        ) from error
    if found != expected:
        raise RecipeError(
            f"{file}: changed since it was written (SHA-256 {found[:12]}..., the manifest says {expected[:12]}...); "
            "restore the recipe from its backup or fit it again"
        )


def decode_json(content: bytes, kind: type[T], file: Path) -> T:
    """Typed JSON, or a RecipeError that names file and key."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: {error}; restore the file from its backup or make it again") from error


def write_file(file: Path, content: bytes) -> None:
    """Write a file whole or not at all: aside, flushed to the disk, renamed."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with aside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """A folder to fill that takes the place of ``folder`` at the end, or leaves no trace when anything fails.

    Raises RecipeError when the disk refuses (full, read-only, too large).
    """
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        aside.mkdir(parents=True)
        yield aside
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
    except OSError as error:
        raise RecipeError(
            f"{folder}: cannot be written ({error.strerror or error}); nothing was changed there: "
            "make room or choose another place, then run the same command again"
        ) from error
    finally:
        if old.exists() and not folder.exists():  # also when interrupted between the two renames
            old.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
