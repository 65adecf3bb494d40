// The values that chat templates compute with: Python's, as far as Jinja shows them. Copies share
// what they hold; containers do not change once made, but for namespaces, as in transformers'
// sandbox.
//
// Thread rule: values belong to one rendering.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"

namespace ingot::model::chat {

class Value;
struct MacroNode;
struct Scope;

// What a sequence is for Python: a generator is true and has no length, a view has no elements by
// number. All may be walked.
enum class SequenceKind { kList, kTuple, kGenerator, kView, kRange };

struct Sequence {
  SequenceKind kind = SequenceKind::kList;
  std::vector<Value> items;
  bool used = false;  // a generator that was walked is empty
};

// In the order of insertion.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;
  void Set(Value key, Value value);  // the last of equal keys counts, at the first one's place
};

struct Namespace {
  std::map<std::string, Value, std::less<>> values;
};

// {% macro %} with the scope that it was defined in; also the body of a {% call %}.
struct Macro {
  const MacroNode* node = nullptr;
  std::shared_ptr<Scope> scope;
};

// A method of a value, not called yet: `text.strip`.
struct Method {
  std::shared_ptr<const Value> object;
  std::string name;
};

// A function of the environment: range, raise_exception, or a loop's cycle.
struct Function {
  std::string name;
  std::shared_ptr<const Value> bound;
};

// A text; `safe` is markupsafe's mark: what is added to it is escaped for HTML.
struct Text {
  std::string bytes;
  bool safe = false;
};

struct Undefined {
  std::string why;  // "'x' is undefined"
};

class Value {
 public:
  Value() = default;                          // None
  Value(bool b) : data_(b) {}                 // NOLINT(google-explicit-constructor)
  Value(std::int64_t i) : data_(i) {}         // NOLINT(google-explicit-constructor)
  Value(int i) : data_(std::int64_t{i}) {}    // NOLINT(google-explicit-constructor)
  Value(double d) : data_(d) {}               // NOLINT(google-explicit-constructor)
  Value(std::string text, bool safe = false)  // NOLINT(google-explicit-constructor)
      : data_(std::make_shared<const Text>(Text{std::move(text), safe})) {}
  Value(std::string_view text) : Value(std::string(text)) {}  // NOLINT
  Value(const char* text) : Value(std::string(text)) {}       // NOLINT
  Value(Macro macro) : data_(std::move(macro)) {}             // NOLINT
  Value(Method method) : data_(std::move(method)) {}          // NOLINT
  Value(Function function) : data_(std::move(function)) {}    // NOLINT
  explicit Value(std::shared_ptr<Namespace> space) : data_(std::move(space)) {}
  static Value MakeUndefined(std::string why);
  // Limit: nested deeper than kMaxDepth.
  static Result<Value> Make(SequenceKind kind, std::vector<Value> items);
  static Result<Value> Make(Dict dict);
  // Integers beyond 64 bits become floats. REQUIRES: nested at most kMaxDepth deep.
  static Value FromJson(const nlohmann::ordered_json& json);

  static constexpr std::uint32_t kMaxDepth = 200;

  bool IsNone() const { return std::holds_alternative<std::monostate>(data_); }
  bool IsUndefined() const {
    return std::holds_alternative<std::shared_ptr<const Undefined>>(data_);
  }
  bool IsCallable() const { return Get<Macro>() || Get<Method>() || Get<Function>(); }
  const bool* Bool() const { return Get<bool>(); }
  const double* Float() const { return Get<double>(); }
  const Text* AsText() const { return Shared<const Text>(); }
  const Undefined* AsUndefined() const { return Shared<const Undefined>(); }
  Sequence* AsSequence() const { return Shared<Sequence>(); }
  const Dict* AsDict() const { return Shared<const Dict>(); }
  Namespace* AsNamespace() const { return Shared<Namespace>(); }
  const Macro* AsMacro() const { return Get<Macro>(); }
  const Method* AsMethod() const { return Get<Method>(); }
  const Function* AsFunction() const { return Get<Function>(); }
  // An int, or a bool as one.
  bool AsInt(std::int64_t& out) const;
  // Any number as a float.
  bool AsNumber(double& out) const;
  bool IsNumber() const {
    double ignored;
    return AsNumber(ignored);
  }

  bool Truthy() const;
  // Python's ==.
  bool Equals(const Value& other) const;
  // How errors call its type: "dict object".
  std::string TypeName() const;
  std::uint32_t depth() const { return depth_; }

 private:
  template <typename T>
  const T* Get() const {
    return std::get_if<T>(&data_);
  }
  template <typename T>
  T* Shared() const {
    const auto* held = std::get_if<std::shared_ptr<T>>(&data_);
    return held == nullptr ? nullptr : held->get();
  }
  std::variant<std::monostate, bool, std::int64_t, double, std::shared_ptr<const Text>,
               std::shared_ptr<Sequence>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
               std::shared_ptr<const Undefined>, Macro, Method, Function>
      data_;
  std::uint32_t depth_ = 0;  // of containers in it
};

}  // namespace ingot::model::chat
