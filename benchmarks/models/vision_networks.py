"""A ResNet of torchvision with random weights, small or of a size that fills a GPU.

In place of its batch norms it has the slow scale of channels of the networks beside.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import contextlib
from typing import Any

import torch
from networks import Scale

_LIBRARIES: list[torch.library.Library] = []
"""What they define is there for as long as they are."""


def torchvision_resnet(small: bool) -> Any:
    """A ResNet-50, or the like with one block of each size."""
    resnet = _torchvision_models().resnet
    depths = [1, 1, 1, 1] if small else [3, 4, 6, 3]
    return resnet.ResNet(resnet.Bottleneck, depths, norm_layer=Scale)


def _torchvision_models() -> Any:
    """The models of torchvision, where its own operators cannot be loaded, too.

    Its wheels are built for CUDA's torch, and beside a torch for the CPU they say of two operators
    what they do with shapes, which are then not there. A ResNet calls neither.
    """
    with contextlib.suppress(RuntimeError):
        from torchvision import models

        return models
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    _LIBRARIES.append(library)
    from torchvision import models

    return models
