"""Fitting: a network learns to restore the features of golden samples with the help of a template.

AdamW, or Adam where nothing decays; the frozen backbone's features are computed once.  The state is saved regularly beside the
recipe, so that an interrupted fit goes on where it was.  The weights kept are the last: held-out samples choose nothing, since
thresholds rest on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LRScheduler

from calibrate.fit.bank import Pool
from calibrate.fit.features import FeatureSource
from engines.common.errors import RecipeError
from engines.networks.port import Network

CURVE = 100  # points, at most, of the curve of losses
SAVE_SECONDS = 20.0


class FitSettings(msgspec.Struct, frozen=True):
    """How to fit; the defaults of a network's profile are in `DEFAULTS`."""

    steps: int
    learning_rate: float
    batch: int
    seed: int
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    gradient_norm: float = 1.0
    one_cycle: bool = True  # else the learning rate stays as it is


DEFAULTS: Mapping[str, Mapping[str, FitSettings]] = {
    "tfa-net": {
        "small": FitSettings(steps=800, learning_rate=5e-4, batch=8, seed=0),
        "base": FitSettings(steps=20_000, learning_rate=1e-4, batch=4, seed=0),
    },
    "thfr": {
        "small": FitSettings(steps=600, learning_rate=2e-3, batch=8, seed=0, weight_decay=0.0, betas=(0.9, 0.999)),
        # The paper's: Adam, 200 epochs in batches of 16; MVTec AD's largest set has 391 samples.
        "base": FitSettings(5_000, 5e-3, 16, 0, weight_decay=0.0, betas=(0.9, 0.999), one_cycle=False),
    },
}


@dataclass(frozen=True)
class Progress:
    """Told after every step."""

    step: int
    steps: int
    loss: float
    eta_seconds: float


class Fit:
    """One fit; `run` goes from the last saved state to the end."""

    def __init__(
        self,
        network: Network,
        fitted: FeatureSource,
        held_out: FeatureSource,
        pool: Pool,
        settings: FitSettings,
        state_file: Path,
        identity: str,
    ) -> None:
        """``identity`` tells fits apart whose states do not mix."""
        self._network, self._fitted, self._held_out, self._pool = network, fitted, held_out, pool
        self._settings, self._file, self._identity = settings, state_file, identity
        self._optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        schedules = torch.optim.lr_scheduler
        self._schedule: LRScheduler = (
            schedules.OneCycleLR(self._optimizer, settings.learning_rate, total_steps=settings.steps)
            if settings.one_cycle
            else schedules.ConstantLR(self._optimizer, 1.0, 0)
        )
        self._draw = torch.Generator().manual_seed(settings.seed)
        self._device = next(network.parameters()).device
        self._half = self._device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
        self._step = 0
        self._losses: list[float] = []

    def resume(self) -> int:
        """Take up a saved state of the same fit, if there is one. Returns the step it stands at."""
        if self._file.exists():
            try:
                state = torch.load(self._file, map_location="cpu", weights_only=True)  # weights_only: tensors, never code
            except (RuntimeError, EOFError, UnpicklingError):
                return self._step  # cut off by a loss of power: start again
            if state["identity"] == self._identity:
                self._network.load_state_dict(state["network"])
                self._optimizer.load_state_dict(state["optimizer"])
                self._schedule.load_state_dict(state["schedule"])
                self._draw.set_state(state["draw"])
                torch.set_rng_state(state["masks"])
                self._step, self._losses = state["step"], state["losses"]
        return self._step

    def run(self, tell: Callable[[Progress], None]) -> tuple[float, list[float]]:
        """Fit to the end. Returns the loss on held-out samples, and the curve of fitting losses: means of equal stretches."""
        steps = self._settings.steps
        started, first, saved = time.monotonic(), self._step, time.monotonic()
        while self._step < steps:
            loss = self._one_step()
            self._losses.append(loss)
            self._step += 1
            if time.monotonic() - saved > SAVE_SECONDS:
                self._save()
                saved = time.monotonic()
            pace = (time.monotonic() - started) / (self._step - first)
            tell(Progress(self._step, steps, loss, pace * (steps - self._step)))
        return self._held_out_loss(), [float(part.mean()) for part in np.array_split(self._losses, min(CURVE, steps))]

    def _one_step(self) -> float:
        self._network.train()
        size = (self._settings.batch,)
        frames = torch.randint(len(self._fitted), size, generator=self._draw)
        tiles = torch.randint(self._fitted.tiles, size, generator=self._draw)
        chosen = self._pool.draw(frames, self._draw)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            loss = self._loss(self._fitted.features(self._network, frames, tiles), chosen, tiles)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(self._network.parameters(), self._settings.gradient_norm)
        self._optimizer.step()
        self._schedule.step()
        return float(loss.detach())

    def _held_out_loss(self) -> float:
        """The mean loss on all held-out samples, unmasked, as at inspection."""
        self._network.eval()
        losses = []
        every_tile = torch.arange(self._held_out.tiles)
        with torch.no_grad(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            for frame in range(len(self._held_out)):
                chosen = torch.full_like(every_tile, self._pool.nearest(frame))
                losses.append(float(self._loss(self._held_out.frame(self._network, frame), chosen, every_tile)))
        return sum(losses) / len(losses)

    def _loss(self, features: list[Tensor], templates: Tensor, tiles: Tensor) -> Tensor:
        """Of samples with these templates' features at these tiles; those of a template that serves several are taken once."""
        pairs, which = torch.stack([templates, tiles], dim=1).unique(dim=0, return_inverse=True)
        return self._network.loss(features, self._pool.features(*pairs.unbind(1)), which)

    def _save(self) -> None:
        aside = self._file.with_suffix(".part")
        state = {
            "identity": self._identity,
            "step": self._step,
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "draw": self._draw.get_state(),
            "masks": torch.get_rng_state(),
            "losses": self._losses,
        }
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, aside)
            aside.replace(self._file)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError when the disk refuses
            aside.unlink(missing_ok=True)
            raise RecipeError(
                f"{self._file}: the state of the fit cannot be saved ({str(error).splitlines()[0]}); "
                "make room or choose another place, then run the same command again"
            ) from error
