"""Which operations of an OpenVINO model must stay in float32 when the rest runs in bfloat16 or 8-bit integers.

Always: the sums over channels and all that follows them (specified so for half precision too), since the map is what small
differences are left there.  Where a recipe needs it: the first convolutions of the backbone, whose channels differ in scale by
orders of magnitude, and whose rounding every later layer carries on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from engines.targets.quiet_openvino import ov

CONVOLUTIONS = frozenset({"Convolution", "GroupConvolution"})
NOT_COMPUTED = frozenset({"Constant", "Parameter", "Result"})


def exact_operations(model: Any, convolutions: int) -> set[str]:
    """Names of the operations to keep: the sums and what follows, and all up to the given number of convolutions.

    Never beyond the last convolution, where the transformers begin: else an engine would be float32 by another name.
    """
    ordered = [node for node in model.get_ordered_ops() if node.get_type_name() not in NOT_COMPUTED]
    kept: set[str] = set()
    for node in ordered:
        sources = [value.get_source_output() for value in node.inputs()]
        # What follows an index that was found does not follow in precision: the template that it chooses is as it was.
        exact = any(one.get_node().get_friendly_name() in kept and one.get_element_type().is_real() for one in sources)
        if node.get_type_name() == "ReduceSum" or exact:
            kept.add(node.get_friendly_name())
    seen, most = 0, min(convolutions, sum(node.get_type_name() in CONVOLUTIONS for node in ordered) - 1)
    for node in ordered:
        seen += node.get_type_name() in CONVOLUTIONS
        if seen > most:
            break
        kept.add(node.get_friendly_name())
    return kept


def keep_exact(model: Any, names: set[str], folder: Path) -> Any:
    """The model with the named operations marked: computed in float32 whatever precision is asked for.

    Python cannot set this attribute on an operation, but it can be read with the model: hence the way over files in ``folder``.
    """
    file = folder / "marked.xml"
    ov.save_model(model, file, compress_to_fp16=False)
    tree = ElementTree.parse(file)
    for layer in tree.iter("layer"):
        if layer.get("name") in names:
            info = layer.find("rt_info")
            # Children of a layer are read by name: where this one stands does not matter.
            info = ElementTree.SubElement(layer, "rt_info") if info is None else info
            ElementTree.SubElement(info, "attribute", name="DisablePrecisionConversion", version="0", value="dynamic:f16")
    tree.write(file)
    marked = ov.Core().read_model(file)
    for written in (file, file.with_suffix(".bin")):
        written.unlink()  # the model keeps what it has mapped
    return marked
