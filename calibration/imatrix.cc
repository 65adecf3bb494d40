#include "calibration/imatrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/file.h"
#include "calibration/imatrix_reader.h"
#include "calibration/statistics_writer.h"
#include "files/atomic_file.h"
#include "model/source/gguf/gguf.h"
#include "model/source/mapped_file.h"

namespace ingot::calibration {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
constexpr std::uint64_t kGgufAlignment = 32;
constexpr std::uint32_t kGgufF32 = 0;

struct NameRow {
  std::string_view ours, theirs;
};
constexpr NameRow kOutside[] = {{"model.embed_tokens.weight", "token_embd.weight"},
                                {"lm_head.weight", "output.weight"}};
constexpr NameRow kInLayer[] = {
    {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},      {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.o_proj", "attn_output"}, {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},           {"mlp.gate_up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},       {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"mlp.gate", "ffn_gate_inp"}};
constexpr NameRow kExpert[] = {{"w1", "ffn_gate_exps"},    {"w3", "ffn_up_exps"},
                               {"w2", "ffn_down_exps"},    {"gate_proj", "ffn_gate_exps"},
                               {"up_proj", "ffn_up_exps"}, {"down_proj", "ffn_down_exps"}};

std::optional<std::string_view> Find(std::span<const NameRow> rows, std::string_view name) {
  for (const NameRow& row : rows)
    if (row.ours == name) return row.theirs;
  return std::nullopt;
}

// The number that `text` starts with, which a dot ends; text moves past both.
std::optional<std::uint64_t> TakeIndex(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data() + text.size() || *end != '.') return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return value;
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// A matrix of the model and its place in an imatrix.
struct Place {
  model::TensorUse use;
  LlamaCppName there;
  std::uint64_t rows() const { return use.transposed ? use.shape[1] : use.shape[0]; }
  std::uint64_t cols() const { return use.transposed ? use.shape[0] : use.shape[1]; }
};

std::vector<Place> PlacesOf(const model::Architecture& architecture) {
  std::vector<Place> places;
  for (model::TensorUse& use : model::TensorUses(architecture)) {
    if (use.shape.size() != 2 || use.role == model::TensorRole::kVector) continue;
    if (auto name = ToLlamaCppName(use.name)) places.push_back({std::move(use), *std::move(name)});
  }
  return places;
}

// A tensor of an imatrix: `columns` values for each of its matrices.
struct Sums {
  std::uint64_t columns = 0;
  std::vector<std::vector<float>> values;  // by matrix; empty where nothing is known
  std::vector<float> counts;
};

struct NamedTensorValues {
  std::string name;
  std::vector<float> values;
};

class GgufText {
 public:
  template <typename T>
  void Number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void String(std::string_view text) {
    Number<std::uint64_t>(text.size());
    bytes_ += text;
  }
  void Key(std::string_view key, model::GgufValueType type) {
    String(key);
    Number(static_cast<std::uint32_t>(type));
  }
  void Tensor(std::string_view name, std::uint64_t columns, std::uint64_t rows,
              std::uint64_t offset) {
    String(name);
    Number<std::uint32_t>(2);
    Number(columns);
    Number(rows);
    Number(kGgufF32);
    Number(offset);
  }
  void Pad() { bytes_.resize(AlignUp(bytes_.size(), kGgufAlignment)); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

void PutFloats(std::span<const float> values, std::string& data) {
  data += AsText(BytesOf(values));
  data.resize(AlignUp(data.size(), kGgufAlignment));
}

std::string Serialize(const std::map<std::string, Sums>& tensors, const model::Json& metadata) {
  using model::GgufValueType;
  GgufText out;
  out.Number<std::uint32_t>(0x46554747);  // "GGUF"
  out.Number<std::uint32_t>(3);
  out.Number<std::uint64_t>(2 * tensors.size());
  out.Number<std::uint64_t>(4);
  out.Key("general.type", GgufValueType::kString);
  out.String("imatrix");
  out.Key("imatrix.datasets", GgufValueType::kArray);
  out.Number(static_cast<std::uint32_t>(GgufValueType::kString));
  out.Number<std::uint64_t>(1);
  out.String(metadata.value("text", "unknown"));
  const auto number = [&](const char* key) -> std::uint64_t {
    const std::string text = metadata.value(key, "");
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  const std::uint64_t context = std::max<std::uint64_t>(number("context"), 1);
  out.Key("imatrix.chunk_count", GgufValueType::kU32);
  out.Number(static_cast<std::uint32_t>(number("tokens") / context));
  out.Key("imatrix.chunk_size", GgufValueType::kU32);
  out.Number(static_cast<std::uint32_t>(context));
  std::string data;
  for (const auto& [name, sums] : tensors) {
    out.Tensor(name + std::string(kSums), sums.columns, sums.counts.size(), data.size());
    std::vector<float> all;
    for (std::size_t m = 0; m < sums.counts.size(); ++m) {
      if (sums.values[m].empty()) all.resize(all.size() + sums.columns);
      all.insert(all.end(), sums.values[m].begin(), sums.values[m].end());
    }
    PutFloats(all, data);
    out.Tensor(name + std::string(kCounts), 1, sums.counts.size(), data.size());
    PutFloats(sums.counts, data);
  }
  out.Pad();
  return out.bytes() + data;
}

}  // namespace

std::optional<LlamaCppName> ToLlamaCppName(std::string_view weight) {
  if (const auto outside = Find(kOutside, weight)) return LlamaCppName{std::string(*outside), {}};
  std::string_view rest = weight;
  if (!TakePrefix(rest, "model.layers.") || !rest.ends_with(".weight")) return std::nullopt;
  const auto layer = TakeIndex(rest);
  if (!layer) return std::nullopt;
  rest.remove_suffix(std::string_view(".weight").size());
  if (TakePrefix(rest, "block_sparse_moe.experts.") || TakePrefix(rest, "mlp.experts.")) {
    const auto expert = TakeIndex(rest);
    const auto part = Find(kExpert, rest);
    if (!expert || !part) return std::nullopt;
    return LlamaCppName{fmt::format("blk.{}.{}.weight", *layer, *part), expert};
  }
  const auto module = Find(kInLayer, rest);
  if (!module) return std::nullopt;
  return LlamaCppName{fmt::format("blk.{}.{}.weight", *layer, *module), {}};
}

Result<std::size_t> ExportImatrix(const Statistics& statistics, const model::Checkpoint& checkpoint,
                                  const model::Architecture& architecture,
                                  const std::string& path) {
  INGOT_TRY(statistics.CheckModel(checkpoint));
  std::map<std::string, Sums> tensors;
  for (const Place& place : PlacesOf(architecture)) {
    INGOT_ASSIGN(const codecs::TensorGuide guide,
                 statistics.Guide(place.use.name, place.rows(), place.cols()));
    if (guide.hessian.empty() && guide.diagonal.empty()) continue;
    const std::uint64_t tokens = std::max<std::uint64_t>(1, statistics.TokensOf(place.use.name));
    Sums& sums = tensors[place.there.name];
    sums.columns = place.cols();
    const std::size_t matrix = place.there.expert.value_or(0);
    if (sums.counts.size() <= matrix) {
      sums.counts.resize(matrix + 1);
      sums.values.resize(matrix + 1);
    }
    sums.counts[matrix] = static_cast<float>(tokens);
    for (std::uint64_t j = 0; j < place.cols(); ++j)
      sums.values[matrix].push_back(
          (guide.hessian.empty() ? guide.diagonal[j] : guide.hessian[j * place.cols() + j]) *
          static_cast<float>(tokens));
  }
  if (tensors.empty())
    return NotFound("none of the model's matrices has statistics and a name in llama.cpp");
  INGOT_TRY(files::WriteFileAtomic(path, AsBytes(Serialize(tensors, statistics.metadata()))));
  return tensors.size();
}

Result<std::size_t> ImportImatrix(const std::string& imatrix, const model::Checkpoint& checkpoint,
                                  const model::Architecture& architecture,
                                  const std::string& output) {
  INGOT_ASSIGN(const model::MappedFile file, model::MappedFile::Open(imatrix));
  INGOT_ASSIGN(const Imatrix tensors_there, ParseImatrix(file.bytes()).At(imatrix));
  std::vector<NamedTensorValues> values;
  nlohmann::json inputs = nlohmann::json::object();
  for (const Place& place : PlacesOf(architecture)) {
    const auto it = tensors_there.find(place.there.name);
    if (it == tensors_there.end()) continue;
    const ImatrixTensor& tensor = it->second;
    const std::uint64_t matrix = place.there.expert.value_or(0);
    const std::uint64_t matrices = tensor.MatricesOf(place.cols());
    if (matrix >= matrices || (!place.there.expert && matrices != 1))
      return InvalidArgument(fmt::format("{}: '{}' has {} values, the model's '{}' is {} x {}",
                                         imatrix, place.there.name, tensor.sums.size(),
                                         place.use.name, place.rows(), place.cols()));
    const float count = tensor.counts[tensor.shared_count ? 0 : matrix];
    if (count == 0) continue;  // an expert that saw no token
    const auto first = tensor.sums.begin() + static_cast<std::ptrdiff_t>(matrix * place.cols());
    NamedTensorValues diagonal{"diagonal/" + place.use.name,
                               {first, first + static_cast<std::ptrdiff_t>(place.cols())}};
    for (float& v : diagonal.values) v /= count;
    values.push_back(std::move(diagonal));
    values.push_back({"tokens/" + place.use.name, {count}});
    inputs[place.use.name] = place.use.name;
  }
  if (inputs.empty())
    return NotFound(imatrix + ": none of its tensors is the model's: is it another model's?");
  std::vector<StatisticsTensor> tensors;
  for (const NamedTensorValues& each : values)
    tensors.push_back({each.name, {each.values.size()}, each.values});
  INGOT_ASSIGN(const std::string fingerprint, ModelFingerprint(checkpoint));
  INGOT_TRY(WriteStatistics(output,
                            {{"format", std::string(kStatisticsFormat)},
                             {"model", fingerprint},
                             {"inputs", inputs.dump()},
                             {"tool", "imported from a llama.cpp imatrix"}},
                            tensors));
  return inputs.size();
}

}  // namespace ingot::calibration
