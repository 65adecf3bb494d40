// The statistics file: what `ingot calibrate` writes and packing reads. A safetensors file, so that
// any tool can look into it. Keys, all F32; <w> is a stored weight matrix, <in> the first of the
// matrices that read the same activations (q, k and v share one input):
//   hessian/<in>    n x n   E[x xᵀ] over the calibration tokens
//   diagonal/<in>   n       E[x_j²] in an imported imatrix, which has no hessian/<in>
//   mean_abs/<in>   n       E|x_j|
//   tokens/<in>     1       how many tokens were seen (an expert sees some)
//   fisher/<w>      rows    E[(dL/dy_i)²], L = -log p of a token sampled from the model; over all
//                           backward tokens, of which an expert's rows have zeros where it slept
//   cosine/layers   layers  mean cosine of the hidden state that leaves a layer to the last one's
// Beside these, for people and for token classes, over the tokens that had gradients:
//   coverage/<w>    tokens that each expert saw, by the mixture's router <w>. One that saw too few
//                   has as <in> its router (gate, up) and "pooled/<down of expert 0>" (down)
//   importance/position/{attention,hidden_norm,gradient,cosine}   layers x 10, tenths of a window
//   importance/position/entropy                                   10
//   importance/token/{ids,counts,attention,hidden_norm,gradient,cosine,entropy}   by the 64 most
//                   frequent token ids; what is by layer is the mean over layers
//   held_out/ids   windows x context   tokens of text that is no part of what was measured
// Without LibTorch fisher/<w> is one number for all rows: what disturbing the matrix costs; metadata
// probe_tokens then says over how many tokens, and backward_tokens is 0.
// Metadata: format ("ingot-statistics-1"), model (fingerprint), inputs (JSON object <w> -> <in>),
// what was read: text, text_digest, seed, context, tokens, backward_tokens, tool; and notes (JSON
// list): matrices that were damped, experts that fell back.
//
// Thread rule: immutable once opened.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "codecs/rounding/guide.h"
#include "model/source/checkpoint.h"
#include "model/source/mapped_file.h"
#include "model/source/safetensors.h"

namespace ingot::calibration {

inline constexpr std::string_view kStatisticsFormat = "ingot-statistics-1";

// "blake3:..." over every tensor's name, dtype, shape and first and last 4096 bytes, in name order:
// tells checkpoints apart without reading them whole.
Result<std::string> ModelFingerprint(const model::Checkpoint& checkpoint);

class Statistics {
 public:
  // Maps the file. NotFound; Corruption where it is no statistics file, a tensor's shape does not
  // fit or values are not finite (named).
  static Result<std::shared_ptr<const Statistics>> Open(const std::string& path);

  // InvalidArgument where they were taken from another model; says both fingerprints.
  Status CheckModel(const model::Checkpoint& checkpoint) const;

  // What is known about a stored matrix of rows x cols (transposed ones as the product uses them).
  // Empty spans where nothing is: an embedding, an expert that saw no token. InvalidArgument where
  // the shape disagrees. The spans live as long as this object.
  Result<codecs::TensorGuide> Guide(std::string_view weight, std::uint64_t rows,
                                    std::uint64_t cols) const;
  // The name under which the matrix's inputs are stored; matrices that share it share a Hessian.
  std::string InputOf(std::string_view weight) const;
  // Tokens seen by the matrix's input; 0: none.
  std::uint64_t TokensOf(std::string_view weight) const;
  // "blake3:..." of the file's header, for provenance.
  const std::string& digest() const { return digest_; }
  const model::Json& metadata() const { return metadata_; }

 private:
  struct Entry {
    std::vector<std::uint64_t> shape;
    std::span<const float> values;  // in the mapped file
  };

  Statistics() = default;
  Status ReadMetadata();
  Status AddEntry(const model::SafetensorsEntry& entry);
  // Empty where there are none of that name.
  Result<std::span<const float>> Values(const std::string& name,
                                        const std::vector<std::uint64_t>& shape) const;

  model::MappedFile file_;
  model::Json metadata_;
  std::string digest_;
  std::map<std::string, std::string, std::less<>> inputs_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace ingot::calibration
