// Weights of a checkpoint as float64 matrices, by name.
//
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/float_formats.h"
#include "model/architecture/layer_parts.h"
#include "model/source/checkpoint.h"

namespace ingot {

struct Matrix {
  std::size_t rows = 0, cols = 0;
  std::vector<double> values;
  Matrix() = default;
  Matrix(std::size_t r, std::size_t c) : rows(r), cols(c), values(r * c) {}
  double* operator[](std::size_t r) { return values.data() + r * cols; }
  const double* operator[](std::size_t r) const { return values.data() + r * cols; }
};

class NaiveWeights {
 public:
  explicit NaiveWeights(const model::Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // A tensor's matrix view, a vector as 1 x n. Aborts where the checkpoint has none: tests check
  // that before.
  const Matrix& Of(const std::string& name) const {
    const auto known = matrices_.find(name);
    return known != matrices_.end() ? known->second
                                    : matrices_.emplace(name, Read(name)).first->second;
  }
  // All values of a small tensor.
  const double* Values(const std::string& name) const { return Of(name).values.data(); }

  // Row r of the matrix that a reference means.
  std::vector<double> Row(const model::LinearRef& ref, std::size_t r) const {
    const Matrix& stored = Of(ref.weight);
    std::vector<double> row;
    for (std::size_t c = ref.col_begin; c < ref.col_begin + ref.cols; ++c)
      row.push_back(ref.transposed ? stored[c][ref.row_begin + r] : stored[ref.row_begin + r][c]);
    return row;
  }

 private:
  Matrix Read(const std::string& name) const {
    const model::TensorInfo* info = checkpoint_.Find(name);
    INGOT_CHECK(info != nullptr);
    Matrix matrix(info->rows(), info->cols());
    const std::size_t width = DTypeBytes(info->dtype);
    std::vector<std::uint8_t> bytes(matrix.values.size() * width);
    INGOT_CHECK(checkpoint_.ReadRows(*info, 0, info->rows(), {bytes.data(), bytes.size()}).ok());
    for (std::size_t i = 0; i < matrix.values.size(); ++i)
      matrix.values[i] = Number(info->dtype, bytes.data() + i * width);
    return matrix;
  }

  static double Number(DType type, const std::uint8_t* at) {
    if (type == DType::kBf16) return FromBf16(LoadLe<std::uint16_t>(at));
    if (type == DType::kF16) return FromFp16(LoadLe<std::uint16_t>(at));
    INGOT_CHECK(type == DType::kF32);
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }

  const model::Checkpoint& checkpoint_;
  mutable std::map<std::string, Matrix> matrices_;
};

}  // namespace ingot
