"""TFA-Net: input features are aggregated onto those of one defect-free template; what does not fit is the defect.

Source: W. Luo, H. Yao, W. Yu, "Template-based Feature Aggregation Network for industrial anomaly detection",
Engineering Applications of Artificial Intelligence 131 (2024) 107810; numbers in comments are the paper's size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.networks.anomaly_map import distances, smooth, smoothing_matrix
from engines.networks.backbone import Backbone
from engines.networks.memory import Memory, Remembered
from engines.networks.port import Network
from engines.networks.search import Search
from engines.networks.transformer import Block, init_weights, sincos_position
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import TFANetConfig
from engines.recipe.templates import Templates


class TFANet(Network):
    """The network without its backbone: feature levels in, reconstruction, loss or anomaly map out."""

    config: TFANetConfig
    channel_mean: Tensor
    channel_std: Tensor
    position: Tensor
    refine_position: Tensor
    smoothing: Tensor

    def __init__(self, config: TFANetConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("channel_mean", torch.zeros(1, config.channels, 1, 1))
        self.register_buffer("channel_std", torch.ones(1, config.channels, 1, 1))
        self.register_buffer(
            "smoothing", smoothing_matrix(config.feature_side, config.input_side, config.smoothing), persistent=False
        )
        self.memory = Memory(config.memory, config.level_channels, config.grid, config.patch) if config.memory else None
        if config.restoration:
            self._make_restoration(config)

    def _make_restoration(self, config: TFANetConfig) -> None:
        vector = config.patch**2 * config.channels  # one token's numbers (29,696)
        self.tokenise = nn.Conv2d(config.channels, config.dim, config.patch, config.patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.register_buffer("position", sincos_position(config.dim, config.grid))
        self.aggregation = nn.ModuleList(Block(config.dim, config.heads) for _ in range(config.depth))
        self.aggregation_norm = nn.LayerNorm(config.dim, eps=1e-5)
        self.to_refinement = nn.Linear(config.dim, config.refine_dim)
        self.register_buffer("refine_position", sincos_position(config.refine_dim, config.grid))
        self.refinement = nn.ModuleList(Block(config.refine_dim, config.refine_heads) for _ in range(config.refine_depth))
        self.refinement_norm = nn.LayerNorm(config.refine_dim, eps=1e-5)
        self.predict = nn.Linear(config.refine_dim, vector)
        self.apply(init_weights)
        nn.init.xavier_uniform_(self.tokenise.weight.view(config.dim, -1))
        if self.tokenise.bias is not None:
            nn.init.zeros_(self.tokenise.bias)
        nn.init.normal_(self.class_token, std=0.02)

    # Features

    def maps(self, levels: list[Tensor]) -> list[Tensor]:
        """See `Network.maps`: one map, every level that is used upsampled with align_corners and put side by side."""
        side = (self.config.feature_side, self.config.feature_side)
        used = levels[-self.config.levels :]
        resized = [x if x.shape[-2:] == side else F.interpolate(x, side, mode="bilinear", align_corners=True) for x in used]
        return [torch.cat(resized, dim=1)]

    def fuse(self, levels: list[Tensor]) -> Tensor:
        """Backbone levels -> fused, normalised features (N, C, side, side)."""
        (fused,) = self.maps(levels)
        # Float32: small deviations of a channel are what counts.
        return (fused.float() - self.channel_mean) / self.channel_std if self.config.normalise_features else fused

    def measure_channels(self, measures: list[tuple[Tensor, Tensor]]) -> None:
        """See `Network.measure_channels`."""
        if self.config.normalise_features:
            ((mean, std),) = measures
            self.channel_mean.copy_(mean.view(1, -1, 1, 1))
            self.channel_std.copy_(std.clamp_min(1e-6).view(1, -1, 1, 1))

    def features(self, levels: list[Tensor]) -> list[Tensor]:
        """See `Network.features`: patchified, fused features (N, P, patch * patch * C)."""
        return [self.patchify(self.fuse(levels))]

    # Network, in the paper's order

    def tokens(self, fused: Tensor) -> Tensor:
        """(N, C, side, side) -> (N, P, dim) with positions added."""
        tokens: Tensor = self.tokenise(fused.to(self.tokenise.weight.dtype)).flatten(2).transpose(1, 2)
        return tokens + self.position[:, 1:]

    def aggregate(self, x: Tensor, template: Tensor) -> Tensor:
        """Tokens [class, x, template] through the aggregation; returns [class, template slots], before the last norm."""
        cls = self.class_token.expand(x.shape[0], -1, -1)
        rows = torch.cat([cls, x, template], dim=1)  # (N, 1 + 2 P, dim)
        for block in self.aggregation:
            rows = block(rows)
        return torch.cat([rows[:, :1], rows[:, 1 + x.shape[1] :]], dim=1)  # (N, 1 + P, dim)

    def aggregate_masked(self, x: Tensor, template: Tensor, ratio: float) -> Tensor:
        """Random masking (fitting only): two runs, each with its own share of the input's and the template's tokens.

        Every template slot is reconstructed, while each run saw only a part of the input; class tokens are averaged.
        """
        count = x.shape[1]
        kept = max(1, min(count - 1, round(count * (1 - ratio))))
        order_x = torch.rand(x.shape[:2], device=x.device).argsort(dim=1)
        order_t = torch.rand(x.shape[:2], device=x.device).argsort(dim=1)
        runs = [
            self.aggregate(_take(x, order_x[:, part]), _take(template, order_t[:, part]))
            for part in (slice(0, kept), slice(kept, count))
        ]
        slots = torch.cat([run[:, 1:] for run in runs], dim=1)  # in the order of order_t
        slots = _take(slots, order_t.argsort(dim=1))
        return torch.cat([(runs[0][:, :1] + runs[1][:, :1]) / 2, slots], dim=1)

    def refine(self, rows: Tensor) -> Tensor:
        """Aggregated [class, template slots] (N, 1 + P, dim) -> predicted token vectors (N, P, patch * patch * C)."""
        rows = self.to_refinement(self.aggregation_norm(rows)) + self.refine_position
        for block in self.refinement:
            rows = block(rows)
        vectors: Tensor = self.predict(self.refinement_norm(rows[:, 1:]))
        return vectors

    def patchify(self, fused: Tensor) -> Tensor:
        """(N, C, side, side) -> (N, P, patch * patch * C): a token's vector is laid out row, column, channel."""
        n, c, g, p = fused.shape[0], self.config.channels, self.config.grid, self.config.patch
        rows = fused.permute(0, 2, 3, 1).reshape(n, g, p, g, p * c)  # channels last first: the rest moves whole runs
        return rows.transpose(2, 3).reshape(n, g * g, p * p * c)

    # Fitting and inspecting

    def token_weight(self) -> Tensor:
        """The weight of `tokens` as a linear layer on patchified features, (dim, patch * patch * C)."""
        return self.tokenise.weight.permute(0, 2, 3, 1).flatten(1)  # (dim, row, column, channel)

    def tokens_of_vectors(self, vectors: Tensor) -> Tensor:
        """`tokens` from patchified features (N, P, patch * patch * C): a matrix product is faster than a convolution."""
        return F.linear(vectors, self.token_weight(), self.tokenise.bias) + self.position[:, 1:]

    def restore(self, vectors: Tensor, templates: Tensor, which: Tensor | None = None) -> Tensor:
        """Patchified features (N, P, D) and templates' (M, P, D), sample i's being ``which[i]`` or i -> restored, float32."""
        x, template = self.tokens_of_vectors(vectors), self.tokens_of_vectors(templates)
        if which is not None:
            # Not [which]: the gradient of that is summed by several threads at once, in an order that differs from fit to fit.
            template = template.index_select(0, which)
        masked = self.training and self.config.masking > 0
        rows = self.aggregate_masked(x, template, self.config.masking) if masked else self.aggregate(x, template)
        return self.refine(rows).float()

    def loss(self, features: list[Tensor], templates: list[Tensor], which: Tensor) -> Tensor:
        """See `Network.loss`: mean over tokens of 5 * direction + distance of a token's vector; masked while training."""
        (vectors,), (template_vectors,) = features, templates
        restored = self.restore(vectors, template_vectors, which)
        difference = restored - vectors
        distance = torch.linalg.vecdot(difference, difference) / vectors.shape[-1]  # (N, P)
        norms = _norm(restored).clamp_min(1e-8) * _norm(vectors).clamp_min(1e-8)
        direction = 1 - torch.linalg.vecdot(restored, vectors) / norms
        loss: Tensor = 5 * direction.mean() + distance.mean()
        return loss

    def bank(self, features: list[Tensor]) -> dict[str, Tensor]:
        """See `Network.bank`: nothing but the picture."""
        return {}

    def bind(self, backbone: Backbone, geometry: Geometry, templates: Templates) -> nn.Module:
        """See `Network.bind`: every tile position has its own part of the one template."""
        tiles = torch.from_numpy(geometry.cut_new(templates.picture(0))).to(self.channel_mean.device)
        kind = ConstantTemplate if self.config.restoration else MemoryAlone
        return kind(self, backbone(tiles, normalise=self.config.template_normalised))

    def positions(self, vectors: Tensor) -> Tensor:
        """Patchified features (N, P, patch * patch * C) -> float32 features of the tokens' places (N, P * places, C)."""
        return vectors.float().reshape(len(vectors), -1, self.config.channels)

    def in_place(self, values: Tensor) -> Tensor:
        """One number for each of the tokens' places (N, P * places) -> by where it lies (N, side, side)."""
        n, g, p = values.shape[0], self.config.grid, self.config.patch
        return values.view(n, g, g, p, p).transpose(2, 3).reshape(n, g * p, g * p)

    def novelty_map(self, vectors: Tensor, memory: Remembered) -> Tensor:
        """Patchified features (N, P, patch * patch * C) -> the memory's map of them, (N, input side, input side)."""
        return smooth(self.in_place(memory(self.positions(vectors))), self.smoothing)

    def anomaly_map(self, vectors: Tensor, restored: Tensor, memory: nn.Module | None) -> Tensor:
        """Patchified features and their restoration (N, P, patch * patch * C) -> the map, (N, input side, input side).

        With a memory: its anomaly, smoothed; without: the paper's dual mode, smoothed direction times smoothed distance.
        """
        features = self.positions(vectors)
        distance, direction = distances(features, self.positions(restored), dim=-1)
        if memory is not None:
            return smooth(self.in_place(memory(features, direction)), self.smoothing)
        return smooth(self.in_place(direction), self.smoothing) * smooth(self.in_place(distance), self.smoothing)

    def forward(self, fused: Tensor, fused_template: Tensor) -> Tensor:
        """The plain form: both pictures' fused features in, the anomaly map out (N, input side, input side)."""
        if not self.config.restoration:
            assert self.memory is not None, "see TFANetConfig"
            return self.novelty_map(self.patchify(fused), Remembered(self.memory))
        template = self.tokens(fused_template).expand(fused.shape[0], -1, -1)
        return self.anomaly_map(self.patchify(fused), self.refine(self.aggregate(self.tokens(fused), template)), self.memory)


class ConstantTemplate(nn.Module):
    """TFA-Net with a fixed template: equal to the plain form, without what the template makes constant.

    Skipped for every frame: the template's features and tokens; LayerNorm and query-key-value of the class and template rows in
    the first aggregation block; queries, projection and MLP of the input rows in the last one, whose output is discarded.
    Rows are ordered [input, class, template] here (attention does not mind), so that the kept ones are contiguous.
    Features are laid out by token once; tokens, distance and direction are then products and sums of contiguous numbers.
    """

    token_weight: Tensor
    token_bias: Tensor
    rows: Tensor
    qkv: Tensor

    def __init__(self, network: TFANet, template_levels: list[Tensor]) -> None:
        """``template_levels``: the backbone's levels of the template's tiles, each (tiles, C, h, w)."""
        super().__init__()
        self.network = network
        self.memory = Remembered(network.memory) if network.memory else None
        self.search = Search.among(template_levels[-1][None])  # of one: tells how similar a frame is to it
        with torch.no_grad():
            template = network.tokens(network.fuse(template_levels))
            cls = network.class_token.expand(template.shape[0], -1, -1)
            rows = torch.cat([cls, template], dim=1)  # (tiles, 1 + P, dim)
            qkv = network.aggregation[0].project(rows)  # type: ignore[operator]
            bias = torch.zeros(1) if network.tokenise.bias is None else network.tokenise.bias
            token_weight, token_bias = network.token_weight(), bias + network.position[:, 1:]
        constants = {"token_weight": token_weight, "token_bias": token_bias, "rows": rows, "qkv": qkv}
        for name, value in constants.items():
            self.register_buffer(name, value.detach().clone(), persistent=False)

    def reconstruct(self, vectors: Tensor) -> Tensor:
        """Patchified features (tiles, P, patch * patch * C) -> their reconstruction, of the same shape."""
        # In float32 in half precision, too: it is the one product of the transformers that sums tens of thousands of terms.
        x = (F.linear(vectors.float(), self.token_weight) + self.token_bias).to(self.rows.dtype)
        first, *middle, last = self.network.aggregation
        qkv = torch.cat([first.project(x), self.qkv], dim=2)  # type: ignore[operator]
        rows = first.finish(torch.cat([x, self.rows], dim=1), *qkv.chunk(3, dim=1))  # type: ignore[operator]
        for block in middle:
            rows = block(rows)
        return self.network.refine(last.forward_kept(rows, first_kept=x.shape[1]))  # type: ignore[operator]

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """See `Network.bind`."""
        vectors = self.network.patchify(self.network.fuse(levels))
        return self.network.anomaly_map(vectors, self.reconstruct(vectors), self.memory), self.search(levels[-1])[1]


class MemoryAlone(nn.Module):
    """TFA-Net without its restoration: what a picture has that no golden sample had, and nothing of the template's.

    The template tells only how similar a frame is to it.
    """

    def __init__(self, network: TFANet, template_levels: list[Tensor]) -> None:
        """``template_levels``: see `ConstantTemplate`."""
        super().__init__()
        assert network.memory is not None, "see TFANetConfig"
        self.network, self.memory = network, Remembered(network.memory)
        self.search = Search.among(template_levels[-1][None])

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """See `Network.bind`."""
        vectors = self.network.patchify(self.network.fuse(levels))
        return self.network.novelty_map(vectors, self.memory), self.search(levels[-1])[1]


def _norm(vectors: Tensor) -> Tensor:
    """Length of vectors (..., D) without the extra pass that `torch.linalg.vector_norm` makes in its gradient."""
    squares: Tensor = torch.linalg.vecdot(vectors, vectors)
    return squares.sqrt()


def _take(rows: Tensor, order: Tensor) -> Tensor:
    """Rows (N, P, dim) in the order (N, K) -> (N, K, dim)."""
    return rows.gather(1, order[:, :, None].expand(-1, -1, rows.shape[2]))
