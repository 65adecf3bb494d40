// What a source checkpoint is, before anything is packed: its architecture, its parameters by role,
// what would be stored how, and what of it is not understood.
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"
#include "pack/plan.h"

namespace ingot::pack {

struct ParameterSum {
  std::uint64_t tensors = 0;
  std::uint64_t weights = 0;
  std::uint64_t source_bytes = 0;
};

// Tensors that differ in numbers inside their names alone: "model.layers.*.mlp.up_proj.weight".
struct TensorGroup {
  std::string pattern;
  std::vector<std::uint64_t> shape;  // as the source has it
  std::string stored_type;
  std::string role;   // as RoleName; "unused" where the architecture has no use for them
  std::string codec;  // that pack takes by default; "raw": kept in the source's own format
  ParameterSum sum;
};

// What a target or codec would make of the model.
struct PresetSummary {
  enum class Option { kTarget, kSmallest, kCodec };
  std::string name;  // "balanced", "int4_rtn"
  Option option = Option::kCodec;
  bool learned = false;  // statistics spend its bits, taken first where none are given
  std::string linear, embedding, head;  // recipes as --rule takes them
  PlannedBytes bytes;
  std::uint64_t resident_bytes = 0;   // in memory, at most
  std::uint64_t estimated_bytes = 0;  // of the tensors in the file
  double bits_per_linear_weight = 0;  // as estimated
  std::string problem;                // why it cannot be planned; empty: it can
};

struct SourceSummary {
  std::string path, format, model_type;
  // Of the file, whatever the architecture makes of them.
  ParameterSum total;
  std::map<std::string, ParameterSum> by_role;  // and "unused"
  std::map<std::string, std::uint64_t> bytes_by_type;
  std::uint64_t active_weights = 0;  // that one token meets: routed experts alone
  // Empty where it is not understood.
  model::Architecture architecture;
  std::string tokenizer;  // "BPE, 32000 tokens", or "none"
  std::vector<TensorGroup> groups;
  std::vector<PresetSummary> presets;
  double overhead_bytes = 0;        // of an artifact, beside its tensors; about
  std::string cannot_learn;         // why the model cannot be learned from its own text; else empty
  std::vector<std::string> unused;  // tensors
  std::vector<std::string> problems;  // what keeps the model from being packed or run
  std::vector<std::string> notes;     // what was ignored

  bool understood() const { return problems.empty(); }
};

// The target that `codec` of the groups is for, pack's default.
inline constexpr std::string_view kDefaultTarget = "balanced";

// Reads names and shapes, the configuration, the tokenizer and, for the sizes of what is
// compressed, some rows of weights. What is not understood is in `problems`, never an error.
SourceSummary SummarizeSource(const model::Checkpoint& checkpoint);

// One object; its fields' names are part of the interface.
Json SourceJson(const SourceSummary& summary);

// A line on what the layers compute: "attention, 9 heads over 3 of keys and values, 64 wide;
// rotary".
std::string LayersText(const model::Architecture& architecture);
// "gated silu 1536", "8 experts, 2 a token, gated silu 14336".
std::string MlpText(const model::Architecture& architecture);

}  // namespace ingot::pack
