"""The recipe bundle: one folder that holds all that inspecting one product needs.

    recipe.json            manifest: model, geometry, golden set, versions, and a SHA-256 of every other file
    weights.safetensors    frozen backbone and fitted network
    template.png           the defect-free frame that the network aggregates onto; for a network with a bank of templates
    bank.safetensors       instead (see engines/recipe/templates.py)
    thresholds.json        written by `calibrate thresholds`, versioned apart (see engines/recipe/thresholds.py)

A bundle is written aside and renamed, so that there is either a whole one or none.  A file is opened only after its
digest has been checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec

from engines.common.errors import RecipeError
from engines.common.files import Sha256, check_digest, decode_json, write_file
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import ModelConfig
from engines.recipe.naming import Naming

MANIFEST, WEIGHTS = "recipe.json", "weights.safetensors"
FORMAT = 8


class GoldenSample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One golden sample that took part in the fit, by the name and content of its file."""

    name: str
    sha256: Sha256
    held_out: bool


class _Format(msgspec.Struct, frozen=True):
    format: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`recipe.json`."""

    format: Annotated[int, msgspec.Meta(ge=FORMAT, le=FORMAT)]
    product: str
    profile: str
    model: ModelConfig
    geometry: Geometry
    golden: tuple[GoldenSample, ...]
    templates: tuple[str, ...]  # names of the golden samples
    seed: int
    steps: int  # 0: of a memory alone
    held_out_loss: float | None
    curve: tuple[float, ...]  # of the fit's losses, from its first step to its last
    created: str  # UTC, ISO 8601
    versions: dict[str, str]
    files: dict[str, Sha256]


class Recipe(msgspec.Struct, frozen=True):
    """A bundle whose files have been checked against its manifest."""

    folder: Path
    manifest: Manifest
    digest: str  # SHA-256 of the manifest, which holds all other digests
    naming: Naming  # for advice

    @property
    def name(self) -> str:
        """The bundle's folder name."""
        return self.folder.name


def load_recipe(folder: Path, naming: Naming | None = None) -> Recipe:
    """Read and check a bundle. Raises RecipeError that names the file and the mend.

    ``naming``: what advice about it calls it; None: its folder is all that is known.
    """
    file = folder / MANIFEST
    naming = naming or Naming(folder)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise RecipeError(f"{folder}: no recipe there ({MANIFEST} is missing); make one with: {naming.fit}") from None
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read ({error.strerror})") from error
    made_in = decode_json(content, _Format, file).format
    if made_in != FORMAT:
        raise RecipeError(
            f"{file}: of format {made_in}, this version reads {FORMAT}; fit it again with: {naming.fit} --replace"
        )
    manifest = decode_json(content, Manifest, file)
    if unchecked := sorted({WEIGHTS, manifest.model.templates_file} - set(manifest.files)):
        raise RecipeError(f"{file}: has no digest of {', '.join(unchecked)}; restore the recipe from its backup")
    for name, expected in manifest.files.items():
        if Path(name).name != name or name in ("", ".."):
            raise RecipeError(f"{file}: names a file outside the recipe ({name!r}); restore the recipe from its backup")
        check_digest(folder / name, expected)
    return Recipe(folder, manifest, hashlib.sha256(content).hexdigest(), naming)


def seal(folder: Path, manifest: Callable[[dict[str, str]], Manifest]) -> None:
    """Write the manifest over all files that are in the folder so far."""
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir()) if file.is_file()}
    write_file(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest(digests)), indent=2) + b"\n")
