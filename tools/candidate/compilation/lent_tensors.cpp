// Tensors that say that they lie on a CUDA device, and share the memory of tensors of the host.
// Compiled code of a candidate gets them where there is no device, so that it goes the way that it
// goes on one. What torch would do to them on a device is done on the host. torch says in C++, too,
// that there is a device, to what is loaded after this library.
//
// What reads their memory by its address reads the host's, which it could not on a device.
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {
const c10::Device DEVICE(c10::DeviceType::CUDA, 0), HOST(c10::DeviceType::CPU);
const c10::Stream STREAM(c10::Stream::DEFAULT, DEVICE);

struct OneDevice final : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA> {
  c10::Device exchangeDevice(c10::Device) const override { return DEVICE; }
  c10::Device getDevice() const override { return DEVICE; }
  c10::Stream getStream(c10::Device) const noexcept override { return STREAM; }
  c10::Stream getDefaultStream(c10::Device) const override { return STREAM; }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return STREAM; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};

// What a tensor's memory is: of the host for one that was lent, as it came for one that was not.
void drop(void* storage) { delete static_cast<c10::Storage*>(storage); }

c10::Storage shared(const c10::Storage& storage, c10::Device device) {
  void* memory = const_cast<void*>(storage.data());
  c10::DataPtr data(memory, new c10::Storage(storage), drop, device);
  return {c10::Storage::use_byte_size_t(), storage.nbytes(), std::move(data), nullptr, false};
}

at::Tensor made(c10::Storage storage, c10::DispatchKey key, const at::Tensor& like) {
  auto tensor = at::detail::make_tensor<c10::TensorImpl>(std::move(storage),
                                                         c10::DispatchKeySet(key), like.dtype());
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(),
                                                      like.storage_offset());
  return tensor;
}

at::Tensor lend(const at::Tensor& host) {
  return made(shared(host.storage(), DEVICE), c10::DispatchKey::CUDA, host);
}

at::Tensor host_of(const at::Tensor& lent) {
  const c10::DataPtr& data = lent.storage().data_ptr();
  bool ours = data.get_deleter() == drop;
  auto storage = ours ? *static_cast<c10::Storage*>(data.get_context())
                      : shared(lent.storage(), HOST);
  return made(storage, c10::DispatchKey::CPU, lent);
}

bool lies_there(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().is_cuda() && tensor.has_storage();
}

bool may_mix(const std::string& name) {
  static const std::set<std::string> names{
      "aten::copy_", "aten::_copy_from", "aten::_to_copy", "aten::set_", "aten::resize_as_",
      "aten::index", "aten::index_put_", "aten::_index_put_impl_"};
  return names.count(name) != 0;
}

// One call of an operation of torch: on the host, as it would be on a device.
class Call {
 public:
  Call(const c10::OperatorHandle& operation, torch::jit::Stack* stack)
      : operation_(operation), stack_(stack) {}

  void run() {
    const auto& schema = operation_.schema();
    for (size_t at = stack_->size() - schema.arguments().size(); at < stack_->size(); ++at)
      take((*stack_)[at]);
    TORCH_CHECK(!mixed_ || pairs_.empty() || may_mix(schema.name()),
                "Expected all tensors to be on the same device, but found at least two devices, "
                "cuda:0 and cpu! (", schema.name(), ")");
    operation_.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack_);
    for (auto& [lent, host] : pairs_) follow(lent, host);
    for (size_t at = stack_->size() - schema.returns().size(); at < stack_->size(); ++at)
      give_back((*stack_)[at]);
  }

 private:
  void take(c10::IValue& value) {
    if (value.isTensor()) {
      value = host(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> all;
      for (const at::Tensor& each : value.toTensorVector()) all.push_back(host(each));
      value = all;
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> all;
      for (std::optional<at::Tensor> each : value.toOptionalTensorList())
        all.push_back(each ? std::optional<at::Tensor>(host(*each)) : each);
      value = all;
    } else if (value.isDevice()) {
      to_host_ = !value.toDevice().is_cuda();
      value = HOST;
    }
  }

  at::Tensor host(const at::Tensor& tensor) {
    if (lies_there(tensor)) {
      pairs_.emplace_back(tensor, host_of(tensor));
      return pairs_.back().second;
    }
    if (tensor.defined()) {
      given_.push_back(tensor);
      mixed_ = mixed_ || tensor.dim() != 0;
    }
    return tensor;
  }

  // An operation may have given a tensor another shape or other memory.
  static void follow(const at::Tensor& lent, const at::Tensor& host) {
    bool same = host.storage().data() == lent.storage().data() && host.sizes() == lent.sizes() &&
                host.strides() == lent.strides() && host.storage_offset() == lent.storage_offset();
    if (same) return;
    auto* impl = lent.unsafeGetTensorImpl();
    impl->set_storage_keep_dtype(shared(host.storage(), DEVICE));
    impl->set_sizes_and_strides(host.sizes(), host.strides(), host.storage_offset());
  }

  void give_back(c10::IValue& value) {
    if (value.isTensor()) {
      value = returned(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> all;
      for (const at::Tensor& each : value.toTensorVector()) all.push_back(returned(each));
      value = all;
    }
  }

  at::Tensor returned(const at::Tensor& tensor) {
    if (!tensor.defined() || to_host_ || !tensor.has_storage()) return tensor;
    for (auto& [lent, host] : pairs_)
      if (host.is_same(tensor)) return lent;
    for (auto& each : given_)
      if (each.is_same(tensor)) return tensor;
    return lend(tensor);
  }

  const c10::OperatorHandle& operation_;
  torch::jit::Stack* stack_;
  std::vector<std::pair<at::Tensor, at::Tensor>> pairs_;  // as it was lent, and of the host
  std::vector<at::Tensor> given_;                         // of the host already
  bool mixed_ = false, to_host_ = false;
};

void call(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  Call(operation, stack).run();
}
}  // namespace

C10_REGISTER_GUARD_IMPL(CUDA, OneDevice)
TORCH_LIBRARY_IMPL(_, CUDA, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&call>());
}
// Torch's own kernels for every device ask for code of this one, and a build with CUDA has kernels
// for a device that is not here: the host's are called in their place.
TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  using Key = c10::DispatchKey;
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    auto operation = dispatcher.findOp(name);
    if (!operation || name.name.rfind("aten::", 0) != 0) continue;
    bool for_devices = false;
    for (Key key : {Key::CUDA, Key::CompositeExplicitAutograd,
                    Key::CompositeExplicitAutogradNonFunctional})
      for_devices = for_devices || operation->hasKernelForDispatchKey(key);
    if (!for_devices) continue;
    std::string full = name.name.substr(6);
    if (!name.overload_name.empty()) full += "." + name.overload_name;
    library.impl(full.c_str(), torch::CppFunction::makeFromBoxedFunction<&call>());
  }
}

namespace torch::cuda {
bool is_available() { return true; }
c10::DeviceIndex device_count() { return 1; }
void synchronize(int64_t) {}
}  // namespace torch::cuda

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("lend", &lend);
  module.def("host_of", &host_of);
}
