"""Making a recipe: golden samples in, a sealed bundle out."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch

from calibrate.fit.bank import POOLS, Pool
from calibrate.fit.contrast import choose_contrast
from calibrate.fit.features import FeatureSource, measure, medoid
from calibrate.fit.fit_request import FitRequest, asked_template, config_of, geometry_of, need_new, state_folder
from calibrate.fit.golden_set import Golden, read_golden
from calibrate.fit.memory_rows import remember
from calibrate.fit.restoration_trial import trial_samples, try_restoration
from calibrate.fit.training import DEFAULTS, Fit, FitSettings, Progress
from engines.common.errors import ConfigError
from engines.common.files import written_aside
from engines.graph.assembly import weights_bytes
from engines.networks.backbone import Backbone, load_imagenet_weights
from engines.networks.kinds import new_network
from engines.networks.port import Network
from engines.networks.tfa_net import TFANet
from engines.pictures.geometry import Geometry
from engines.recipe.bundle import FORMAT, WEIGHTS, Manifest, Recipe, load_recipe, seal
from engines.recipe.model_config import ModelConfig, TFANetConfig
from engines.recipe.naming import Naming
from engines.recipe.templates import write_templates
from engines.recipe.trials import Trial, save_trials
from engines.targets.openvino_backbone import compiled_levels

PACKAGES = ("tfa-inspect", "torch", "timm", "numpy", "opencv-python-headless")  # whose versions a recipe records


class Fitted(msgspec.Struct, frozen=True):
    """What fitting the restoration came to: see `Manifest`."""

    steps: int
    loss: float
    curve: tuple[float, ...]


class RecipeFit:
    """One fit, from golden samples to a recipe: features first, then `remember` and `try_restoring`, or `restore` alone."""

    def __init__(self, request: FitRequest, say: Callable[[str], None]) -> None:
        """Read the golden samples and compute their features. Raises UserError kinds for everything that the user can mend."""
        self._request, self._say = request, say
        try:  # now, not after the fit
            request.recipe.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"--recipe {request.recipe}: no folder can be made there ({error.strerror}); choose another"
            ) from error
        config = config_of(request)
        self._golden = golden = read_golden(request.golden, request.seed, request.skip_damaged, say, request.template)
        self._geometry = geometry = geometry_of(request, golden, config)
        asked = asked_template(request, golden)
        self._device = device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._backbone = backbone = Backbone(config.backbone, config.contrast).to(device)
        load_imagenet_weights(backbone, config.backbone, request.backbone_weights)
        if device.type == "cpu":
            backbone.compute_with(compiled_levels(backbone.levels, config.input_side))
        images = [golden.images[i] for i in golden.fitted]
        self._trials: tuple[Trial, ...] = ()
        if request.contrast is None and isinstance(config, TFANetConfig) and config.memory:
            contrast, self._trials = choose_contrast(backbone, config, images, geometry, request.seed, say)
            config = msgspec.structs.replace(config, contrast=contrast)
            backbone.set_contrast(contrast)
        self._config = config
        say(f"{len(golden.fitted)} golden samples to fit on, {len(golden.held_out)} held out; computing their features")
        self._fitted = FeatureSource(backbone, images, geometry, device)
        self._held_out = FeatureSource(backbone, [golden.images[i] for i in golden.held_out], geometry, device)
        torch.manual_seed(request.seed)
        self._network = new_network(config).to(device)
        self._measures, deepest = measure(self._fitted, self._network)
        self._network.measure_channels(self._measures)
        for source in (self._fitted, self._held_out):
            source.keep_features(self._network)
        self._template = golden.fitted[medoid(deepest)] if asked is None else asked

    def remember(self) -> Recipe:
        """Write a recipe whose network has a memory alone: a line can run on it. The network's kind must have one."""
        assert isinstance(self._config, TFANetConfig), "see has_memory"
        config = msgspec.structs.replace(self._config, restoration=False)
        network = new_network(config).to(self._device)
        network.measure_channels(self._measures)
        pool = self._pool(network)
        remember(network, self._fitted, pool, self._request.seed, self._say)
        return self._write(self._request.recipe, config, network, pool, None, self._trials)

    def restore(self, tell: Callable[[Progress], None]) -> Recipe:
        """Fit the whole network and write the recipe; goes on with an interrupted fit of the same request."""
        pool = self._pool(self._network)
        fitted = self._fit(pool, self._fitted, tell)
        return self._whole(self._request.recipe, pool, fitted, self._trials)

    def try_restoring(self, recipe: Path, tell: Callable[[Progress], None]) -> Recipe | None:
        """Fit the restoration, too, and write a second recipe if it tells faint defects better than the memory alone does.

        Some fitted samples are kept from it, and it is tried on those; held-out samples take no part.  What it came to is
        written beside the first recipe, too.
        """
        network, request, golden = self._network, self._request, self._golden
        assert isinstance(network, TFANet), "see has_memory"
        pool = self._pool(network)
        known, kept_back = trial_samples(len(self._fitted), golden.fitted.index(self._template), request.seed)
        fitted = self._fit(pool, self._fitted.part(known), tell)
        images = [golden.images[golden.fitted[i]] for i in kept_back]
        source = self._fitted.part(known)
        trial = try_restoration(network, self._backbone, source, pool, images, self._geometry, request.seed)
        self._say(trial.told)
        trials = (*self._trials, trial)
        save_trials(load_recipe(request.recipe), trials)
        second = self._whole(recipe, pool, fitted, trials) if trial.kept else None
        shutil.rmtree(state_folder(request.recipe), ignore_errors=True)
        return second

    def _pool(self, network: Network) -> Pool:
        kind = POOLS[self._config.templates_file]
        return kind(network, self._fitted, self._held_out, self._golden, self._template)

    def _fit(self, pool: Pool, source: FeatureSource, tell: Callable[[Progress], None]) -> Fitted:
        request = self._request
        defaults = DEFAULTS[request.network][request.profile]
        settings = msgspec.structs.replace(defaults, seed=request.seed, steps=request.steps or defaults.steps)
        identity = _identity(self._config, self._geometry, self._golden, settings, self._template, self._backbone, len(source))
        torch.manual_seed(request.seed)  # masks are the same whatever was computed before
        file = state_folder(request.recipe) / "state.pt"
        fit = Fit(self._network, source, self._held_out, pool, settings, file, identity)
        if step := fit.resume():
            self._say(f"going on with the interrupted fit after step {step} of {settings.steps}")
        loss, curve = fit.run(tell)
        return Fitted(settings.steps, loss, tuple(round(value, 6) for value in curve))

    def _whole(self, recipe: Path, pool: Pool, fitted: Fitted, trials: tuple[Trial, ...]) -> Recipe:
        remember(self._network, self._fitted, pool, self._request.seed, self._say)
        made = self._write(recipe, self._config, self._network, pool, fitted, trials)
        shutil.rmtree(state_folder(self._request.recipe), ignore_errors=True)
        return made

    def _write(
        self,
        recipe: Path,
        config: ModelConfig,
        network: Network,
        pool: Pool,
        fitted: Fitted | None,
        trials: tuple[Trial, ...],
    ) -> Recipe:
        request, golden = self._request, self._golden
        kept, templates = pool.keep()
        names = tuple(golden.samples[i].name for i in kept)
        self._say(told(names) + ("" if fitted is None else f"; loss on held-out samples: {fitted.loss:.4f}"))

        def manifest(files: dict[str, str]) -> Manifest:
            return Manifest(
                format=FORMAT,
                product=recipe.name,
                profile=request.profile,
                model=config,
                geometry=self._geometry,
                golden=golden.samples,
                templates=names,
                seed=request.seed,
                steps=0 if fitted is None else fitted.steps,
                held_out_loss=None if fitted is None else fitted.loss,
                curve=() if fitted is None else fitted.curve,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                versions={name: version(name) for name in PACKAGES},
                files=files,
            )

        with written_aside(recipe) as folder:
            (folder / WEIGHTS).write_bytes(weights_bytes(self._backbone, network))
            write_templates(folder, config.templates_file, templates)
            seal(folder, manifest)
        made = load_recipe(recipe, Naming(recipe, request.golden))
        if trials:
            save_trials(made, trials)
        return made


def make_recipe(request: FitRequest, say: Callable[[str], None], tell: Callable[[Progress], None]) -> Recipe:
    """Fit the whole network on a folder of golden samples and write the bundle, or go on with an interrupted fit.

    Raises UserError kinds for everything that the user can mend; nothing is left half-written.
    """
    need_new(request)
    return RecipeFit(request, say).restore(tell)


def told(names: tuple[str, ...]) -> str:
    """The templates that were chosen, in words."""
    return f"template: {names[0]}" if len(names) == 1 else f"bank of {len(names)} templates, the most typical is {names[0]}"


def _identity(
    config: ModelConfig,
    geometry: Geometry,
    golden: Golden,
    settings: FitSettings,
    template: int,
    backbone: Backbone,
    samples: int,
) -> str:
    """A digest of everything that the fitted weights depend on."""
    parts = msgspec.json.encode((config, geometry, golden.samples, settings, template, samples, str(torch.__version__)))
    digest = hashlib.sha256(parts)
    for value in backbone.levels.state_dict().values():
        digest.update(value.cpu().numpy())
    return digest.hexdigest()
