"""Loading a checkpoint that was trained with the TFA-Net authors' code into ours.

theirs                                       ours
Feature_extractor.block1.{0,1}.*             backbone stem conv1, bn1        (torchvision's wide_resnet50_2 children)
Feature_extractor.block{2,3,4}.*             backbone layer{1,2,3}           (one more level of Sequential is accepted)
Roncon_model.patch_embed.proj                tokenise
Roncon_model.cls_token                       class_token
Roncon_model.pos_embed                       position                        (fixed; must agree with ours)
Roncon_model.blocks.N                        aggregation.N                   (mlp.fc1, mlp.fc2 -> mlp.0, mlp.2)
Roncon_model.norm                            aggregation_norm
Roncon_model.decoder_embed                   to_refinement
Roncon_model.decoder_pos_embed               refine_position
Roncon_model.decoder_blocks.N                refinement.N
Roncon_model.decoder_norm                    refinement_norm
Roncon_model.decoder_pred                    predict
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor

from engines.common.errors import RecipeError
from engines.networks.backbone import Backbone
from engines.networks.tfa_net import TFANet

NETWORK_NAMES = (  # prefix of theirs, ours; the first that fits counts
    ("patch_embed.proj.", "tokenise."),
    ("cls_token", "class_token"),
    ("decoder_pos_embed", "refine_position"),
    ("pos_embed", "position"),
    ("decoder_blocks.", "refinement."),
    ("decoder_norm.", "refinement_norm."),
    ("decoder_embed.", "to_refinement."),
    ("decoder_pred.", "predict."),
    ("blocks.", "aggregation."),
    ("norm.", "aggregation_norm."),
)
MEASURED = ("channel_mean", "channel_std")  # ours only: the authors' code does not normalise fused channels


def load_authors_checkpoint(state: dict[str, Tensor], backbone: Backbone, network: TFANet) -> None:
    """Fill a `base` backbone and network from the authors' state dict.

    Raises RecipeError that names the first tensor which is missing, unknown, or of another shape.
    """
    theirs = {key.removeprefix("module."): value for key, value in state.items()}
    for ours, part, prefix in (
        (backbone.levels, _rename(theirs, "Feature_extractor.", _backbone_name), "Feature_extractor"),
        (network, _rename(theirs, "Roncon_model.", _network_name), "Roncon_model"),
    ):
        wanted = {key: value for key, value in ours.state_dict().items() if key not in MEASURED}
        wrong = sorted(set(wanted) ^ set(part)) or [key for key in wanted if wanted[key].shape != part[key].shape]
        if wrong:
            raise RecipeError(
                f"checkpoint: {prefix}: {len(wrong)} tensors do not fit the network, the first is {wrong[0]} (our name); "
                "use a checkpoint of the paper's size (profile base)"
            )
        ours.load_state_dict(part, strict=False)
    with torch.no_grad():
        network.channel_mean.zero_()
        network.channel_std.fill_(1)


def _rename(state: dict[str, Tensor], prefix: str, rename: Callable[[str], str]) -> dict[str, Tensor]:
    return {rename(key.removeprefix(prefix)): value for key, value in state.items() if key.startswith(prefix)}


def _backbone_name(key: str) -> str:
    match = re.fullmatch(r"block(\d)\.(.*)", key)
    if match is None:
        return key
    block, rest = int(match[1]), match[2]
    if block == 1:  # children of the stem: 0 conv1, 1 bn1, 2 relu, 3 maxpool
        return re.sub(r"^[01]\.", lambda index: {"0.": "stem.conv1.", "1.": "stem.bn1."}[index[0]], rest)
    return f"layer{block - 1}." + re.sub(r"^0\.(?=\d+\.)", "", rest)


def _network_name(key: str) -> str:
    for theirs, ours in NETWORK_NAMES:
        if key.startswith(theirs):
            return (ours + key.removeprefix(theirs)).replace("mlp.fc1.", "mlp.0.").replace("mlp.fc2.", "mlp.2.")
    return key
