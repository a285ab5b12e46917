// Torch's types by themselves, in a namespace of ours, so that torch's own may stand beside them.
// What is declared behaves as torch's does, for support.cpp has torch do it. Nothing may be declared
// here that means something else than in torch: better to leave it out.
#pragma once
#pragma GCC system_header
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
struct _object;
struct CUstream_st;
namespace kernel_harness_torch __attribute__((visibility("hidden"))) {
enum class ScalarType : int8_t {
  Byte = 0, Char, Short, Int, Long, Half, Float, Double,
  Bool = 11, BFloat16 = 15, Float8_e5m2 = 23, Float8_e4m3fn = 24
};
constexpr auto kByte = ScalarType::Byte, kChar = ScalarType::Char, kShort = ScalarType::Short,
               kInt = ScalarType::Int, kLong = ScalarType::Long, kHalf = ScalarType::Half,
               kFloat = ScalarType::Float, kDouble = ScalarType::Double, kBool = ScalarType::Bool,
               kBFloat16 = ScalarType::BFloat16, kFloat8_e5m2 = ScalarType::Float8_e5m2,
               kFloat8_e4m3fn = ScalarType::Float8_e4m3fn;
enum class DeviceType : int8_t { CPU = 0, CUDA = 1 };
constexpr auto kCPU = DeviceType::CPU, kCUDA = DeviceType::CUDA;
using DeviceIndex = int8_t;
const char* toString(ScalarType);

#define KH_OPAQUE(name, type) \
  class name {                \
    type bits_;               \
   public:                    \
    name() = default;         \
  };
KH_OPAQUE(Half, uint16_t)
KH_OPAQUE(BFloat16, uint16_t)
KH_OPAQUE(Float8_e5m2, uint8_t)
KH_OPAQUE(Float8_e4m3fn, uint8_t)
#undef KH_OPAQUE
#define KH_ELEMENTS(_)                                                                   \
  _(uint8_t) _(int8_t) _(int16_t) _(int) _(int64_t) _(float) _(double) _(bool) _(Half)   \
  _(BFloat16) _(Float8_e5m2) _(Float8_e4m3fn)

template <class T>
class ArrayRef {
  const T* data_ = nullptr;
  size_t size_ = 0;

 public:
  using value_type = T;
  constexpr ArrayRef() = default;
  constexpr ArrayRef(const T* data, size_t size) : data_(data), size_(size) {}
  constexpr ArrayRef(const std::initializer_list<T>& list)
      : data_(list.begin() == list.end() ? nullptr : list.begin()), size_(list.size()) {}
  ArrayRef(const std::vector<T>& list) : data_(list.data()), size_(list.size()) {}
  constexpr const T* begin() const { return data_; }
  constexpr const T* end() const { return data_ + size_; }
  constexpr const T* data() const { return data_; }
  constexpr size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr const T& operator[](size_t at) const { return data_[at]; }
  std::vector<T> vec() const { return std::vector<T>(begin(), end()); }
  bool equals(ArrayRef other) const {
    bool same = size_ == other.size_;
    for (size_t at = 0; same && at < size_; ++at) same = data_[at] == other.data_[at];
    return same;
  }
  friend bool operator==(ArrayRef a, ArrayRef b) { return a.equals(b); }
  friend bool operator!=(ArrayRef a, ArrayRef b) { return !a.equals(b); }
};
using IntArrayRef = ArrayRef<int64_t>;

struct Device {
  Device(DeviceType type, DeviceIndex index = -1) : type_(type), index_(index) {}
  DeviceType type() const { return type_; }
  DeviceIndex index() const { return index_; }
  bool has_index() const { return index_ != -1; }
  bool is_cuda() const { return type_ == DeviceType::CUDA; }
  bool is_cpu() const { return type_ == DeviceType::CPU; }
  bool operator==(const Device& o) const { return type_ == o.type_ && index_ == o.index_; }
  bool operator!=(const Device& o) const { return !(*this == o); }

 private:
  DeviceType type_;
  DeviceIndex index_;
};

class TypeMeta {
  ScalarType type_;

 public:
  explicit TypeMeta(ScalarType type) : type_(type) {}
  ScalarType toScalarType() const { return type_; }
  friend bool operator==(TypeMeta a, TypeMeta b) { return a.type_ == b.type_; }
  friend bool operator!=(TypeMeta a, TypeMeta b) { return a.type_ != b.type_; }
  friend bool operator==(TypeMeta a, ScalarType b) { return a.type_ == b; }
  friend bool operator!=(TypeMeta a, ScalarType b) { return a.type_ != b; }
  friend bool operator==(ScalarType a, TypeMeta b) { return a == b.type_; }
  friend bool operator!=(ScalarType a, TypeMeta b) { return a != b.type_; }
};

class TensorOptions {
  alignas(8) unsigned char storage_[16];

 public:
  TensorOptions();
  TensorOptions(ScalarType);
  TensorOptions(TypeMeta type) : TensorOptions(type.toScalarType()) {}
  TensorOptions(Device);
  TensorOptions(DeviceType type) : TensorOptions(Device(type)) {}
  TensorOptions dtype(ScalarType) const;
  TensorOptions dtype(TypeMeta type) const { return dtype(type.toScalarType()); }
  TensorOptions device(Device) const;
  TensorOptions device(DeviceType type, DeviceIndex at = -1) const { return device({type, at}); }
};
inline TensorOptions dtype(ScalarType type) { return TensorOptions(type); }
inline TensorOptions dtype(TypeMeta type) { return TensorOptions(type); }
inline TensorOptions device(Device device) { return TensorOptions(device); }

class Scalar {
 public:
  enum class Kind : int8_t { truth, whole, real };
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T> && sizeof(T) <= 8 &&
                                              !std::is_same_v<T, unsigned long>>>
  Scalar(T value)
      : kind(std::is_same_v<T, bool>       ? Kind::truth
             : std::is_floating_point_v<T> ? Kind::real
                                           : Kind::whole),
        whole(std::is_floating_point_v<T> ? 0 : static_cast<int64_t>(value)),
        real(static_cast<double>(value)) {}
  Kind kind;
  int64_t whole;
  double real;
};

class Tensor {
  alignas(8) unsigned char storage_[8];

 public:
  Tensor();
  Tensor(const Tensor&);
  Tensor(Tensor&&) noexcept;
  ~Tensor();
  Tensor& operator=(const Tensor&) &;
  Tensor& operator=(Tensor&&) & noexcept;
  bool defined() const;
  int64_t dim() const;
  int64_t ndimension() const { return dim(); }
  int64_t numel() const;
  int64_t size(int64_t) const;
  int64_t stride(int64_t) const;
  IntArrayRef sizes() const;
  IntArrayRef strides() const;
  bool is_contiguous() const;
  bool is_cuda() const;
  bool is_cpu() const;
  ScalarType scalar_type() const;
  TypeMeta dtype() const { return TypeMeta(scalar_type()); }
  Device device() const;
  DeviceIndex get_device() const;
  TensorOptions options() const;
  size_t element_size() const;
  size_t itemsize() const { return element_size(); }
  size_t nbytes() const;
  void* data_ptr() const;
  void* mutable_data_ptr() const;
  const void* const_data_ptr() const;
  template <class T>
  T* data_ptr() const { return data_of(static_cast<T*>(nullptr)); }
  template <class T>
  T* mutable_data_ptr() const { return mutable_of(static_cast<T*>(nullptr)); }
  template <class T>
  const T* const_data_ptr() const { return const_of(static_cast<T*>(nullptr)); }
  Tensor contiguous() const;
  Tensor clone() const;
  Tensor view(IntArrayRef) const;
  Tensor reshape(IntArrayRef) const;
  Tensor transpose(int64_t, int64_t) const;
  Tensor unsqueeze(int64_t) const;
  Tensor squeeze(int64_t) const;
  Tensor select(int64_t, int64_t) const;
  Tensor& zero_() const;
  Tensor& fill_(const Scalar&) const;
  Tensor& copy_(const Tensor&, bool non_blocking = false) const;

 private:
#define KH_DATA(T)              \
  T* data_of(T*) const;         \
  T* mutable_of(T*) const;      \
  const T* const_of(T*) const;
  KH_ELEMENTS(KH_DATA)
#undef KH_DATA
};

Tensor empty(IntArrayRef, const TensorOptions& = {});
Tensor zeros(IntArrayRef, const TensorOptions& = {});
Tensor ones(IntArrayRef, const TensorOptions& = {});
Tensor full(IntArrayRef, const Scalar&, const TensorOptions& = {});
Tensor empty_like(const Tensor&, const TensorOptions& = {});
Tensor zeros_like(const Tensor&, const TensorOptions& = {});

[[noreturn]] void fail(const char* function, const char* file, uint32_t line, const char* said);
void say(std::string& to, const char* text);
void say(std::string& to, double value);
void say(std::string& to, ScalarType type);
void say(std::string& to, TypeMeta type);
void say(std::string& to, DeviceType type);
void say(std::string& to, const Device& device);
void say(std::string& to, IntArrayRef list);
inline void tell(std::string& to, const char* text) { say(to, text); }
inline void tell(std::string& to, const std::string& text) { to += text; }
template <class T, class = std::enable_if_t<std::is_arithmetic_v<T> ||
                                            std::is_same_v<T, ScalarType> ||
                                            std::is_same_v<T, TypeMeta> ||
                                            std::is_same_v<T, DeviceType> ||
                                            std::is_same_v<T, Device> ||
                                            std::is_same_v<T, IntArrayRef>>>
void tell(std::string& to, const T& value) {
  if constexpr (std::is_integral_v<T>) {
    static_assert(std::is_same_v<T, bool> || sizeof(T) >= 4, "torch writes characters so");
    to += std::to_string(value);
  } else {
    say(to, value);
  }
}
inline std::string told(const char* unsaid) { return unsaid; }
template <class... A>
std::string told(const char*, const A&... parts) {
  std::string text;
  (tell(text, parts), ...);
  return text;
}

namespace cuda {
using Handle = ::CUstream_st*;
class CUDAStream {
  Handle handle_;

 public:
  explicit CUDAStream(Handle handle) : handle_(handle) {}
  Handle stream() const { return handle_; }
  operator Handle() const { return handle_; }
};
CUDAStream getCurrentCUDAStream(DeviceIndex = -1);
DeviceIndex exchange_device(DeviceIndex);
void return_to_device(DeviceIndex);
class CUDAGuard {
  DeviceIndex before_;

 public:
  explicit CUDAGuard(DeviceIndex index) : before_(exchange_device(index)) {}
  explicit CUDAGuard(Device device) : CUDAGuard(checked(device)) {}
  CUDAGuard(const CUDAGuard&) = delete;
  CUDAGuard& operator=(const CUDAGuard&) = delete;
  ~CUDAGuard() { return_to_device(before_); }

 private:
  static DeviceIndex checked(Device);
};
void check(int error, const char* file, const char* function, uint32_t line);
}  // namespace cuda
}  // namespace kernel_harness_torch
