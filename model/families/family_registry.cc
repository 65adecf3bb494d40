// Which families there are, and BuildArchitecture, which asks them.
#include <fmt/format.h>

#include "model/architecture/architecture.h"
#include "model/families/family.h"

namespace ingot::model {
namespace {

struct FamilyRow {
  const char* model_type;
  Architecture (*build)(FamilyContext&);
};

constexpr FamilyRow kFamilies[] = {
    {"llama", BuildLlamaLike},
    {"mistral", BuildLlamaLike},
    {"qwen2", BuildLlamaLike},
    {"qwen3", BuildLlamaLike},
    {"granite", BuildLlamaLike},
    {"phi3", BuildPhi3},
    {"gemma", BuildGemma},
    {"gemma2", BuildGemma},
    {"gemma3_text", BuildGemma},
    {"mixtral", BuildMixtral},
    {"qwen2_moe", BuildMixtral},
    {"qwen3_moe", BuildMixtral},
    {"olmoe", BuildMixtral},
    {"olmo", BuildOlmo},
    {"olmo2", BuildOlmo},
    {"gpt2", BuildGpt2},
    {"gptj", BuildGptJ},
    {"gpt_neo", BuildGptNeo},
    {"gpt_neox", BuildGptNeoX},
    {"phi", BuildPhi},
    {"opt", BuildOpt},
    {"bloom", BuildBloom},
    {"falcon", BuildFalcon},
    {"RefinedWeb", BuildFalcon},
    {"RefinedWebModel", BuildFalcon},
    {"stablelm", BuildStableLm},
    {"rwkv", BuildRwkv},
    {"rwkv5", BuildRwkv},
    {"rwkv6", BuildRwkv},
    {"rwkv7", BuildRwkv},
    {"rwkv7_fla", BuildRwkv},
    {"bert", BuildBert},
    {"roberta", BuildBert},
    {"distilbert", BuildDistilBert},
    {"mamba", BuildMamba},
    {"falcon_mamba", BuildMamba},
    {"mamba2", BuildMamba2},
    {"jamba", BuildJamba},
    {"bamba", BuildBamba},
    {"retnet", BuildRetNet},
};

std::string KnownFamilies() {
  std::string names;
  for (const FamilyRow& row : kFamilies) {
    if (!names.empty()) names += ", ";
    names += row.model_type;
  }
  return names;
}

}  // namespace

Result<Architecture> BuildArchitecture(const Json& config, const HasTensor& has_tensor) {
  if (!config.is_object()) return InvalidArgument("config.json: not an object");
  ConfigReader reader(config);
  const std::string model_type = reader.Text("model_type", "");
  INGOT_TRY(reader.status());
  if (model_type.empty())
    return InvalidArgument("config.json: 'model_type' is missing, so the architecture is unknown");
  for (const FamilyRow& row : kFamilies) {
    if (model_type != row.model_type) continue;
    FamilyContext context{reader, has_tensor, model_type};
    Architecture architecture = row.build(context);
    INGOT_TRY(reader.status());
    return architecture;
  }
  return Unsupported(fmt::format("config.json: architecture '{}' is not supported (known: {})",
                                 model_type, KnownFamilies()));
}

}  // namespace ingot::model
