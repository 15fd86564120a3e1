"""Making a recipe: golden samples in, a sealed bundle out."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch

from calibrate.fit.bank import POOLS
from calibrate.fit.contrast import choose_contrast
from calibrate.fit.features import FeatureSource, measure, medoid
from calibrate.fit.golden_set import Golden, read_golden
from calibrate.fit.memory_rows import remember
from calibrate.fit.training import DEFAULTS, Fit, FitSettings, Progress
from engines.common.errors import ConfigError
from engines.common.files import written_aside
from engines.graph.assembly import weights_bytes
from engines.networks.backbone import Backbone, load_imagenet_weights
from engines.networks.kinds import new_network
from engines.pictures.geometry import MAX_GRID, Box, Geometry
from engines.recipe.bundle import FORMAT, WEIGHTS, Manifest, Recipe, load_recipe, seal
from engines.recipe.model_config import BANK, PROFILES, BankRatio, ModelConfig, TFANetConfig
from engines.recipe.naming import Naming
from engines.recipe.templates import Templates, write_templates


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


def make_recipe(request: FitRequest, say: Callable[[str], None], tell: Callable[[Progress], None]) -> Recipe:
    """Fit a network on a folder of golden samples and write the bundle; goes on with an interrupted fit of the same request.

    Raises UserError kinds for everything that the user can mend; nothing is left half-written.
    """
    if request.recipe.exists() and not request.replace:
        raise ConfigError(f"{request.recipe}: already exists; choose another --recipe, or overwrite it with --replace")
    try:  # now, not after the fit
        request.recipe.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--recipe {request.recipe}: no folder can be made there ({error.strerror}); choose another"
        ) from error
    config = _config(request)
    golden = read_golden(request.golden, request.seed, request.skip_damaged, say, request.template)
    geometry = _geometry(request, golden, config)
    asked = _asked_template(request, golden)
    defaults = DEFAULTS[request.network][request.profile]
    settings = msgspec.structs.replace(defaults, seed=request.seed, steps=request.steps or defaults.steps)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone = Backbone(config.backbone, config.contrast).to(device)
    load_imagenet_weights(backbone, config.backbone, request.backbone_weights)
    if request.contrast is None and isinstance(config, TFANetConfig) and config.memory:
        contrast = choose_contrast(backbone, config, [golden.images[i] for i in golden.fitted], geometry, request.seed, say)
        config = msgspec.structs.replace(config, contrast=contrast)
        backbone.set_contrast(contrast)
    torch.manual_seed(request.seed)
    network = new_network(config).to(device)
    say(f"{len(golden.fitted)} golden samples to fit on, {len(golden.held_out)} held out; computing their features")
    fitted = FeatureSource(backbone, [golden.images[i] for i in golden.fitted], geometry, device)
    held_out = FeatureSource(backbone, [golden.images[i] for i in golden.held_out], geometry, device)
    measures, deepest = measure(fitted, network)
    network.measure_channels(measures)
    for source in (fitted, held_out):
        source.keep_features(network)
    template = golden.fitted[medoid(deepest)] if asked is None else asked
    pool = POOLS[config.templates_file](network, fitted, held_out, golden, template)
    state_folder = request.recipe.with_name(f".{request.recipe.name}.fitting")
    identity = _identity(config, geometry, golden, settings, template, backbone)
    fit = Fit(network, fitted, held_out, pool, settings, state_folder / "state.pt", identity)
    if step := fit.resume():
        say(f"going on with the interrupted fit after step {step} of {settings.steps}")
    loss, curve = fit.run(tell)
    remember(network, fitted, pool, request.seed, say)
    kept, templates = pool.keep()
    names = tuple(golden.samples[i].name for i in kept)
    say(f"{told(names)}; loss on held-out samples: {loss:.4f}")
    weights = weights_bytes(backbone, network)
    _write(request, config, geometry, golden, names, settings, loss, curve, weights, templates)
    shutil.rmtree(state_folder, ignore_errors=True)
    return load_recipe(request.recipe, Naming(request.recipe, request.golden))


def _config(request: FitRequest) -> ModelConfig:
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


def told(names: tuple[str, ...]) -> str:
    """The templates that were chosen, in words."""
    return f"template: {names[0]}" if len(names) == 1 else f"bank of {len(names)} templates, the most typical is {names[0]}"


def _geometry(request: FitRequest, golden: Golden, config: ModelConfig) -> Geometry:
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


def _asked_template(request: FitRequest, golden: Golden) -> int | None:
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


def _identity(
    config: ModelConfig, geometry: Geometry, golden: Golden, settings: FitSettings, template: int, backbone: Backbone
) -> str:
    """A digest of everything that the fitted weights depend on."""
    parts = msgspec.json.encode((config, geometry, golden.samples, settings, template, str(torch.__version__)))
    digest = hashlib.sha256(parts)
    for value in backbone.levels.state_dict().values():
        digest.update(value.cpu().numpy())
    return digest.hexdigest()


def _write(
    request: FitRequest,
    config: ModelConfig,
    geometry: Geometry,
    golden: Golden,
    names: tuple[str, ...],
    settings: FitSettings,
    loss: float,
    curve: list[float],
    weights: bytes,
    templates: Templates,
) -> None:
    def manifest(files: dict[str, str]) -> Manifest:
        return Manifest(
            format=FORMAT,
            product=request.recipe.name,
            profile=request.profile,
            model=config,
            geometry=geometry,
            golden=golden.samples,
            templates=names,
            seed=settings.seed,
            steps=settings.steps,
            held_out_loss=loss,
            curve=tuple(round(value, 6) for value in curve),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions={name: version(name) for name in ("tfa-inspect", "torch", "timm", "numpy", "opencv-python-headless")},
            files=files,
        )

    with written_aside(request.recipe) as folder:
        (folder / WEIGHTS).write_bytes(weights)
        write_templates(folder, config.templates_file, templates)
        seal(folder, manifest)
