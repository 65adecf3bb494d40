// The architectures of GGUF files that are read, and what llama.cpp's converter did to each: which
// names it gave to a family's tensors and how it changed them.
//
// Thread rule: constants and pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ingot::model {

enum class GgufChange : std::uint8_t {
  kNone,
  kUnpermute,      // rows of each head: (i, half) in the file, (half, i) on Hugging Face
  kMinusOne,       // norm weights stored as 1 + w
  kGroupHeads,     // rows of all q, all k, all v; on Hugging Face side by side for a group of heads
  kTranspose,      // a matrix that Hugging Face keeps the other way round
  kTransposeEach,  // a stack of such matrices; "{}" of the name is a matrix's number
  kLogNegative,    // -exp(w) in the file
  kSplitRows,  // each row is a tensor of its own; "{}" of the name is its number, or its part of
               // `parts`
  kColumn,     // a vector of channels that is a matrix of one column, or kernel, on Hugging Face
  kRow,        // a vector that is a matrix of one row
  kFlat,       // a vector on Hugging Face
  kTwice,      // halved once for every `rescale_every_n_layers` layers before it
  kZeros,      // not in the file
};

struct GgufNameRow {
  std::string_view gguf;
  std::string_view hf;
  GgufChange change = GgufChange::kNone;
  std::string_view parts = {};    // kSplitRows: a letter for each row
  std::string_view suffix = "*";  // on Hugging Face; "*": the file's
};

struct GgufFamily {
  const char* architecture;  // general.architecture
  const char* model_type;
  const char* hf_class;
  bool permuted = false;      // q and k rows lie in the order of interleaved rotary pairs
  bool norms_offset = false;  // norm weights were stored with the family's 1 added
  std::string_view layers = "model.layers.";
  std::span<const GgufNameRow> outside = {};  // without a suffix
  std::span<const GgufNameRow> inside = {};   // of a layer
  bool layer_norms = false;                   // epsilon and kind of norms
  // RWKV 7: the first layer's values are not blended with any, what a file has for it is a filler.
  bool skips_first_values = false;
  std::string_view experts = "mlp.experts.{}.{}_proj";  // of a layer: number and part
};

// The row of a tensor's module ("token_embd"; "attn_q" of a layer); nullptr where there is none.
const GgufNameRow* OutsideName(const GgufFamily& family, std::string_view name);
const GgufNameRow* InsideName(const GgufFamily& family, std::string_view name);

// Unsupported names the architecture and what is known.
Result<const GgufFamily*> FindGgufFamily(const std::string& architecture, bool has_experts);

}  // namespace ingot::model
