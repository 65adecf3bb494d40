#include "artifact/json_guard.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

namespace ingot::artifact {
namespace {

// Walks the events of the parser and builds nothing; returning false stops the walk.
class Guard : public nlohmann::json_sax<Json> {
 public:
  explicit Guard(std::uint64_t max_values) : max_values_(max_values) {}
  Status status() const { return status_; }

  bool null() override { return Count(); }
  bool boolean(bool) override { return Count(); }
  bool number_integer(number_integer_t) override { return Count(); }
  bool number_unsigned(number_unsigned_t) override { return Count(); }
  bool number_float(number_float_t, const string_t&) override { return Count(); }
  bool string(string_t&) override { return Count(); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Enter(); }
  bool start_array(std::size_t) override { return Enter(); }
  bool end_object() override { return Leave(); }
  bool end_array() override { return Leave(); }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) {
      status_ = Corruption(fmt::format("key '{}' occurs twice in one object", name.substr(0, 80)));
      return false;
    }
    return Count();
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // The library's own text names the token; cut it, because a token may be as long as the file.
    status_ = Corruption(
        fmt::format("not JSON at byte {}: {}", position, std::string(error.what()).substr(0, 160)));
    return false;
  }

 private:
  bool Count() {
    if (++values_ <= max_values_) return true;
    status_ = LimitExceeded(fmt::format("more than {} JSON values", max_values_));
    return false;
  }
  bool Enter() {
    if (keys_.size() >= kMaxJsonDepth) {
      status_ = LimitExceeded(fmt::format("JSON nested deeper than {}", kMaxJsonDepth));
      return false;
    }
    keys_.emplace_back();
    return Count();
  }
  bool Leave() {
    keys_.pop_back();
    return true;
  }

  std::uint64_t max_values_;
  std::uint64_t values_ = 0;
  std::vector<std::set<std::string>> keys_;  // of the objects (and arrays) we are inside of
  Status status_;
};

}  // namespace

Result<Json> ParseGuardedJson(std::string_view text, std::uint64_t max_values) {
  Guard guard(max_values);
  if (!Json::sax_parse(text.begin(), text.end(), &guard)) {
    if (!guard.status().ok()) return guard.status();
    return Corruption("not JSON");
  }
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Corruption("not JSON");
  return json;
}

}  // namespace ingot::artifact
