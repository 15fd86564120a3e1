"""What an evaluation keeps of a finished category, and whether that still holds: digests of all that it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import msgspec

from calibrate.evaluation.category_result import Judged, Result
from calibrate.evaluation.datasets import LOCO_CONFIG, Category
from calibrate.fit.training import DEFAULTS
from engines.common.files import write_file
from engines.pictures.images import read_content
from engines.recipe.model_config import PROFILES

FORMAT = 8  # of what is kept: another one computes anew
T = TypeVar("T", bound=msgspec.Struct)


class EvaluateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for; the same for all categories."""

    data: tuple[Path, ...]
    output: Path
    network: str = "tfa-net"
    profile: str = "small"
    backbone_weights: Path | None = None
    rows: int | None = None
    columns: int | None = None
    steps: int | None = None
    seed: int = 0
    target: str
    precision: str
    max_false_reject: float = 0.005
    confidence: float = 0.95


class Fitted(msgspec.Struct, frozen=True):
    """`fit.json`; also written when a fit is interrupted."""

    identity: str
    seconds: float


class Finished(msgspec.Struct, frozen=True):
    """`result.json`."""

    identity: str
    result: Result
    pictures: tuple[Judged, ...]


def identities(category: Category, request: EvaluateRequest) -> tuple[str, str]:
    """Digests of all that the fit depends on, and of all that the result depends on; names and contents of files."""
    fit = (
        FORMAT,
        _contents(category.train, category),
        PROFILES[request.network][request.profile],
        DEFAULTS[request.network][request.profile],
        None if request.backbone_weights is None else hashlib.sha256(read_content(request.backbone_weights)).hexdigest(),
        (request.rows, request.columns, request.steps, request.seed),
        (version("tfa-inspect"), version("torch")),
    )
    fitted_as = hashlib.sha256(msgspec.json.encode(fit)).hexdigest()
    masks = [mask for picture in category.test for mask in picture.masks]
    config = [category.folder / LOCO_CONFIG] if category.saturations else []
    test = (
        fitted_as,
        [(relative(picture.file, category).as_posix(), picture.kind, len(picture.masks)) for picture in category.test],
        _contents([*(picture.file for picture in category.test), *masks, *config], category),
        (request.target, request.precision, request.max_false_reject, request.confidence),
    )
    return fitted_as, hashlib.sha256(msgspec.json.encode(test)).hexdigest()


def _contents(files: Iterable[Path], category: Category) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{relative(file, category)}\n".encode())
        digest.update(hashlib.sha256(read_content(file)).digest())
    return digest.hexdigest()


def relative(file: Path, category: Category) -> Path:
    """A file's place in its category."""
    return file.relative_to(category.folder) if file.is_relative_to(category.folder) else Path(file.name)


def read_kept(file: Path, kind: type[T]) -> T | None:
    """What is kept; None where there is nothing, or of another version."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def write_kept(file: Path, content: msgspec.Struct) -> None:
    """Keep it, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
