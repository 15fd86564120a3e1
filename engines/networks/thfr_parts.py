"""The parts of THFR: residual blocks and decoder stages, the two bottlenecks, relation and compensation.

Source: H. Guo, L. Ren, J. Fu et al., "Template-guided Hierarchical Feature Restoration for Anomaly Detection", ICCV 2023;
the residual blocks are those of a WideResNet.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Resize = Literal["half", "same", "double"]


def _convolution(inputs: int, outputs: int, side: int, resize: Resize) -> nn.Module:
    if resize == "double":
        return nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False)
    return nn.Conv2d(inputs, outputs, side, 2 if resize == "half" else 1, padding=side // 2, bias=False)


def _normalised(inputs: int, outputs: int, side: int, resize: Resize = "same") -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(_convolution(inputs, outputs, side, resize), nn.BatchNorm2d(outputs), nn.ReLU())


class Residual(nn.Module):
    """A bottleneck block: 1x1 down to ``width``, 3x3 (or 2x2 transposed when it doubles the size), 1x1 up to ``outputs``."""

    def __init__(self, inputs: int, width: int, outputs: int, resize: Resize = "same") -> None:
        super().__init__()
        self.body = nn.Sequential(
            _normalised(inputs, width, 1),
            _normalised(width, width, 3, resize),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        plain = resize == "same" and inputs == outputs
        self.shortcut = (
            nn.Identity() if plain else nn.Sequential(_convolution(inputs, outputs, 1, resize), nn.BatchNorm2d(outputs))
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, outputs, h', w')."""
        result: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return result


class Stage(nn.Sequential):
    """One stage of the decoder: doubles the size. Its blocks carry ``2 * width`` channels, as in a WideResNet."""

    def __init__(self, inputs: int, width: int, blocks: int, outputs: int) -> None:
        stream = 2 * width
        layers: list[nn.Module] = [Residual(inputs, width, stream, "double")]
        layers += [Residual(stream, width, stream) for _ in range(blocks - 1)]
        if stream != outputs:  # at the paper's size they are equal
            layers.append(nn.Conv2d(stream, outputs, 1))
        super().__init__(*layers)


class GlobalBottleneck(nn.Module):
    """The deepest level (C3 at 16 x 16) squeezed to one vector, then laid out again as a code at 8 x 8."""

    def __init__(self, channels: int, code: int, side: int) -> None:
        """``side`` of the code, a power of 2."""
        super().__init__()
        self.squeeze = Residual(channels, code // 2, code, "half")
        self.spread = nn.Sequential(*(_normalised(code, code, 2, "double") for _ in range(side.bit_length() - 1)))

    def forward(self, deep: Tensor) -> Tensor:
        """(N, C3, 2 side, 2 side) -> (N, code, side, side)."""
        spread: Tensor = self.spread(self.squeeze(deep).amax(dim=(2, 3), keepdim=True))
        return spread


class LocalBottleneck(nn.Module):
    """All three levels brought to the deepest one's size, and fused to a code at half of it (as in RD4AD)."""

    def __init__(self, channels: tuple[int, int, int], code: int) -> None:
        super().__init__()
        fine, middle, deep = channels
        self.from_fine = nn.Sequential(_normalised(fine, middle, 3, "half"), _normalised(middle, deep, 3, "half"))
        self.from_middle = _normalised(middle, deep, 3, "half")
        self.fuse = Residual(3 * deep, code // 2, code, "half")

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Three levels, finest first -> (N, code, side, side)."""
        fine, middle, deep = levels
        fused: Tensor = self.fuse(torch.cat([self.from_fine(fine), self.from_middle(middle), deep], dim=1))
        return fused


class Relation(nn.Module):
    """Affinities between all positions of the input and all of the template, both ways."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        embedded = channels // 4
        self.theta = nn.Conv2d(channels, embedded, 1)
        self.phi = nn.Conv2d(channels, embedded, 1)
        self.scale = embedded**-0.5

    def forward(self, x: Tensor, template: Tensor) -> Tensor:
        """Two maps (N, C, h, w) -> (N, 2 m, h, w) with m = h * w.

        At position i: the affinities of input i to all template positions, then those of all input positions to template i.
        """
        theta, phi = self._embedded(x, template)
        affinity = theta.transpose(1, 2) @ phi  # (N, input positions, template positions)
        both: Tensor = torch.cat([affinity.transpose(1, 2), affinity], dim=1).unflatten(2, x.shape[2:])
        return both

    def projected(self, x: Tensor, template: Tensor, weight: Tensor) -> Tensor:
        """`forward` followed by a 1x1 convolution with ``weight`` (outputs, 2 m): the same numbers, without the affinities.

        Affinities are products of embeddings, so that the weights can be multiplied with the embeddings of one side first: m *
        C / 4 * outputs multiply-accumulates each way in place of m * m * outputs.
        """
        theta, phi = self._embedded(x, template)
        to_template, from_template = weight.chunk(2, dim=1)  # (outputs, m)
        toward = (phi @ to_template.T).transpose(1, 2) @ theta  # (N, outputs, m)
        back = (theta @ from_template.T).transpose(1, 2) @ phi
        joined: Tensor = (toward + back).unflatten(2, x.shape[2:])
        return joined

    def _embedded(self, x: Tensor, template: Tensor) -> tuple[Tensor, Tensor]:
        """Both maps' embeddings (N, C / 4, m)."""
        return self.theta(x).flatten(2) * self.scale, self.phi(template).flatten(2)


class Compensation(nn.Module):
    """Restores what the bottlenecks lost of a level with the template's help, by 1x1 convolutions.

    The semantic (deep) level keeps all channels of the input and one of the template, the detail level the other way.
    """

    def __init__(self, channels: int, positions: int, semantic: bool, template: bool, relation: bool) -> None:
        super().__init__()
        kept, added = (channels, 1) if semantic else (1, channels)
        self.from_input = nn.Conv2d(channels, kept, 1)
        self.from_template = nn.Conv2d(channels, added, 1) if template else None
        self.relation = Relation(channels) if relation else None
        self.plain = kept + (added if template else 0)  # channels that are not affinities
        joined = self.plain + (2 * positions if relation else 0)
        self.join = nn.Conv2d(joined, channels, 1, bias=False)
        self.head = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, template: Tensor) -> Tensor:
        """Two maps (N, C, h, w) -> the restored level, of the same shape."""
        plain = self.from_input(x)
        if self.from_template is not None:
            plain = torch.cat([plain, self.from_template(template)], dim=1)
        joined = nn.functional.conv2d(plain, self.join.weight[:, : self.plain])
        if self.relation is not None:
            joined = joined + self.relation.projected(x, template, self.join.weight[:, self.plain :, 0, 0])
        restored: Tensor = self.head(joined)
        return restored
