#include "jobs/calibration_setup.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "model/source/generation_config.h"
#include "model/tokenizer/tokenizer.h"
#include "pack/plan.h"

namespace ingot::jobs {

std::uint64_t MemoryBound(std::optional<std::uint64_t> given_bytes) {
  if (given_bytes.has_value()) return *given_bytes;
  const auto pages = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 2;
}

Result<model::Architecture> ArchitectureOf(const model::Checkpoint& checkpoint) {
  auto built = model::BuildArchitecture(
      checkpoint.config(), [&](std::string_view name) { return checkpoint.Find(name) != nullptr; });
  if (!built.ok()) return pack::ModelError(std::move(built).status()).At(checkpoint.path());
  return built;
}

Result<calibration::TokenWindows> CutTexts(const std::vector<calibration::TextSpec>& specs,
                                           const model::Checkpoint& checkpoint,
                                           std::uint64_t tokens, std::size_t context) {
  INGOT_ASSIGN(const auto tokenizer, model::Tokenizer::FromAssets(model::TokenizerAssets(
                                         checkpoint.config(), checkpoint.assets())));
  return calibration::CutWindows(specs, *tokenizer, tokens, context);
}

Result<calibration::TokenWindows> CutTexts(const std::vector<std::string>& texts,
                                           const model::Checkpoint& checkpoint,
                                           std::uint64_t tokens, std::size_t context) {
  std::vector<calibration::TextSpec> specs;
  for (const std::string& text : texts) {
    INGOT_ASSIGN(calibration::TextSpec spec, calibration::ParseTextSpec(text));
    specs.push_back(std::move(spec));
  }
  return CutTexts(specs, checkpoint, tokens, context);
}

}  // namespace ingot::jobs
