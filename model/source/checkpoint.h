// A source model as one view: a Hugging Face directory or a GGUF file, memory-mapped, with tensors
// under their Hugging Face names in Hugging Face row order, config.json as it is read by
// transformers, and the tokenizer's files.
//
// Thread rule: const methods may be called from several threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/coded_rows.h"
#include "base/dtype.h"
#include "base/status.h"

namespace ingot::model {

using Json = nlohmann::json;

struct TensorInfo {
  std::string name;
  std::vector<std::uint64_t> shape;  // outermost first; product checked against 2^63
  // What ReadRows delivers. Block-quantized GGUF types are dequantized to kF32.
  DType dtype = DType::kF32;
  std::string stored_type;         // as the file has it: "BF16", "Q4_1"
  std::uint64_t stored_bytes = 0;  // in the source file
  std::string file;                // which file, relative, for messages

  std::uint64_t elements() const;
  // A matrix view for packing: rows = shape[0], cols = the rest. A vector is 1 x n.
  std::uint64_t rows() const;
  std::uint64_t cols() const;
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  // A directory with config.json and *.safetensors or pytorch_model*.bin, a .pth, .pt or .bin file
  // of torch.save with config.json beside it, or a .gguf file. Errors name the file and the number:
  // NotFound (no such path, missing shard), Corruption (header, offsets, truncation, duplicate
  // names), Unsupported (dtype, GGUF version).
  static Result<std::unique_ptr<Checkpoint>> Open(const std::string& path);

  virtual const std::string& path() const = 0;
  virtual std::string_view format() const = 0;  // "safetensors", "pytorch", "gguf"
  virtual const Json& config() const = 0;
  virtual std::span<const TensorInfo> tensors() const = 0;  // sorted by name
  // nullptr where there is none.
  const TensorInfo* Find(std::string_view name) const;

  // Rows [begin, end) of the matrix view in the tensor's dtype, contiguous. Reads with pread, so
  // that nothing stays mapped in. REQUIRES: out has (end - begin) * cols * DTypeBytes(dtype) bytes.
  virtual Status ReadRows(const TensorInfo& tensor, std::uint64_t begin, std::uint64_t end,
                          MutableByteSpan out) const = 0;
  // The tensor's bytes in the mapped file, where they lie there just as ReadRows would deliver
  // them; empty otherwise (dequantized or permuted on the way).
  virtual ByteSpan Mapped(const TensorInfo& tensor) const = 0;

  // How the source holds a matrix in integer codes; nullopt where it does not, or in another way.
  virtual std::optional<CodedForm> Coded(const TensorInfo&) const { return std::nullopt; }
  // Rows [begin, end) as codes: what ReadRows delivers, number for number (a zero's sign apart).
  // REQUIRES: Coded(tensor) has a value.
  virtual Result<CodedRows> ReadCoded(const TensorInfo& tensor, std::uint64_t begin,
                                      std::uint64_t end) const;

  // Files a runtime needs beside the weights, by name: tokenizer.json, tokenizer.model,
  // tokenizer_config.json, generation_config.json, special_tokens_map.json, chat_template.jinja. A
  // GGUF's vocabulary is delivered as a tokenizer.json and tokenizer_config.json made from it.
  virtual const std::map<std::string, std::string>& assets() const = 0;
};

}  // namespace ingot::model
