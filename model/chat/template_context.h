// What a rendering has for all that a template calls: its limits, values that count against them,
// and how values are looked into.
//
// Thread rule: as the machine's (template_machine.h).
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/chat/template_value.h"

namespace ingot::model::chat {

struct RenderLimits {
  std::uint64_t steps = 20'000'000;                    // expressions and tags evaluated
  std::uint64_t bytes = std::uint64_t{1} << 30;        // of all texts and lists made on the way
  std::uint64_t text_bytes = std::uint64_t{64} << 20;  // of one text, the rendered one among them
  std::uint32_t depth = 1000;                          // expressions, tags and macros in each other
};

struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // The argument at `place` or called `name`; null where it is not given.
  const Value* Find(std::size_t place, std::string_view name) const;
};

class Context {
 public:
  // `now`: what strftime_now tells; by default the clock's.
  explicit Context(const RenderLimits& limits, std::optional<std::time_t> now)
      : limits_(limits), now_(now) {}
  virtual ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Limit past one of the limits. Values that are new are made here, so that they count.
  Status Charge(std::uint64_t bytes);
  Status Step();
  Result<Value> NewText(std::string text, bool safe = false);
  Result<Value> NewSequence(SequenceKind kind, std::vector<Value> items);
  Result<Value> NewDict(Dict dict);
  Value NewNamespace();
  // What a loop walks: items, keys, characters. A generator is empty afterwards.
  Result<std::vector<Value>> Iterate(const Value& value);
  std::time_t now() const { return now_.has_value() ? *now_ : std::time(nullptr); }

  // `value.name` and `value[key]`; an undefined value where there is none.
  virtual Result<Value> Attribute(const Value& value, const std::string& name) = 0;
  virtual Result<Value> Item(const Value& value, const Value& key) = 0;

 protected:
  struct Deeper {
    explicit Deeper(Context& context) : context(context) { ++context.depth_; }
    ~Deeper() { --context.depth_; }
    Context& context;
  };
  const RenderLimits& limits() const { return limits_; }

 private:
  RenderLimits limits_;
  std::optional<std::time_t> now_;
  std::uint64_t steps_ = 0, bytes_ = 0;
  std::uint32_t depth_ = 0;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

}  // namespace ingot::model::chat
