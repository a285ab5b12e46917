// Stands for CUDA's runtime library where a candidate's host function is called without a device.
// It launches nothing: it remembers what would be launched, and refuses what a device would refuse.
// Memory of the device is memory of the host. What is missing here does not load, and is then not
// checked.
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {
struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
struct State {
  std::map<const void*, std::string> kernels;
  std::map<const void*, size_t> opted_in;
  std::vector<Configuration> pushed;
  std::string launches;
  int count = 0;
  cudaError_t last = cudaSuccess;
};
State& state() {
  static State* kept = new State;
  return *kept;
}
constexpr size_t DEFAULT_SHARED = 48 << 10;
constexpr int MOST_LAUNCHES = 200;

const char* refusal(const void* kernel, const Configuration& c) {
  if (!c.grid.x || !c.grid.y || !c.grid.z) return "its grid is empty";
  if (!c.block.x || !c.block.y || !c.block.z) return "its block is empty";
  if (c.grid.x > 2147483647u || c.grid.y > 65535u || c.grid.z > 65535u)
    return "its grid is larger than a device takes";
  if (c.block.x > 1024 || c.block.y > 1024 || c.block.z > 64 ||
      size_t(c.block.x) * c.block.y * c.block.z > 1024)
    return "its block has more than 1024 threads, or more than 64 along its third axis";
  size_t most = state().opted_in.count(kernel) ? state().opted_in[kernel] : DEFAULT_SHARED;
  if (c.shared > most)
    return "it asks for more dynamic shared memory than it was granted by cudaFuncSetAttribute";
  return "";
}

cudaError_t launch(const void* kernel, const Configuration& c) {
  State& now = state();
  const char* why = refusal(kernel, c);
  if (*why) now.last = cudaErrorInvalidConfiguration;
  if (now.count++ < MOST_LAUNCHES) {
    const char* name = now.kernels.count(kernel) ? now.kernels[kernel].c_str() : "?";
    char line[400];
    std::snprintf(line, sizeof line, "\t%u %u %u\t%u %u %u\t%zu\t%s\n", c.grid.x, c.grid.y,
                  c.grid.z, c.block.x, c.block.y, c.block.z, c.shared, why);
    now.launches += std::string("launched\t") + name + line;
  }
  return *why ? cudaErrorInvalidConfiguration : cudaSuccess;
}

// What the driver refuses of a tensor map, whatever its swizzle.
bool is_tensor_map(cuuint32_t rank, const void* address, const cuuint64_t* sizes,
                   const cuuint64_t* strides, const cuuint32_t* box, const cuuint32_t* steps) {
  if (rank < 1 || rank > 5 || !address || reinterpret_cast<size_t>(address) % 16) return false;
  for (cuuint32_t at = 0; at < rank; ++at) {
    if (!sizes[at] || sizes[at] > 1ull << 32 || !box[at] || box[at] > 256) return false;
    if (!steps[at] || steps[at] > 8) return false;
    if (at && (strides[at - 1] % 16 || strides[at - 1] >= 1ull << 40)) return false;
  }
  return true;
}
}  // namespace

extern "C" {
const char* kernel_harness_stub_report() {
  static std::string text;
  text.clear();
  for (const auto& each : state().kernels) text += "kernel\t" + each.second + "\n";
  text += state().launches;
  return text.c_str();
}

void** __cudaRegisterFatBinary(void*) { return new void*(nullptr); }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }
void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
  state().kernels[host] = name;
}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  state().pushed.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  if (state().pushed.empty()) return cudaErrorInvalidConfiguration;
  Configuration last = state().pushed.back();
  state().pushed.pop_back();
  *grid = last.grid, *block = last.block, *shared = last.shared;
  *static_cast<cudaStream_t*>(stream) = last.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* handle, const void* function) {
  *handle = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void**, size_t shared,
                               cudaStream_t stream) {
  return launch(kernel, {grid, block, shared, stream});
}
cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void**, size_t shared,
                             cudaStream_t stream) {
  return launch(kernel, {grid, block, shared, stream});
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* kernel, void**) {
  return launch(kernel, {c->gridDim, c->blockDim, c->dynamicSmemBytes, c->stream});
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || value > SHARED_BYTES_PER_BLOCK) return state().last = cudaErrorInvalidValue;
  state().opted_in[kernel] = value;
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  std::memset(attributes, 0, sizeof *attributes);
  attributes->maxThreadsPerBlock = 1024;  // launch bounds are not known here
  attributes->maxDynamicSharedSizeBytes =
      state().opted_in.count(kernel) ? state().opted_in[kernel] : DEFAULT_SHARED;
  attributes->binaryVersion = attributes->ptxVersion = CAPABILITY;
  return cudaSuccess;
}
cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) { return cudaSuccess; }
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads,
                                                          size_t) {
  return *blocks = threads > 0 && threads <= 1024 ? 1 : 0, cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* kernel,
                                                                   int threads, size_t shared,
                                                                   unsigned) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, kernel, threads, shared);
}
cudaError_t cudaGetLastError() {
  cudaError_t last = state().last;
  state().last = cudaSuccess;
  return last;
}
cudaError_t cudaPeekAtLastError() { return state().last; }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid configuration argument";
}
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaSuccess ? "cudaSuccess" : "cudaErrorInvalidConfiguration";
}
CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType, cuuint32_t rank,
                                void* address, const cuuint64_t* sizes, const cuuint64_t* strides,
                                const cuuint32_t* box, const cuuint32_t* steps,
                                CUtensorMapInterleave, CUtensorMapSwizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  std::memset(map, 0, sizeof *map);
  return is_tensor_map(rank, address, sizes, strides, box, steps) ? CUDA_SUCCESS
                                                                  : CUDA_ERROR_INVALID_VALUE;
}
cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
  bool known = !std::strcmp(symbol, "cuTensorMapEncodeTiled");
  *function = known ? reinterpret_cast<void*>(&cuTensorMapEncodeTiled) : nullptr;
  if (found) *found = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = SM_COUNT; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor: *value = CAPABILITY / 10; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor: *value = CAPABILITY % 10; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = SHARED_BYTES_PER_BLOCK;
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; return cudaSuccess;
    case cudaDevAttrWarpSize: *value = 32; return cudaSuccess;
    default: return cudaErrorNotSupported;
  }
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::memset(properties, 0, sizeof *properties);
  properties->multiProcessorCount = SM_COUNT;
  properties->major = CAPABILITY / 10, properties->minor = CAPABILITY % 10;
  properties->sharedMemPerBlock = DEFAULT_SHARED;
  properties->sharedMemPerBlockOptin = SHARED_BYTES_PER_BLOCK;
  properties->maxThreadsPerBlock = 1024, properties->warpSize = 32;
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return (*memory = std::calloc(bytes ? bytes : 1, 1)) ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t) {
  return cudaMalloc(memory, bytes);
}
cudaError_t cudaFree(void* memory) { return std::free(memory), cudaSuccess; }
cudaError_t cudaFreeAsync(void* memory, cudaStream_t) { return cudaFree(memory); }
cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  return std::memset(memory, value, bytes), cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  return cudaMemset(memory, value, bytes);
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  return std::memcpy(to, from, bytes), cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  return cudaMemcpy(to, from, bytes, kind);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return *stream = nullptr, cudaSuccess; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return cudaStreamCreate(stream);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  return cudaStreamCreate(stream);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return *least = *greatest = 0, cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t* event) { return *event = nullptr, cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return cudaEventCreate(event); }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  return *milliseconds = 0.0f, cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
}  // extern "C"
