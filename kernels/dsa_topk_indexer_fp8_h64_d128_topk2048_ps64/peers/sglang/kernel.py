"""DeepGEMM's scorer and SGLang's top-2048 with page table (sgl-deep-gemm, sglang-kernel).

Only one library of sglang-kernel is loaded, sm90/common_ops.abi3.so or common_ops.abi3.so of its
package: the package itself imports much that is not needed here. DeepGEMM's schedule and the table
of tokens depend on lengths and pages, which differ from call to call: they are made in the call.
"""

import functools
from importlib.util import find_spec
from pathlib import Path

import torch


@functools.cache
def _load_top_k():
    """Registers torch.ops.sgl_kernel.

    Raises:
        ModuleNotFoundError: without the package or its library.
    """
    found = find_spec("sgl_kernel")
    places = [Path(p) for p in (found.submodule_search_locations or ())] if found else []
    for place in places:
        for library in (*place.glob("sm90/common_ops*.so"), *place.glob("common_ops*.so")):
            torch.ops.load_library(str(library))
            return
    raise ModuleNotFoundError("The package sglang-kernel, with common_ops, is not installed.")


def _scores(queries, cache, weights, seq_lens, block_table, page_size):
    # Imported here, so that a machine without the package learns its name at the call.
    import deep_gemm  # pyright: ignore[reportMissingImports]

    batch, width = block_table.shape
    lengths = seq_lens.view(batch, 1)
    blocks = torch.cuda.get_device_properties(queries.device).multi_processor_count
    schedule = deep_gemm.get_paged_mqa_logits_metadata(lengths, page_size, blocks)
    return deep_gemm.fp8_paged_mqa_logits(
        queries.unsqueeze(1),
        cache.view(torch.uint8),
        weights,
        lengths,
        block_table,
        schedule,
        width * page_size,
        clean_logits=False,
    )


@torch.no_grad()
def run(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table, topk_indices):
    """Writes topk_indices; where no sequence can exceed 2048 tokens nothing is scored."""
    topk, page_size = topk_indices.shape[1], k_index_cache_fp8.shape[1]
    batch, width = block_table.shape[0], block_table.shape[1] * page_size
    places = torch.arange(width, device=block_table.device, dtype=torch.int32)
    tokens = block_table.repeat_interleave(page_size, dim=1) * page_size + places % page_size
    if width > topk:
        _load_top_k()
        scores = _scores(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table, page_size)
        starts = torch.arange(batch + 1, device=block_table.device, dtype=torch.int32)
        torch.ops.sgl_kernel.fast_topk_transform_fused(
            scores, seq_lens, topk_indices, tokens, starts, None
        )
        return
    topk_indices[:, :width] = torch.where(places < seq_lens[:, None], tokens, -1)
    topk_indices[:, width:] = -1
