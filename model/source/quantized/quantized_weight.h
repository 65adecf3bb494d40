// A weight that a checkpoint stores as codes and scales, and its rows as floats.
//
// Arithmetic is float32, (code - zero) * scale with each operation rounded once: what each library
// computes when it is asked for float32. One that computes in half precision rounds that again.
//
// Thread rule: const methods may be called from several threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/coded_rows.h"
#include "base/status.h"
#include "model/source/quantized/code_matrix.h"

namespace ingot::model {

class RowDecoder {
 public:
  virtual ~RowDecoder() = default;
  // Rows [begin, end) of `cols` floats each. REQUIRES: begin <= end <= rows.
  virtual Status Read(std::uint64_t begin, std::uint64_t end, float* out) const = 0;

  // As Checkpoint::Coded and ReadCoded.
  virtual std::optional<CodedForm> Coded() const { return std::nullopt; }
  virtual Result<CodedRows> ReadCoded(std::uint64_t begin, std::uint64_t end) const;
};

struct QuantizedWeight {
  std::string name;                  // as a checkpoint that is not quantized has it: "X.weight"
  std::vector<std::uint64_t> shape;  // outermost first
  std::string stored_type;           // "GPTQ 4 bit", for people
  std::uint64_t stored_bytes = 0;    // codes, scales and zero points
  std::size_t shard = 0;             // of the codes
  std::unique_ptr<RowDecoder> rows;
};

// w[r][c] = (code[r][c] - zero[r / block_rows][g]) * scale[r / block_rows][g] * factor, where g is
// group_of_col[c] or else c / block_cols; with `zeros_are_weights` code * scale + zero instead.
struct GroupedWeight {
  CodeMatrix codes;
  CodeMatrix scales;
  std::optional<CodeMatrix> zeros;
  bool zeros_are_weights = false;
  std::uint64_t block_rows = 1;
  std::uint64_t block_cols = 1;
  std::vector<std::uint32_t> group_of_col;
  // Each scale is multiplied or divided by these first (NVFP4's global scale), and the product of
  // code and scale by `factor`; each is rounded on its own.
  float scale_factor = 1;
  float scale_divisor = 1;
  float factor = 1;

  // Corruption where the shapes do not fit each other.
  static Result<std::unique_ptr<RowDecoder>> Make(GroupedWeight weight);
};

// Scales over a rows x cols weight by their number and shape: one, one a row, or one a block.
// block_rows and block_cols are 0 where nothing says the size of a block: then rows have groups of
// equal length.
struct ScaleLayout {
  std::uint64_t scale_rows = 1, scale_cols = 1;
  std::uint64_t block_rows = 1, block_cols = 1;
};
Result<ScaleLayout> LayOutScales(const StoredPart& scales, std::uint64_t rows, std::uint64_t cols,
                                 std::uint64_t block_rows, std::uint64_t block_cols);

}  // namespace ingot::model
