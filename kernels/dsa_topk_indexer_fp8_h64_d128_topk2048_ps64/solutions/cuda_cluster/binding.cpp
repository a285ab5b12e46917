// The function that is called: checks nothing but what a launch needs, allocates the scores.
#include <c10/cuda/CUDAStream.h>
#include <torch/extension.h>

#include "topk_indexer.h"

void run(torch::Tensor q_index_fp8, torch::Tensor k_index_cache_fp8, torch::Tensor weights,
         torch::Tensor seq_lens, torch::Tensor block_table, torch::Tensor topk_indices) {
    Arguments in = {};
    in.queries = static_cast<const unsigned char*>(q_index_fp8.data_ptr());
    in.cache = static_cast<const unsigned char*>(k_index_cache_fp8.data_ptr());
    in.weights = weights.data_ptr<float>();
    in.seq_lens = seq_lens.data_ptr<int>();
    in.tables = block_table.data_ptr<int>();
    in.out = topk_indices.data_ptr<int>();
    in.batch = static_cast<int>(block_table.size(0));
    in.width = static_cast<int>(block_table.size(1));
    torch::Tensor scores;
    if (const long long count = score_count(in.batch, in.width)) {
        scores = torch::empty({static_cast<int64_t>(count)},
                              torch::TensorOptions().dtype(torch::kFloat32).device(weights.device()));
        in.scores = scores.data_ptr<float>();
    }
    const int error = launch_topk_indexer(in, c10::cuda::getCurrentCUDAStream().stream());
    TORCH_CHECK(error == 0, "the launch failed with CUDA error ", error);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
