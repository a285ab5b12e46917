// What the shim's functions do, against torch's own headers. Compiled once for a torch and a compiler,
// with no candidate's source on its path, and linked into every library that uses the shim. That the
// shim's types are torch's is asserted here; where this does not compile, the shim is not used.
#include <torch/extension.h>
#define KERNEL_HARNESS_WITH_ATEN
#include "kernel_harness_python.h"
#ifdef KERNEL_HARNESS_TORCH_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#endif
#include <new>
#include <sstream>
namespace kernel_harness_torch {
static_assert(sizeof(Tensor) == sizeof(at::Tensor) && alignof(Tensor) >= alignof(at::Tensor));
static_assert(sizeof(TensorOptions) >= sizeof(c10::TensorOptions));
static_assert(alignof(TensorOptions) >= alignof(c10::TensorOptions));
static_assert(std::is_trivially_copyable_v<c10::TensorOptions>);
static_assert(sizeof(DeviceIndex) == sizeof(c10::DeviceIndex));
#define KH_SAME(name) \
  static_assert(static_cast<int>(ScalarType::name) == static_cast<int>(at::ScalarType::name));
KH_SAME(Byte) KH_SAME(Char) KH_SAME(Short) KH_SAME(Int) KH_SAME(Long) KH_SAME(Half)
KH_SAME(Float) KH_SAME(Double) KH_SAME(Bool) KH_SAME(BFloat16) KH_SAME(Float8_e5m2)
KH_SAME(Float8_e4m3fn)
static_assert(static_cast<int>(DeviceType::CPU) == static_cast<int>(c10::DeviceType::CPU));
static_assert(static_cast<int>(DeviceType::CUDA) == static_cast<int>(c10::DeviceType::CUDA));

static at::Tensor& real(Tensor* tensor) { return *reinterpret_cast<at::Tensor*>(tensor); }
static const at::Tensor& real(const Tensor* tensor) {
  return *reinterpret_cast<const at::Tensor*>(tensor);
}
static Tensor shim(const at::Tensor& tensor) {
  return reinterpret_cast<const Tensor&>(tensor);
}
static const c10::TensorOptions& real(const TensorOptions& options) {
  return reinterpret_cast<const c10::TensorOptions&>(options);
}
static TensorOptions shim(const c10::TensorOptions& options) {
  TensorOptions made;
  new (&made) c10::TensorOptions(options);
  return made;
}
static at::ScalarType real(ScalarType type) { return static_cast<at::ScalarType>(type); }
static ScalarType shim(at::ScalarType type) { return static_cast<ScalarType>(type); }
static c10::Device real(const Device& device) {
  return c10::Device(static_cast<c10::DeviceType>(device.type()), device.index());
}
static Device shim(c10::Device device) {
  return Device(static_cast<DeviceType>(device.type()), device.index());
}
static at::IntArrayRef real(IntArrayRef list) { return {list.data(), list.size()}; }
static IntArrayRef shim(at::IntArrayRef list) { return {list.data(), list.size()}; }
static at::Scalar real(const Scalar& value) {
  if (value.kind == Scalar::Kind::truth) return at::Scalar(value.whole != 0);
  return value.kind == Scalar::Kind::real ? at::Scalar(value.real) : at::Scalar(value.whole);
}

const char* toString(ScalarType type) { return c10::toString(real(type)); }
TensorOptions::TensorOptions() { new (storage_) c10::TensorOptions(); }
TensorOptions::TensorOptions(ScalarType type) { new (storage_) c10::TensorOptions(real(type)); }
#ifdef KERNEL_HARNESS_FAKE_DEVICE
// There is no device: tensors lie in host memory and say otherwise.
TensorOptions::TensorOptions(Device) { new (storage_) c10::TensorOptions(); }
TensorOptions TensorOptions::device(Device) const { return *this; }
#else
TensorOptions::TensorOptions(Device device) { new (storage_) c10::TensorOptions(real(device)); }
TensorOptions TensorOptions::device(Device device) const {
  return shim(real(*this).device(real(device)));
}
#endif
TensorOptions TensorOptions::dtype(ScalarType type) const {
  return shim(real(*this).dtype(real(type)));
}

Tensor::Tensor() { new (storage_) at::Tensor(); }
Tensor::Tensor(const Tensor& other) { new (storage_) at::Tensor(real(&other)); }
Tensor::Tensor(Tensor&& other) noexcept { new (storage_) at::Tensor(std::move(real(&other))); }
Tensor::~Tensor() { real(this).~Tensor(); }
Tensor& Tensor::operator=(const Tensor& other) & {
  real(this) = real(&other);
  return *this;
}
Tensor& Tensor::operator=(Tensor&& other) & noexcept {
  real(this) = std::move(real(&other));
  return *this;
}
bool Tensor::defined() const { return real(this).defined(); }
int64_t Tensor::dim() const { return real(this).dim(); }
int64_t Tensor::numel() const { return real(this).numel(); }
int64_t Tensor::size(int64_t at) const { return real(this).size(at); }
int64_t Tensor::stride(int64_t at) const { return real(this).stride(at); }
IntArrayRef Tensor::sizes() const { return shim(real(this).sizes()); }
IntArrayRef Tensor::strides() const { return shim(real(this).strides()); }
bool Tensor::is_contiguous() const { return real(this).is_contiguous(); }
ScalarType Tensor::scalar_type() const { return shim(real(this).scalar_type()); }
#ifdef KERNEL_HARNESS_FAKE_DEVICE
bool Tensor::is_cuda() const { return true; }
bool Tensor::is_cpu() const { return false; }
Device Tensor::device() const { return Device(DeviceType::CUDA, 0); }
DeviceIndex Tensor::get_device() const { return 0; }
#else
bool Tensor::is_cuda() const { return real(this).is_cuda(); }
bool Tensor::is_cpu() const { return real(this).is_cpu(); }
Device Tensor::device() const { return shim(real(this).device()); }
DeviceIndex Tensor::get_device() const { return real(this).get_device(); }
#endif
TensorOptions Tensor::options() const { return shim(real(this).options()); }
size_t Tensor::element_size() const { return real(this).itemsize(); }
size_t Tensor::nbytes() const { return real(this).nbytes(); }
void* Tensor::data_ptr() const { return real(this).data_ptr(); }
void* Tensor::mutable_data_ptr() const { return real(this).mutable_data_ptr(); }
const void* Tensor::const_data_ptr() const { return real(this).const_data_ptr(); }
template <class T>
struct Element {
  using type = T;
};
#define KH_ELEMENT(name)              \
  template <>                         \
  struct Element<name> {              \
    using type = c10::name;           \
    static_assert(sizeof(name) == sizeof(type)); \
  };
KH_ELEMENT(Half) KH_ELEMENT(BFloat16) KH_ELEMENT(Float8_e5m2) KH_ELEMENT(Float8_e4m3fn)
#define KH_DATA(T)                                                                            \
  T* Tensor::data_of(T*) const {                                                              \
    return reinterpret_cast<T*>(real(this).data_ptr<Element<T>::type>());                     \
  }                                                                                           \
  T* Tensor::mutable_of(T*) const {                                                           \
    return reinterpret_cast<T*>(real(this).mutable_data_ptr<Element<T>::type>());             \
  }                                                                                           \
  const T* Tensor::const_of(T*) const {                                                       \
    return reinterpret_cast<const T*>(real(this).const_data_ptr<Element<T>::type>());         \
  }
KH_ELEMENTS(KH_DATA)
Tensor Tensor::contiguous() const { return shim(real(this).contiguous()); }
Tensor Tensor::clone() const { return shim(real(this).clone()); }
Tensor Tensor::view(IntArrayRef shape) const { return shim(real(this).view(real(shape))); }
Tensor Tensor::reshape(IntArrayRef shape) const { return shim(real(this).reshape(real(shape))); }
Tensor Tensor::transpose(int64_t a, int64_t b) const { return shim(real(this).transpose(a, b)); }
Tensor Tensor::unsqueeze(int64_t at) const { return shim(real(this).unsqueeze(at)); }
Tensor Tensor::squeeze(int64_t at) const { return shim(real(this).squeeze(at)); }
Tensor Tensor::select(int64_t d, int64_t i) const { return shim(real(this).select(d, i)); }
Tensor& Tensor::zero_() const {
  real(this).zero_();
  return const_cast<Tensor&>(*this);
}
Tensor& Tensor::fill_(const Scalar& value) const {
  real(this).fill_(real(value));
  return const_cast<Tensor&>(*this);
}
Tensor& Tensor::copy_(const Tensor& from, bool non_blocking) const {
  real(this).copy_(real(&from), non_blocking);
  return const_cast<Tensor&>(*this);
}

Tensor empty(IntArrayRef n, const TensorOptions& o) {
  return shim(torch::empty(real(n), real(o)));
}
Tensor zeros(IntArrayRef n, const TensorOptions& o) {
  return shim(torch::zeros(real(n), real(o)));
}
Tensor ones(IntArrayRef n, const TensorOptions& o) { return shim(torch::ones(real(n), real(o))); }
Tensor full(IntArrayRef n, const Scalar& value, const TensorOptions& o) {
  return shim(torch::full(real(n), real(value), real(o)));
}
Tensor empty_like(const Tensor& like, const TensorOptions& o) {
  return shim(torch::empty_like(real(&like), real(o)));
}
Tensor zeros_like(const Tensor& like, const TensorOptions& o) {
  return shim(torch::zeros_like(real(&like), real(o)));
}

void fail(const char* function, const char* file, uint32_t line, const char* said) {
  c10::detail::torchCheckFail(function, file, line, said);
}
template <class T>
static void stream(std::string& to, const T& value) {
  std::ostringstream text;
  text << value;
  to += text.str();
}
void say(std::string& to, const char* text) { stream(to, text); }
void say(std::string& to, double value) { stream(to, value); }
void say(std::string& to, ScalarType type) { stream(to, real(type)); }
void say(std::string& to, TypeMeta type) {
  stream(to, c10::scalarTypeToTypeMeta(real(type.toScalarType())));
}
void say(std::string& to, DeviceType type) { stream(to, static_cast<c10::DeviceType>(type)); }
void say(std::string& to, const Device& device) { stream(to, real(device)); }
void say(std::string& to, IntArrayRef list) { stream(to, real(list)); }

#ifdef KERNEL_HARNESS_FAKE_DEVICE
namespace cuda {
CUDAStream getCurrentCUDAStream(DeviceIndex) { return CUDAStream(nullptr); }
DeviceIndex exchange_device(DeviceIndex) { return 0; }
void return_to_device(DeviceIndex) {}
DeviceIndex CUDAGuard::checked(Device) { return 0; }
void check(int error, const char* file, const char* function, uint32_t line) {
  if (error != 0) fail(function, file, line, "CUDA error: invalid configuration argument");
}
}  // namespace cuda
#elif defined(KERNEL_HARNESS_TORCH_CUDA)
namespace cuda {
CUDAStream getCurrentCUDAStream(DeviceIndex index) {
  return CUDAStream(c10::cuda::getCurrentCUDAStream(index).stream());
}
DeviceIndex exchange_device(DeviceIndex index) {
  if (index != -1) return c10::cuda::ExchangeDevice(index);
  DeviceIndex now = 0;
  C10_CUDA_CHECK(c10::cuda::GetDevice(&now));
  return now;
}
void return_to_device(DeviceIndex index) {
  C10_CUDA_CHECK_WARN(c10::cuda::MaybeSetDevice(index));
}
DeviceIndex CUDAGuard::checked(Device device) {
  TORCH_CHECK(device.is_cuda(), "Expected a CUDA device, but got ", real(device));
  return device.index();
}
void check(int error, const char* file, const char* function, uint32_t line) {
  c10::cuda::c10_cuda_check_implementation(error, file, function, line, true);
}
}  // namespace cuda
#endif

namespace python {
template <class T>
static bool loaded(Object* source, bool convert, T& to) {
  py::detail::make_caster<T> caster;
  if (!caster.load(source, convert)) return false;
  to = py::detail::cast_op<T>(std::move(caster));
  return true;
}
template <class T>
static Object* given(const T& value) {
  return py::detail::make_caster<T>::cast(value, py::return_value_policy::move, {}).ptr();
}
#define KH_VALUE(T)                                                                        \
  bool load(Object* source, bool convert, T& to) { return loaded(source, convert, to); }   \
  Object* give(const T& value) { return given(value); }                                    \
  Text name_of(const T*) { return py::detail::make_caster<T>::name.text; }
KH_PLAIN_VALUES(KH_VALUE)

KH_VALUE(at::Tensor) KH_VALUE(RealMaybe) KH_VALUE(RealList)

bool load(Object* source, bool convert, Tensor& to) { return load(source, convert, real(&to)); }
Object* give(const Tensor& value) { return give(real(&value)); }
Text name_of(const Tensor*) { return name_of(static_cast<const at::Tensor*>(nullptr)); }

bool load(Object* source, bool convert, MaybeTensor& to) {
  RealMaybe found;
  if (!load(source, convert, found)) return false;
  to = found.has_value() ? MaybeTensor(shim(*found)) : std::nullopt;
  return true;
}
Object* give(const MaybeTensor& value) { return value ? give(*value) : give_none(); }
Text name_of(const MaybeTensor*) { return name_of(static_cast<const RealMaybe*>(nullptr)); }

bool load(Object* source, bool convert, Tensors& to) {
  RealList found;
  if (!load(source, convert, found)) return false;
  to.clear();
  for (const auto& each : found) to.push_back(shim(each));
  return true;
}
Object* give(const Tensors& values) {
  RealList found;
  for (const auto& each : values) found.push_back(real(&each));
  return give(found);
}
Text name_of(const Tensors*) { return name_of(static_cast<const RealList*>(nullptr)); }

Object* give_none() { return py::none().release().ptr(); }
Object* give_tuple(Object* const* items, size_t count) {
  std::vector<py::object> held;
  bool whole = true;
  for (size_t at = 0; at < count; ++at) {
    whole = whole && items[at] != nullptr;
    held.push_back(py::reinterpret_steal<py::object>(items[at]));
  }
  if (!whole) return nullptr;
  py::tuple made(count);
  for (size_t at = 0; at < count; ++at) PyTuple_SET_ITEM(made.ptr(), at, held[at].release().ptr());
  return made.release().ptr();
}

static py::handle called(py::detail::function_call& call) {
  Object* given[64];
  bool convert[64];
  const size_t count = call.args.size();
  for (size_t at = 0; at < count; ++at) {
    given[at] = call.args[at].ptr();
    convert[at] = call.args_convert[at];
  }
  auto caller = reinterpret_cast<Caller>(call.func.data[0]);
  return caller(reinterpret_cast<Function>(call.func.data[1]), given, convert);
}
template <class T>
static void attribute(const T& value, py::detail::function_record* record) {
  py::detail::process_attribute<T>::init(value, record);
}

struct Exported : py::cpp_function {
  Exported(const Definition& wanted, const py::module_& module) {
    auto made = make_function_record();
    auto* record = made.get();
    record->data[0] = reinterpret_cast<void*>(wanted.caller);
    record->data[1] = reinterpret_cast<void*>(wanted.function);
    record->impl = &called;
    record->nargs_pos = static_cast<std::uint16_t>(wanted.count);
    attribute(py::name(wanted.name), record);
    attribute(py::scope(module), record);
    attribute(py::sibling(py::getattr(module, wanted.name, py::none())), record);
    if (wanted.doc != nullptr) attribute(py::doc(wanted.doc), record);
    for (const auto& each : wanted.arguments) {
      if (each.value == nullptr) {
        attribute(py::arg(each.name), record);
      } else {
        auto value = py::reinterpret_steal<py::object>(each.value);
        attribute(py::arg_v(each.name, std::move(value)), record);
      }
    }
    static const std::type_info* none[] = {nullptr};
    initialize_generic(std::move(made), wanted.signature.c_str(), none, wanted.count);
  }
};

void module_::define(const Definition& wanted) {
  auto module = py::reinterpret_borrow<py::module_>(self_);
  module.add_object(wanted.name, Exported(wanted, module), true);
}

Object* make_module(const char* name, void (*fill)(module_&)) {
  PYBIND11_CHECK_PYTHON_VERSION
  try {
    py::detail::get_internals();
    auto module = py::module_::create_extension_module(name, nullptr, new PyModuleDef());
    module_ filled(module.ptr());
    fill(filled);
    return module.release().ptr();
  }
  PYBIND11_CATCH_INIT_EXCEPTIONS
  return nullptr;
}
}  // namespace python
}  // namespace kernel_harness_torch
