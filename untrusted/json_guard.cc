#include "untrusted/json_guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "untrusted/printable.h"

namespace ingot::untrusted {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kShownBytes = 80;  // of a key, in an error

// A text in which numbers that JSON does not have are objects, and where its bytes come from.
struct TaggedText {
  std::string text;  // empty: nothing had to be replaced
  struct Replaced {
    std::size_t end;    // in `text`
    std::size_t added;  // bytes, by it and all before it
  };
  std::vector<Replaced> replaced;

  // The byte of the original, both counted from 1.
  std::size_t Original(std::size_t byte) const {
    std::size_t added = 0;
    for (const Replaced& one : replaced) {
      if (one.end >= byte) break;
      added = one.added;
    }
    return byte - std::min(byte, added);
  }
};

constexpr std::string_view kFloats[] = {"-Infinity", "Infinity", "NaN"};

TaggedText TagFloats(std::string_view text) {
  TaggedText tagged;
  std::size_t copied = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (quoted) {
      if (text[i] == '\\') ++i;
      continue;
    }
    for (const std::string_view name : kFloats) {
      if (!text.substr(i).starts_with(name)) continue;
      tagged.text +=
          fmt::format("{}{{\"__float__\": \"{}\"}}", text.substr(copied, i - copied), name);
      copied = i + name.size();
      tagged.replaced.push_back({tagged.text.size(), tagged.text.size() - copied});
      i = copied - 1;
      break;
    }
  }
  if (copied > 0) tagged.text += text.substr(copied);
  return tagged;
}

// Builds the tree bottom-up from parser events; `open_` holds the containers not yet closed.
class TreeBuilder : public nlohmann::json_sax<Json> {
 public:
  // `tagged`: what is parsed is its text, null: the original.
  TreeBuilder(const JsonLimits& limits, const TaggedText* tagged)
      : limits_(limits), tagged_(tagged) {}

  bool null() override { return Add(Json(nullptr)); }
  bool boolean(bool value) override { return Add(Json(value)); }
  bool number_integer(number_integer_t value) override { return Add(Json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Add(Json(value)); }
  bool number_float(number_float_t value, const string_t&) override { return Add(Json(value)); }
  bool string(string_t& value) override { return Fits(value) && Add(Json(std::move(value))); }
  bool binary(binary_t&) override { return Fail(Corruption("binary value")); }
  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    if (!Fits(name) || !Count()) return false;
    Json& object = *open_.back();
    if (limits_.dialect == JsonDialect::kStrict && object.contains(name))
      return Fail(
          Corruption(fmt::format("duplicate key '{}'", Printable(name.substr(0, kShownBytes)))));
    slot_ = &object[std::move(name)];
    return true;
  }

  bool parse_error(std::size_t byte, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // Only numbers out of range come with another id than a syntax error.
    return Fail(Corruption(fmt::format("{} at byte {}",
                                       error.id >= 400 ? "number out of range" : "not valid JSON",
                                       tagged_ == nullptr ? byte : tagged_->Original(byte))));
  }

  const Status& status() const { return status_; }
  Json TakeRoot() { return std::move(root_); }

 private:
  bool Fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
    return false;
  }

  bool Count() {
    if (++values_ <= limits_.values) return true;
    return Fail(LimitExceeded(fmt::format("more than {} JSON values", limits_.values)));
  }

  bool Fits(const std::string& text) {
    if (text.size() <= limits_.string_bytes) return true;
    return Fail(LimitExceeded(
        fmt::format("a JSON string of {} bytes, at most {}", text.size(), limits_.string_bytes)));
  }

  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    *slot_ = std::move(value);
    return slot_;
  }

  bool Add(Json value) {
    if (!Count()) return false;
    Place(std::move(value));
    return true;
  }

  bool Open(Json value) {
    if (open_.size() >= limits_.depth)
      return Fail(Corruption(fmt::format("nested deeper than {} levels", limits_.depth)));
    if (!Count()) return false;
    open_.push_back(Place(std::move(value)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  const TaggedText* tagged_;
  std::uint64_t values_ = 0;
  Json root_;
  std::vector<Json*> open_;  // stable: a container grows only while it is the innermost
  Json* slot_ = nullptr;     // where the value of the last key goes
  Status status_;
};

Result<Json> Parse(std::string_view text, const JsonLimits& limits, const TaggedText* tagged) {
  TreeBuilder builder(limits, tagged);
  if (Json::sax_parse(text.begin(), text.end(), &builder)) return builder.TakeRoot();
  return builder.status().ok() ? Corruption("not valid JSON") : builder.status();
}

}  // namespace

Result<Json> ParseJson(std::string_view text, const JsonLimits& limits) {
  // nlohmann takes a NUL for the end and skips a byte order mark.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos)
    return Corruption(fmt::format("not valid JSON at byte {}: a NUL", nul + 1));
  if (text.starts_with("\xEF\xBB\xBF"))
    return Corruption("not valid JSON at byte 1: a byte order mark");
  Result<Json> json = Parse(text, limits, nullptr);
  if (json.ok() || limits.dialect == JsonDialect::kStrict) return json;
  const TaggedText tagged = TagFloats(text);
  return tagged.replaced.empty() ? std::move(json) : Parse(tagged.text, limits, &tagged);
}

std::optional<std::string_view> NonFiniteOf(const nlohmann::json& value) {
  if (!value.is_object() || value.size() != 1) return std::nullopt;
  const auto it = value.find("__float__");
  if (it == value.end() || !it->is_string()) return std::nullopt;
  const auto* name = std::ranges::find(kFloats, it->get_ref<const std::string&>());
  return name == std::end(kFloats) ? std::nullopt : std::optional(*name);
}

}  // namespace ingot::untrusted
