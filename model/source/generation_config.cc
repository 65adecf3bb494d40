#include "model/source/generation_config.h"

#include <fmt/format.h>

#include <cmath>

#include "model/text/json_fields.h"
#include "model/text/json_text.h"
#include "untrusted/json_guard.h"

namespace ingot::model {
namespace {

constexpr const char* kFile = "generation_config.json";
constexpr const char* kEos = "eos_token_id";
constexpr double kMostTemperature = 1e6;
constexpr std::int64_t kMostTokenId = (4 << 20) - 1;  // as tokenizers have them
constexpr std::uint64_t kMostTopK = std::uint64_t{1} << 31;

// A field of config.json, or of the text model's part of it.
const Json* ConfigField(const Json& config, const char* key) {
  if (const Json* field = FindField(config, key)) return field;
  const Json* text = FindField(config, "text_config");
  return text == nullptr ? nullptr : FindField(*text, key);
}

// Those that are ids, of one or a list: -1 and the like name no token.
Json TokenIds(const Json& eos) {
  Json ids = Json::array();
  const Json list = eos.is_array() ? eos : Json::array({eos});
  for (const Json& id : list)
    if (id.is_number_integer() && id >= 0 && id <= kMostTokenId)
      ids.push_back(id.get<std::uint64_t>());
  return ids;
}

// An object; anything else is the tokenizer's reader's to refuse.
Json GenerationObject(const Assets& assets) {
  const auto asset = assets.find(kFile);
  if (asset == assets.end()) return Json();
  auto parsed = ParseJson(asset->second);
  return parsed.ok() && parsed->is_object() ? *std::move(parsed) : Json();
}

// NaN and Infinity as Python's json writes them and ParseJson gives them: no value to sample with.
bool IsNoFinite(const Json& field) { return untrusted::NonFiniteOf(field).has_value(); }

// One source's values, with the first that is wrong.
class Reader {
 public:
  Reader(const Json& object, std::string file) : object_(object), file_(std::move(file)) {}

  // In [low, high], or above low where `open`.
  std::optional<double> Number(const char* key, double low, bool open, double high) {
    const Json* field = FindField(object_, key);
    if (field == nullptr || IsNoFinite(*field)) return std::nullopt;
    const double value = field->is_number() ? field->get<double>() : std::nan("");
    if (value <= high && (open ? value > low : value >= low)) return value;
    Fail(key, *field, fmt::format("a number {} {} to {}", open ? "above" : "from", low, high));
    return std::nullopt;
  }

  std::optional<std::uint64_t> Count(const char* key, std::uint64_t high) {
    const auto value = Number(key, 0, false, static_cast<double>(high));
    if (!value) return std::nullopt;
    if (*value == std::floor(*value)) return static_cast<std::uint64_t>(*value);
    Fail(key, *FindField(object_, key), "a whole number");
    return std::nullopt;
  }

  std::optional<bool> Flag(const char* key) {
    const Json* field = FindField(object_, key);
    if (field == nullptr) return std::nullopt;
    if (field->is_boolean()) return field->get<bool>();
    Fail(key, *field, "true or false");
    return std::nullopt;
  }

  const Status& status() const { return status_; }

 private:
  void Fail(const char* key, const Json& value, const std::string& expected) {
    if (!status_.ok()) return;
    std::string shown = value.is_structured()
                            ? value.type_name()
                            : value.dump(-1, ' ', true, Json::error_handler_t::replace);
    if (shown.size() > 40) shown = shown.substr(0, 40) + "...";
    status_ = InvalidArgument(
        fmt::format("{}: '{}' is {}, {} was expected", file_, key, shown, expected));
  }

  const Json& object_;
  std::string file_;
  Status status_;
};

}  // namespace

Result<GenerationConfig> ReadGenerationConfig(const Json& config, const Assets& assets) {
  const Json own = GenerationObject(assets);
  const bool has_own = own.is_object();
  const Json& source = has_own ? own : config;
  Reader reader(source, has_own ? kFile : "config.json");
  GenerationConfig out;
  out.do_sample = reader.Flag("do_sample");
  out.temperature = reader.Number("temperature", 0, false, kMostTemperature);
  out.top_k = reader.Count("top_k", kMostTopK);
  out.top_p = reader.Number("top_p", 0, true, 1);
  out.min_p = reader.Number("min_p", 0, false, 1);
  out.repetition_penalty = reader.Number("repetition_penalty", 0, true, kMostTemperature);
  INGOT_TRY(reader.status());
  const bool any = out.do_sample || out.temperature || out.top_k || out.top_p || out.min_p ||
                   out.repetition_penalty;
  if (any) out.file = has_own ? kFile : "config.json";
  return out;
}

Assets TokenizerAssets(const Json& config, const Assets& assets) {
  Assets out = assets;
  const Json* eos = ConfigField(config, kEos);
  Json own = GenerationObject(assets);
  const bool has_own = assets.contains(kFile);
  if (eos == nullptr || FindField(own, kEos) != nullptr || (has_own && !own.is_object()))
    return out;
  const Json ids = TokenIds(*eos);
  if (ids.empty()) return out;
  if (!has_own) own = Json::object();
  own[kEos] = ids;
  out[kFile] = own.dump(-1, ' ', true, Json::error_handler_t::replace);
  return out;
}

}  // namespace ingot::model
