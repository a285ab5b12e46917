// Gives functions to Python, in place of pybind11's templates: tells torch's own pybind11 which types a
// function takes and returns, and one caller for each. Converting, overloads, names, defaults,
// signatures and errors are pybind11's, in support.cpp. A type that is unknown here does not compile.
#pragma once
#pragma GCC system_header
#include "kernel_harness_types.h"
namespace kernel_harness_torch::python {
using Object = ::_object;
using Text = std::string;
using Tensors = std::vector<Tensor>;
using MaybeTensor = std::optional<Tensor>;
#define KH_PLAIN_VALUES(_)                                                                  \
  _(bool) _(short) _(unsigned short) _(int) _(unsigned) _(long) _(unsigned long)            \
  _(long long) _(unsigned long long) _(float) _(double) _(Text) _(std::optional<bool>)      \
  _(std::optional<int>) _(std::optional<long>) _(std::optional<float>)                      \
  _(std::optional<double>) _(std::vector<int>) _(std::vector<long>) _(std::vector<float>)   \
  _(std::vector<double>)
#define KH_VALUES(_) KH_PLAIN_VALUES(_) _(Tensor) _(MaybeTensor) _(Tensors)
#define KH_VALUE(T)                          \
  bool load(Object*, bool convert, T& to);   \
  Object* give(const T&);                    \
  Text name_of(const T*);
KH_VALUES(KH_VALUE)
#ifdef KERNEL_HARNESS_WITH_ATEN
using RealMaybe = std::optional<at::Tensor>;
using RealList = std::vector<at::Tensor>;
KH_VALUE(at::Tensor) KH_VALUE(RealMaybe) KH_VALUE(RealList)
#endif
#undef KH_VALUE
Object* give_none();
Object* give_tuple(Object* const* items, size_t count);
inline Object* next_overload() { return reinterpret_cast<Object*>(1); }

template <class T>
struct Value {
  static Text name() { return name_of(static_cast<const T*>(nullptr)); }
  static Object* give(const T& value) { return python::give(value); }
};
template <>
struct Value<void> {
  static Text name() { return "None"; }
};
template <class... T>
struct Value<std::tuple<T...>> {
  static Text name() {
    Text text;
    ((text += (text.empty() ? "" : ", ") + Value<T>::name()), ...);
    return "tuple[" + text + "]";
  }
  static Object* give(const std::tuple<T...>& values) {
    return std::apply(
        [](const T&... each) {
          Object* items[] = {Value<T>::give(each)..., nullptr};
          return give_tuple(items, sizeof...(T));
        },
        values);
  }
};

template <class T>
using Kept = std::remove_cv_t<std::remove_reference_t<T>>;
using Function = void (*)();
using Caller = Object* (*)(Function, Object* const* given, const bool* convert);

template <class R, class... A>
struct Bound {
  static Object* call(Function function, Object* const* given, const bool* convert) {
    return apply(reinterpret_cast<R (*)(A...)>(function), given, convert,
                 std::index_sequence_for<A...>{});
  }
  static Text signature() {
    Text text;
    ((text += (text.empty() ? "{" : ", {") + Value<Kept<A>>::name() + "}"), ...);
    return "(" + text + ") -> " + Value<Kept<R>>::name();
  }

 private:
  template <size_t... I>
  static Object* apply(R (*function)(A...), Object* const* given, const bool* convert,
                       std::index_sequence<I...>) {
    std::tuple<Kept<A>...> values;
    if (!(load(given[I], convert[I], std::get<I>(values)) && ...)) return next_overload();
    if constexpr (std::is_void_v<R>) {
      function(static_cast<A&&>(std::get<I>(values))...);
      return give_none();
    } else {
      return Value<Kept<R>>::give(function(static_cast<A&&>(std::get<I>(values))...));
    }
  }
};

struct arg {
  explicit arg(const char* name) : name(name) {}
  template <class T>
  arg operator=(const T& value) const {
    arg with = *this;
    with.value = Value<T>::give(value);
    return with;
  }
  arg operator=(const char* value) const { return *this = Text(value); }
  arg operator=(std::nullopt_t) const {
    arg with = *this;
    with.value = give_none();
    return with;
  }
  const char* name;
  Object* value = nullptr;
};

struct Definition {
  const char* name;
  Function function;
  Caller caller;
  Text signature;
  size_t count;
  const char* doc = nullptr;
  std::vector<arg> arguments;
  void add(const char* text) { doc = text; }
  void add(const arg& argument) { arguments.push_back(argument); }
};

class module_ {
  Object* self_;

 public:
  explicit module_(Object* self) : self_(self) {}
  template <class F, class... Extra>
  module_& def(const char* name, const F& function, const Extra&... extra) {
    constexpr size_t named = (size_t{0} + ... + std::is_same_v<Extra, arg>);
    bind<named>(name, +function, extra...);
    return *this;
  }

 private:
  template <size_t named, class R, class... A, class... Extra>
  void bind(const char* name, R (*function)(A...), const Extra&... extra) {
    static_assert(named == 0 || named == sizeof...(A), "name each argument or none");
    static_assert(sizeof...(A) <= 64, "as many as are passed on");
    Definition made{name, reinterpret_cast<Function>(function), &Bound<R, A...>::call,
                    Bound<R, A...>::signature(), sizeof...(A)};
    (made.add(extra), ...);
    define(made);
  }
  void define(const Definition&);
};
Object* make_module(const char* name, void (*fill)(module_&));
}  // namespace kernel_harness_torch::python
