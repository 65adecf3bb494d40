// What a forward over text keeps of a stage: for each distinct input of its matrices the sum of
// outer products, of magnitudes, and the number of tokens.
//
// A sum is taken in blocks of fixed size, each by one thread, call by call: it depends neither on
// threads nor on memory.
//
// Thread rule: belongs to one thread; Add is parallel inside.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "loader/cpu/tensor_pool.h"
#include "model/architecture/architecture.h"

namespace ingot::calibration {

class InputSums {
 public:
  // `architecture` is the whole model's, `own` what runs: the stage's own description, whose
  // references Add gets (calibration/cpu/stage_model.h). Both must outlive this.
  InputSums(const model::Architecture& architecture, const model::Architecture& own,
            std::size_t stage);

  // Matrices that are about to be multiplied with x, one row a token. An input that an earlier
  // matrix of the stage was fed with is counted once.
  void Add(std::initializer_list<const model::LinearRef*> refs, const loader::Tensor& x);
  // Between forwards: tensors of the last one are gone.
  void NextWindow() { seen_.clear(); }

  // Means over tokens, experts' fallbacks, damping where a mean of outer products is not positive
  // definite; then writes the part. Appends what people should know to `notes`. InvalidArgument
  // names a matrix whose input is not finite.
  Status Finish(const std::string& part, std::vector<std::string>& notes);

  // E[x²] over all columns of a matrix's input so far.
  double MeanSquare(const std::string& weight) const;

 private:
  struct Input {
    std::size_t n = 0;
    AlignedBuffer<float> outer;     // n x n, the upper half in blocks of rows
    std::vector<double> magnitude;  // n
    std::uint64_t tokens = 0;
  };
  static void AddOuter(Input& input, const loader::Tensor& x);
  Status Means();
  void PoolExperts(std::vector<std::string>& notes);
  void DampAll(std::vector<std::string>& notes);

  const model::Architecture* architecture_;
  const model::Architecture* own_;
  std::size_t stage_;
  std::set<const model::LinearRef*> firsts_;  // matrices whose input no matrix before them has
  std::map<const float*, std::string> seen_;  // inputs of this window, by where they lie
  std::map<std::string, Input> inputs_;       // by key: the first matrix that reads it
  std::vector<std::string> order_;            // keys as they were first seen
  std::map<std::string, std::string> key_of_;  // matrix -> key
  std::map<std::string, std::vector<float>> coverage_;
};

}  // namespace ingot::calibration
