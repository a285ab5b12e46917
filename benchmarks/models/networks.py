"""Three networks in the structure of those that are served, with random weights.

A decoder like Llama's, one with a mixture of experts, and a residual network of convolutions.
"""

from __future__ import annotations

import layers
import torch
import torch.nn.functional as F
from torch import nn


class Norm(nn.Module):
    """RMS norm, in the form of transformers' ones."""

    def __init__(self, width: int, eps: float = layers.EPS) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return layers.rms_norm(x.flatten(0, -2), self.weight).view_as(x)


class PlainNorm(nn.RMSNorm):
    """The same by torch, in networks whose slow part is another."""


class Attention(nn.Module):
    """Causal attention with heads of 64, on [tokens, width] of sequences of 64 tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // 64
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).view(-1, 64, 3, self.heads, 64).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(len(x), -1))


class Gated(nn.Module):
    """A feed-forward part with a gate."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, 2 * width, bias=False)
        self.up = nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    """A mixture of experts: each token goes to two, and each expert takes equally many tokens."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts, bias=False)
        self.gate_up = nn.Parameter(torch.randn(experts, width, 2 * width) * width**-0.5)
        self.down = nn.Parameter(torch.randn(experts, width, width) * width**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = torch.softmax(self.router(x).float(), -1)
        most = max(2 * len(x) // scores.shape[1], 1)
        weights, tokens = scores.t().topk(most, dim=1)
        gate, up = torch.bmm(x[tokens], self.gate_up).chunk(2, -1)
        hidden = layers.silu_mul(gate.contiguous(), up.contiguous())
        found = torch.bmm(hidden, self.down) * weights[..., None].to(x.dtype)
        return torch.zeros_like(x).index_add(0, tokens.flatten(), found.flatten(0, 1))


class Layer(nn.Module):
    """Attention and a feed-forward part, each after a norm and beside a residual."""

    def __init__(self, width: int, norm: type[nn.Module], feed_forward: nn.Module) -> None:
        super().__init__()
        self.first, self.second = norm(width), norm(width)
        self.attention, self.feed_forward = Attention(width), feed_forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.first(x))
        return x + self.feed_forward(self.second(x))


class Decoder(nn.Module):
    """Tokens to logits."""

    def __init__(self, width: int, depth: int, experts: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(512, width)
        norm = PlainNorm if experts else Norm
        made = [Experts(width, experts) if experts else Gated(width) for _ in range(depth)]
        self.layers = nn.ModuleList([Layer(width, norm, one) for one in made])
        self.norm = norm(width)
        self.head = nn.Linear(width, 512, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class Scale(nn.Module):
    """A batch norm at inference, of which only scale and shift are left."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(channels) + 0.5)
        self.shift = nn.Parameter(torch.randn(channels) * 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return layers.scale_channels(x, self.scale, self.shift)


class Residual(nn.Module):
    """Two convolutions of one pixel or three beside a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.second = nn.Conv2d(channels // 4, channels, 1, bias=False)
        self.scale = Scale(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.scale(self.second(F.relu(self.first(x)))))


class ResNet(nn.Module):
    """Images to logits."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 4, stride=4, bias=False)
        self.blocks = nn.Sequential(*(Residual(channels) for _ in range(depth)))
        self.head = nn.Linear(channels, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(images)).mean((2, 3)))
