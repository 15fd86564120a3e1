"""What a fit is asked for, and what follows from it before anything is computed."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from calibrate.fit.golden_set import Golden
from engines.common.errors import ConfigError
from engines.pictures.geometry import MAX_GRID, Box, Geometry
from engines.recipe.model_config import BANK, PROFILES, BankRatio, ModelConfig, TFANetConfig


class FitRequest(msgspec.Struct, frozen=True):
    """What the user asked for."""

    golden: Path
    recipe: Path
    network: str = "tfa-net"
    profile: str = "small"
    backbone_weights: Path | None = None
    region: Box | None = None
    rows: int | None = None  # None: by the region's shape, see `auto_grid`
    columns: int | None = None
    overlap: float = 0.125
    template: str | None = None
    bank_ratio: BankRatio | None = None
    contrast: float | None = None  # None: the profile's, or with a memory by measurement
    steps: int | None = None
    seed: int = 0
    skip_damaged: bool = False
    replace: bool = False


def need_new(request: FitRequest) -> None:
    """Raise ConfigError where a recipe is already, unless it may be replaced."""
    if request.recipe.exists() and not request.replace:
        raise ConfigError(f"{request.recipe}: already exists; choose another --recipe, or overwrite it with --replace")


def state_folder(recipe: Path) -> Path:
    """Where the state of a fit that is not finished lies."""
    return recipe.with_name(f".{recipe.name}.fitting")


def has_memory(config: ModelConfig) -> bool:
    """Whether a network of this size keeps a memory, which is all that a first recipe needs."""
    return isinstance(config, TFANetConfig) and config.memory > 0


def config_of(request: FitRequest) -> ModelConfig:
    """The network's configuration. Raises ConfigError for options that do not go together."""
    config = PROFILES[request.network][request.profile]
    if request.contrast is not None:
        if not 0.1 <= request.contrast <= 8:  # NaN is not
            raise ConfigError(f"--contrast {request.contrast:g}: give a number from 0.1 to 8, or leave it out")
        config = msgspec.structs.replace(config, contrast=request.contrast)
    if config.templates_file == BANK:
        if request.template is not None:
            raise ConfigError(f"--template: {request.network} keeps a bank of golden samples; leave it out, see --bank-ratio")
        return config if request.bank_ratio is None else msgspec.structs.replace(config, bank_ratio=request.bank_ratio)
    if request.bank_ratio is not None:
        raise ConfigError(f"--bank-ratio: {request.network} has one template and no bank; leave it out, see --template")
    return config


def geometry_of(request: FitRequest, golden: Golden, config: ModelConfig) -> Geometry:
    """Where in these samples the product lies. Raises ConfigError for a region or a grid that does not fit."""
    height, width = golden.images[0].shape[:2]
    region = request.region or (0, 0, width, height)
    rows, columns = auto_grid(region[2], region[3], request.overlap)
    try:
        return Geometry(
            (width, height),
            region,
            rows if request.rows is None else request.rows,
            columns if request.columns is None else request.columns,
            request.overlap,
            config.input_side,
            golden.channels,
        )
    except ValueError as error:
        raise ConfigError(f"--region or --grid: {error}") from error


def auto_grid(width: int, height: int, overlap: float) -> tuple[int, int]:
    """Rows and columns for a region of this size: tiles as square as can be of one at least twice as long as wide, else one.

    A tile is squeezed into the network's square input.  Up to 2 to 1 that costs less than more tiles do, each of which
    takes the time of a frame.
    """
    long, short = max(width, height), max(1, min(width, height))
    if long < 2 * short:
        return 1, 1
    count = min(range(1, MAX_GRID + 1), key=lambda n: abs(math.log(long / (1 + (n - 1) * (1 - overlap)) / short)))
    return (1, count) if width > height else (count, 1)


def asked_template(request: FitRequest, golden: Golden) -> int | None:
    """Index of the template that was asked for among all golden samples; None when none was."""
    if request.template is None:
        return None
    names = [sample.name for sample in golden.samples]
    if request.template not in names:
        raise ConfigError(
            f"--template {request.template}: no golden sample of that name in {request.golden}; "
            f"give a file name such as {names[0]}"
        )
    return names.index(request.template)
