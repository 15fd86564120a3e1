"""Golden samples that deviate most from the others, by what a frozen backbone sees: before any fit, and without a recipe.

Leave-one-out: each picture's features are compared, place by place, with those of the other pictures at that place and its
neighbours.  A place's distance is that to the k-th nearest of the others, k being a fiftieth of them, so that a few pictures
with the same fault do not vouch for each other; in units of what is usual at that place, so that a screw head that turns from
part to part stands out less than a stain where all parts are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from calibrate.collection.picture_checks import Checks, Looks, look_at
from engines.common.errors import ImageError
from engines.networks.backbone import Backbone, load_imagenet_weights
from engines.pictures.geometry import Box, Geometry, Pixels
from engines.pictures.images import list_images, read_image
from engines.recipe.golden_samples import resize

BACKBONE, LEVELS = "efficientnet-lite0", (1, 2)  # strides 8 and 16
SIDE = 320  # of the network's input, where no recipe says how to cut the frame
FEWEST = 5  # pictures: among fewer nothing is usual
NEAREST_SHARE = 0.02
TOP_SHARE = 0.003  # of one tile's places: a picture's score is the mean of so many of its largest
LEAST_UNIT = 0.5  # of the median over all places: where all parts are the same to the last bit, noise is no deviation
BATCH, DISTANCES_AT_ONCE = 16, 1 << 25
# Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993: modified z-scores beyond 3.5 are to be looked at.
LIMIT = 3.5
Floats = npt.NDArray[np.float32]
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Reviewed:
    """One picture: how far it is from the others (1 is usual), also in robust standard deviations of all scores' logarithms.

    One that cannot be read has NaN for both.
    """

    name: str
    score: float
    z: float
    note: str = ""  # what else is odd about it

    @property
    def marked(self) -> bool:
        """Whether a person should look at it."""
        return not self.z <= LIMIT


@dataclass(frozen=True)
class Review:
    """All pictures of a folder, the most deviating first, and where each of them deviates."""

    pictures: tuple[Reviewed, ...]
    maps: dict[str, Floats]  # name -> (tiles, h, w)
    geometry: Geometry | None

    def boxes(self, size: tuple[int, int]) -> tuple[Box, ...]:
        """Where a map's tiles lie in a frame of (width, height)."""
        return self.geometry.boxes if self.geometry else ((0, 0, *size),)


def review_folder(folder: Path, geometry: Geometry | None, tell: Tell) -> Review:
    """Measure every picture of a folder against the others.

    ``geometry`` is a recipe's: what it inspects is compared, in its tiles; None: the whole frame as one tile.  Damaged files,
    and those of the other kind, grey or colour, than the recipe's come first, unmeasured.  Raises ImageError when fewer than 5
    can be read.
    """
    names: list[str] = []
    looks: list[Looks] = []
    tiles: list[Pixels] = []
    damaged: list[Reviewed] = []
    files = list_images(folder)
    steps = len(files) * (1 + 2 * (geometry.tiles if geometry else 1))
    for done, file in enumerate(files, start=1):
        try:
            image = read_image(file)
            if geometry is not None:
                geometry.need_kind(image)
        except ImageError as error:
            damaged.append(Reviewed(file.name, float("nan"), float("nan"), str(error).removeprefix(f"{file}: ")))
            continue
        names.append(file.name)
        looks.append(look_at(image))
        tiles.append(_cut(image, geometry))
        tell(done, steps)
    if len(names) < FEWEST:
        raise ImageError(f"{folder}: {len(names)} pictures can be read, at least {FEWEST} are needed to tell what is usual")
    backbone = Backbone(BACKBONE)
    load_imagenet_weights(backbone, BACKBONE, None)
    pictures = torch.from_numpy(np.stack(tiles))  # (N, tiles, side, side, 3)
    maps = []
    for tile in range(pictures.shape[1]):
        features = _features(backbone, pictures[:, tile], _share_of(tell, len(files), 1 + 2 * tile, steps))
        maps.append(deviations(features, _share_of(tell, len(files), 2 + 2 * tile, steps)))
    stacked = torch.stack(maps, dim=1).numpy()  # (N, tiles, h, w)
    scores = _scores(stacked)
    notes = _notes(names, looks)
    measured = [
        Reviewed(name, float(score), float(z), notes.get(name, ""))
        for name, score, z in zip(names, scores, robust_z(scores), strict=True)
    ]
    measured.sort(key=lambda one: one.z, reverse=True)
    return Review((*damaged, *measured), dict(zip(names, stacked, strict=True)), geometry)


def deviations(features: Tensor, tell: Callable[[float], None] = lambda _: None) -> Tensor:
    """How far each place of each picture is from that place and its 8 neighbours in the other pictures, 1 being usual there.

    (N, C, h, w) -> (N, h, w) float32; ``tell`` hears which share is done.  As the nearest-neighbour search over patches of
    PatchCore (Roth et al., CVPR 2022, section 3.3), but only among places of the same position, and without the picture itself.
    """
    count, _, height, width = features.shape
    nearest = max(1, round((count - 1) * NEAREST_SHARE))
    around = F.pad(features, (1, 1, 1, 1), mode="replicate")
    columns = max(1, DISTANCES_AT_ONCE // count**2)
    found = torch.empty(count, height, width)
    for row in range(height):
        for left in range(0, width, columns):
            here = _places(features[:, :, row, left : left + columns])  # (places, N, C)
            least = torch.full((len(here), count, count), torch.inf)
            for down in range(3):
                for right in range(3):
                    there = _places(around[:, :, row + down, left + right : left + right + len(here)])
                    torch.minimum(least, _squared_distances(here, there), out=least)
            least.diagonal(dim1=1, dim2=2).fill_(torch.inf)
            found[:, row, left : left + columns] = least.kthvalue(nearest, dim=2).values.sqrt().T
        tell((row + 1) / height)
    usual = found.median(dim=0).values  # (h, w)
    unit = usual.clamp_min(max(LEAST_UNIT * float(usual.median()), 1e-6))
    return found / unit


def robust_z(scores: Floats) -> Floats:
    """Distance of each score's logarithm from their median, in robust standard deviations (1.4826 times the MAD)."""
    logs = np.log(np.maximum(scores, 1e-9))
    off = logs - np.median(logs)
    spread = 1.4826 * float(np.median(np.abs(off)))
    return np.asarray(off / max(spread, 1e-6), np.float32)  # all alike but one: that one is far out


def _cut(image: Pixels, geometry: Geometry | None) -> Pixels:
    """(tiles, side, side, 3) of a picture."""
    height, width = image.shape[:2]
    if geometry is None:
        return Geometry((width, height), (0, 0, width, height), input_side=SIDE).cut_new(image)
    return geometry.cut_new(resize(image, *geometry.frame))


def _share_of(tell: Tell, count: int, begun: int, steps: int) -> Callable[[float], None]:
    """Tells the progress of one step, which counts as much as reading all ``count`` pictures, after ``begun`` such steps."""
    return lambda share: tell(round(count * (begun + share)), steps)


def _features(backbone: Backbone, pictures: Tensor, tell: Callable[[float], None]) -> Tensor:
    """(N, side, side, 3) uint8 -> (N, C, side / 8, side / 8) float32: both levels, each of as much weight as the other."""
    fine, coarse = [], []
    with torch.no_grad():
        for part in pictures.split(BATCH):
            levels = backbone(part)
            fine.append(_pooled(levels[LEVELS[0]]))
            coarse.append(_pooled(levels[LEVELS[1]]))
            tell(min(1.0, len(fine) * BATCH / len(pictures)))
        first, second = _weighted(torch.cat(fine)), _weighted(torch.cat(coarse))
        second = F.interpolate(second, size=first.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([first, second], dim=1)


def _pooled(level: Tensor) -> Tensor:
    """A place's features averaged with its neighbours', as PatchCore does: parts do not lie still to the pixel."""
    return F.avg_pool2d(level, 3, stride=1, padding=1, count_include_pad=False)


def _weighted(level: Tensor) -> Tensor:
    """Channels with standard deviation 1 over all pictures and places; divided by the root of their number."""
    spread = level.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
    weighted: Tensor = level / (spread * level.shape[1] ** 0.5)
    return weighted


def _places(features: Tensor) -> Tensor:
    """(N, C, places) -> (places, N, C)."""
    return features.permute(2, 0, 1).contiguous()


def _squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """(places, N, C) twice -> (places, N, N)."""
    norms = one.square().sum(dim=2)[:, :, None] + other.square().sum(dim=2)[:, None]
    squared: Tensor = torch.baddbmm(norms, one, other.transpose(1, 2), alpha=-2)
    return squared.clamp_min_(0)


def _scores(maps: Floats) -> Floats:
    """(N, tiles, h, w) -> (N,)."""
    top = max(1, round(TOP_SHARE * maps.shape[2] * maps.shape[3]))
    flat = maps.reshape(len(maps), -1)
    return np.asarray(np.partition(flat, -top, axis=1)[:, -top:].mean(axis=1), np.float32)


def _notes(names: Sequence[str], looks: Sequence[Looks]) -> dict[str, str]:
    """What the checks of `calibrate collect` find, which pictures from elsewhere have not been through."""
    checks, notes = Checks(None), {}
    for name, one in zip(names, looks, strict=True):
        if again := checks.repeated(one):
            notes[name] = again.text
        checks.keep(name, one)
    return notes | {name: refusal.text for name, refusal in checks.doubtful().items()}
