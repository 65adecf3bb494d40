// A checkpoint with the float64 op set over it.
//
// Thread rule: one thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "tests/model/naive_ops.h"

namespace ingot {

class NaiveModel {
 public:
  // Null, and a failed expectation, where it cannot be opened.
  static std::unique_ptr<NaiveModel> Open(const std::string& path) {
    auto checkpoint = model::Checkpoint::Open(path);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message();
    if (!checkpoint.ok()) return nullptr;
    std::unique_ptr<NaiveModel> naive(new NaiveModel(*std::move(checkpoint)));
    auto architecture = model::BuildArchitecture(
        naive->checkpoint_->config(),
        [&](std::string_view name) { return naive->checkpoint_->Find(name) != nullptr; });
    EXPECT_TRUE(architecture.ok()) << architecture.status().message();
    if (!architecture.ok()) return nullptr;
    naive->architecture_ = *std::move(architecture);
    return naive;
  }

  // Of every token: ids x vocabulary.
  std::vector<double> Logits(std::span<const std::int32_t> ids) {
    NaiveOps ops(architecture_, weights_);
    return Run(ops, ids);
  }
  template <class Ops>
  std::vector<double> Run(Ops& ops, std::span<const std::int32_t> ids) {
    const std::vector<model::Row> rows = model::WholeSequences(1, ids.size());
    return model::Forward(architecture_, ops, {ids, rows}, All(ids.size())).values;
  }

  // Where token t leaves after layer exits[t]: every layer above takes what it left with as its
  // input of that token, and what the layer makes of it is dropped. `zeros`: its keys and values
  // there are zero.
  std::vector<double> LogitsOfLeaving(std::span<const std::int32_t> ids,
                                      std::span<const std::size_t> exits, bool zeros = false) {
    NaiveOps ops(architecture_, weights_);
    if (zeros)
      ops.has_zeros = [exits](std::size_t layer, std::size_t t) { return exits[t] < layer; };
    const std::vector<model::Row> rows = model::WholeSequences(1, ids.size());
    const model::Batch batch{ids, rows};
    ops.Begin(batch);
    Matrix x = model::RunEmbedding(ops, architecture_, batch);
    for (std::size_t layer = 0; layer < architecture_.layers.size(); ++layer) {
      const Matrix y = model::RunLayer(ops, architecture_, layer, Matrix(x));
      for (std::size_t t = 0; t < x.rows; ++t)
        if (exits[t] >= layer) std::copy_n(y[t], x.cols, x[t]);
    }
    return model::RunHead(ops, architecture_, x, All(ids.size())).values;
  }

  // The same where all tokens run all layers in the end: of each what it left with.
  std::vector<double> LogitsOfWaiting(std::span<const std::int32_t> ids,
                                      std::span<const std::size_t> exits) {
    NaiveOps ops(architecture_, weights_);
    const std::vector<model::Row> rows = model::WholeSequences(1, ids.size());
    const model::Batch batch{ids, rows};
    ops.Begin(batch);
    Matrix x = model::RunEmbedding(ops, architecture_, batch);
    Matrix left = x;
    for (std::size_t layer = 0; layer < architecture_.layers.size(); ++layer) {
      x = model::RunLayer(ops, architecture_, layer, Matrix(x));
      for (std::size_t t = 0; t < x.rows; ++t)
        if (exits[t] >= layer) std::copy_n(x[t], x.cols, left[t]);
    }
    return model::RunHead(ops, architecture_, left, All(ids.size())).values;
  }

  const model::Checkpoint& checkpoint() const { return *checkpoint_; }
  const model::Architecture& architecture() const { return architecture_; }
  const NaiveWeights& weights() const { return weights_; }

 private:
  static std::vector<std::uint32_t> All(std::size_t count) {
    std::vector<std::uint32_t> rows(count);
    std::iota(rows.begin(), rows.end(), 0u);
    return rows;
  }

  explicit NaiveModel(std::unique_ptr<model::Checkpoint> checkpoint)
      : checkpoint_(std::move(checkpoint)), weights_(*checkpoint_) {}

  std::unique_ptr<model::Checkpoint> checkpoint_;
  model::Architecture architecture_;
  NaiveWeights weights_;
};

}  // namespace ingot
