#include "model/text/json_text.h"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace ingot::model {
namespace {

using Json = nlohmann::json;

// Builds the tree bottom-up from parser events; `open_` holds the containers not yet closed.
class TreeBuilder : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Add(Json(nullptr)); }
  bool boolean(bool value) override { return Add(Json(value)); }
  bool number_integer(number_integer_t value) override { return Add(Json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Add(Json(value)); }
  bool number_float(number_float_t value, const string_t&) override { return Add(Json(value)); }
  bool string(string_t& value) override { return Add(Json(std::move(value))); }
  bool binary(binary_t&) override { return Fail("binary value"); }
  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    Json& object = *open_.back();
    if (object.contains(name)) return Fail(fmt::format("duplicate key '{}'", name));
    slot_ = &object[name];
    return true;
  }

  bool parse_error(std::size_t byte, const std::string&,
                   const nlohmann::detail::exception& error) override {
    if (!error_.empty()) return false;
    // Only numbers out of range come with another id than a syntax error.
    error_ = error.id >= 400 ? "number out of range" : "not valid JSON";
    error_ += fmt::format(" at byte {}", byte);
    return false;
  }

  const std::string& error() const { return error_; }
  Json TakeRoot() { return std::move(root_); }

 private:
  bool Fail(std::string why) {
    error_ = std::move(why);
    return false;
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
    Place(std::move(value));
    return true;
  }

  bool Open(Json value) {
    if (open_.size() >= kMaxJsonDepth)
      return Fail(fmt::format("nested deeper than {} levels", kMaxJsonDepth));
    open_.push_back(Place(std::move(value)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*> open_;  // stable: a container grows only while it is the innermost
  Json* slot_ = nullptr;     // where the value of the last key goes
  std::string error_;
};

// `text` with bare numbers that JSON does not have replaced; empty where it has none.
std::string TagFloats(std::string_view text) {
  static constexpr std::string_view kFloats[] = {"-Infinity", "Infinity", "NaN"};
  std::string tagged;
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
      tagged += fmt::format("{}{{\"__float__\": \"{}\"}}", text.substr(copied, i - copied), name);
      copied = i + name.size();
      i = copied - 1;
      break;
    }
  }
  if (copied > 0) tagged += text.substr(copied);
  return tagged;
}

}  // namespace

Result<Json> ParsePythonJson(std::string_view text) {
  Result<Json> json = ParseJson(text);
  if (json.ok()) return json;
  const std::string tagged = TagFloats(text);
  return tagged.empty() ? std::move(json) : ParseJson(tagged);
}

Result<Json> ParseJson(std::string_view text) {
  TreeBuilder builder;
  const bool ok = Json::sax_parse(text.begin(), text.end(), &builder);
  if (!ok) return Corruption(builder.error().empty() ? "not valid JSON" : builder.error());
  return builder.TakeRoot();
}

}  // namespace ingot::model
