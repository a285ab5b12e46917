"""Models of transformers with random weights, small or of a size that fills a GPU.

Llama has the slow RMS norm of the networks beside in place of its own. Qwen3-Next, with its gated
delta rule and mixture of experts, is as it is.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

from networks import Norm


def llama(small: bool) -> Any:
    """A Llama."""
    from transformers.models.llama import LlamaConfig, modeling_llama

    modeling_llama.LlamaRMSNorm = Norm
    width = 128 if small else 2048
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2 if small else 8,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 128,
        use_cache=False,
    )
    return modeling_llama.LlamaForCausalLM(config)


def qwen3_next(small: bool) -> Any:
    """A Qwen3-Next: three layers with a gated delta rule, one with attention, each with experts."""
    from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

    width, head = (128, 32) if small else (2048, 128)
    config = Qwen3NextConfig(
        vocab_size=512,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=4,
        num_attention_heads=4 if small else 16,
        num_key_value_heads=2,
        head_dim=head,
        linear_key_head_dim=head,
        linear_value_head_dim=head,
        linear_num_key_heads=2 if small else 16,
        linear_num_value_heads=4 if small else 32,
        moe_intermediate_size=width // 4,
        shared_expert_intermediate_size=width // 4,
        num_experts=8 if small else 32,
        num_experts_per_tok=2,
        use_cache=False,
    )
    return Qwen3NextForCausalLM(config)
