"""Runs one of the networks, as a program that somebody wants to be faster.

python benchmarks/models/bench.py NETWORK [--size small|large] [--steps 14]

NETWORK is decoder, experts or resnet; torchvision, whose ResNet it is; llama or qwen3_next, of
transformers.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from networks import Decoder, ResNet


def network_of(name: str, small: bool) -> tuple[Any, tuple[int, ...]]:
    """A network with random weights, and the shape of what it is given."""
    if name == "decoder":
        return (Decoder(128, 2), (384,)) if small else (Decoder(2048, 8), (4096,))
    if name == "experts":
        if small:
            return Decoder(128, 2, experts=8), (256,)
        return Decoder(2048, 4, experts=32), (8192,)
    images = (2, 3, 64, 64) if small else (64, 3, 224, 224)
    if name == "resnet":
        return ResNet(256, 2) if small else ResNet(512, 8), images
    if name == "torchvision":
        from vision_networks import torchvision_resnet

        return torchvision_resnet(small), images
    import transformer_networks

    model = getattr(transformer_networks, name)(small)
    return model, (4, 64) if small else (4, 1024)


def main() -> None:
    """Calls the network on one input after another."""
    parser = argparse.ArgumentParser()
    networks = ("decoder", "experts", "resnet", "torchvision", "llama", "qwen3_next")
    parser.add_argument("network", choices=networks)
    parser.add_argument("--size", choices=("small", "large"), default="small")
    parser.add_argument("--steps", type=int, default=14)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(7)
    small = arguments.size == "small"
    # Where it is to be: a CPU needs twenty seconds for the numbers of the large experts.
    with torch.device(device):
        model, shape = network_of(arguments.network, small)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = model.to(device, dtype).eval()
    with torch.no_grad():
        for _ in range(arguments.steps):
            if arguments.network in ("resnet", "torchvision"):
                given = torch.randn(shape, device=device, dtype=dtype)
            else:
                given = torch.randint(512, shape, device=device)
            model(given)


if __name__ == "__main__":
    main()
