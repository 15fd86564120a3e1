"""THFR: features pressed through bottlenecks are restored with the help of the most similar golden sample.

Source: H. Guo, L. Ren, J. Fu et al., "Template-guided Hierarchical Feature Restoration for Anomaly Detection", ICCV 2023, pp.
6447-6458; numbers in comments are the paper's size.  Two paths lead through the decoder: the semantic one from the global
bottleneck, the detail one from the local bottleneck.  Levels go finest first: 256 at 64 x 64, 512 at 32 x 32, 1024 at 16 x 16.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from engines.networks.anomaly_map import distances, smooth, smoothing_matrix
from engines.networks.backbone import Backbone
from engines.networks.port import Network
from engines.networks.search import Search, unit_rows
from engines.networks.thfr_parts import Compensation, GlobalBottleneck, LocalBottleneck, Stage
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import THFRConfig
from engines.recipe.templates import Templates

LEVELS = 3
LEVEL2, KEYS, LENGTHS = "level2", "keys", "lengths"  # of a bank: level 3 is keys times lengths


class ChannelNorm(nn.Module):
    """Channels normalised by what was measured over the golden samples."""

    channel_mean: Tensor
    channel_std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("channel_mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("channel_std", torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> float32 of the same shape: small deviations of a channel are what counts."""
        return (x.float() - self.channel_mean) / self.channel_std


class Smoothing(nn.Module):
    """Upsampling and smoothing of one level's map."""

    smoothing: Tensor

    def __init__(self, source: int, target: int, sigma: float) -> None:
        super().__init__()
        self.register_buffer("smoothing", smoothing_matrix(source, target, sigma), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, source, source) -> (N, target, target)."""
        return smooth(maps, self.smoothing)


class THFR(Network):
    """The network without its backbone: features and a template's features in, restored features out."""

    config: THFRConfig

    def __init__(self, config: THFRConfig) -> None:
        super().__init__()
        self.config = config
        fine, middle, deep = config.channels
        _, middle_side, deep_side = config.sides
        semantic, detail, last = zip(config.widths, config.blocks, strict=True)
        parts = (config.template, config.relation)
        self.norms = nn.ModuleList(ChannelNorm(channels) for channels in config.channels)
        self.global_bottleneck = GlobalBottleneck(deep, config.code, deep_side // 2) if config.global_bottleneck else None
        self.semantic_stage = Stage(config.code, *semantic, deep) if config.global_bottleneck else None
        self.local_bottleneck = LocalBottleneck(config.channels, config.code) if config.local_bottleneck else None
        self.detail_stage = Stage(config.code, *semantic, deep) if config.local_bottleneck else None
        self.middle_stage = Stage(deep, *detail, middle)
        self.fine_stage = Stage(middle, *last, fine)
        # Both before the level goes on: the semantic path's at level 3, the joined paths' at level 2.
        needs_semantic = config.compensates and config.global_bottleneck
        self.semantic = Compensation(deep, deep_side**2, True, *parts) if needs_semantic else None
        self.detail = Compensation(middle, middle_side**2, False, *parts) if config.compensates else None
        self.smoothings = nn.ModuleList(Smoothing(side, config.input_side, config.smoothing) for side in config.sides)

    # Features

    def maps(self, levels: list[Tensor]) -> list[Tensor]:
        """See `Network.maps`: the last three levels as they are."""
        return [level.float() for level in levels[-LEVELS:]]

    def measure_channels(self, measures: list[tuple[Tensor, Tensor]]) -> None:
        """See `Network.measure_channels`."""
        if self.config.normalise_features:
            for norm, (mean, std) in zip(self.norms, measures, strict=True):
                norm.channel_mean.copy_(mean.view(1, -1, 1, 1))  # type: ignore[operator]
                norm.channel_std.copy_(std.clamp_min(1e-6).view(1, -1, 1, 1))  # type: ignore[operator]

    def features(self, levels: list[Tensor]) -> list[Tensor]:
        """See `Network.features`: three normalised levels, finest first."""
        return [norm(level) for norm, level in zip(self.norms, levels[-LEVELS:], strict=True)]

    # Network

    def restore(self, features: list[Tensor], middle: Tensor, deep: Tensor) -> list[Tensor]:
        """Features of N samples and their templates' levels 2 and 3 -> restored levels, finest first."""
        kind = next(self.middle_stage.parameters()).dtype
        features = [level.to(kind) for level in features]
        paths = []
        if self.global_bottleneck is not None and self.semantic_stage is not None:
            path = self.semantic_stage(self.global_bottleneck(features[-1]))
            paths.append(path if self.semantic is None else self.semantic(path, deep.to(kind)))
        if self.local_bottleneck is not None and self.detail_stage is not None:
            paths.append(self.detail_stage(self.local_bottleneck(features)))
        restored_deep = paths[0] if len(paths) == 1 else paths[0] + paths[1]
        restored_middle = self.middle_stage(restored_deep)
        if self.detail is not None:
            restored_middle = self.detail(restored_middle, middle.to(kind))
        return [self.fine_stage(restored_middle), restored_middle, restored_deep]

    def loss(self, features: list[Tensor], templates: list[Tensor], which: Tensor) -> Tensor:
        """See `Network.loss`: for each level 1 - cosine along channels, averaged over positions, summed over levels."""
        restored = self.restore(features, templates[1][which], templates[2][which])
        losses = [
            (1 - nn.functional.cosine_similarity(level, again.float(), dim=1)).mean()
            for level, again in zip(features, restored, strict=True)
        ]
        return torch.stack(losses).sum()

    def anomaly_map(self, features: list[Tensor], restored: list[Tensor]) -> Tensor:
        """Sum over levels of the smoothed 1 - cosine, (N, input side, input side)."""
        maps = [
            smoothing(distances(level, again.float())[1])
            for smoothing, level, again in zip(self.smoothings, features, restored, strict=True)
        ]
        return torch.stack(maps).sum(dim=0)

    # Templates

    def bank(self, features: list[Tensor]) -> dict[str, Tensor]:
        """See `Network.bank`: half-precision levels 2 and 3 of K templates (K, tiles, ...); level 3 at unit length."""
        keys, lengths = unit_rows(features[2].flatten(1))
        return {LEVEL2: features[1].half(), KEYS: keys.half(), LENGTHS: lengths}

    def bind(self, backbone: Backbone, geometry: Geometry, templates: Templates) -> nn.Module:
        """See `Network.bind`."""
        return Banked(self, {name: torch.from_numpy(np.array(value)) for name, value in templates.features.items()})


class Banked(nn.Module):
    """THFR with its bank as constants: the search, the template's features by index, and the map in one module."""

    level2: Tensor

    def __init__(self, network: THFR, bank: dict[str, Tensor]) -> None:
        super().__init__()
        self.network = network
        device = next(network.middle_stage.parameters()).device
        searches = network.config.compensates  # else no template takes part
        self.search = Search(bank[KEYS].float(), bank[LENGTHS]).to(device) if searches else None
        self.register_buffer("level2", bank[LEVEL2].float().to(device) if searches else torch.empty(0), persistent=False)

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """See `Network.bind`; without compensation the similarity is NaN."""
        features = self.network.features(levels)
        if self.search is None:
            middle, deep, match = features[1], features[2], features[2].new_full((2,), torch.nan)
        else:
            index, match = self.search(features[-1])
            middle = self.level2.index_select(0, index)[0]
            deep = self.search.chosen(index, features[-1].shape)
        return self.network.anomaly_map(features, self.network.restore(features, middle, deep)), match
