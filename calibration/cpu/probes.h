// How much a model hears of each matrix, measured without gradients: what a matrix puts out is
// disturbed by noise of a tenth of its size, and what that does to the model's predictions, as KL
// divergence, is its Fisher information times the noise's power (the divergence is quadratic in a
// small error). One number a matrix, which stands for all of its rows; a mixture's experts are
// disturbed together. The head's rows come from its own probabilities: E[p (1 - p)].
//
// Windows of text go through the model one stage after another, the disturbed ones beside those
// that are not; what is kept between stages lies in files.
//
// Thread rule: belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "calibration/cpu/stage_model.h"
#include "calibration/text_source.h"
#include "calibration/work_directory.h"
#include "model/architecture/architecture.h"

namespace ingot::calibration {

struct ProbeSize {
  std::size_t groups = 0;    // matrices that are disturbed, a mixture's experts as one
  std::size_t windows = 0;   // that are not
  std::size_t context = 0;   // tokens of a window
  double multiply_adds = 0;  // of all of it
};
// Over a text of `windows` windows of `context` tokens; `tokens`: of a window, at most.
ProbeSize SizeOfProbes(const model::Architecture& architecture, std::size_t windows,
                       std::size_t context, std::size_t tokens);

class Probes {
 public:
  Probes(const model::Architecture& architecture, const TokenWindows& text,
         const WorkDirectory& work, std::size_t tokens, std::uint64_t seed);

  static std::string Part(std::size_t stage);
  // Runs a stage. Parts: of a layer which groups it has and how strong the noise was; the head's
  // has fisher/<matrix> of the whole model. REQUIRES: the stages before it were run.
  Status RunStage(const StageModel& model, std::size_t stage,
                  const std::function<Status(std::size_t done, std::size_t total)>& progress);
  // Of activations at a stage's border.
  void RemoveBorder(std::size_t stage);

 private:
  struct Group {
    std::size_t stage = 0;
    double variance = 0;  // of the noise, a row
    struct Matrix {
      std::string weight;
      std::size_t row_begin = 0, rows = 0;
      double share = 1;  // of the noise's sources
    };
    std::vector<Matrix> matrices;
  };
  Result<std::vector<Group>> GroupsBefore(std::size_t stage) const;
  Result<ActivationFile> Activations(std::size_t stage) const;
  std::vector<model::TokenId> Window(std::size_t slot) const;
  Status RunLayer(const StageModel& model, std::size_t stage,
                  const std::function<Status(std::size_t, std::size_t)>& progress);
  Status RunHead(const StageModel& model, std::size_t stage,
                 const std::function<Status(std::size_t, std::size_t)>& progress);

  const model::Architecture* architecture_;
  const TokenWindows* text_;
  const WorkDirectory* work_;
  ProbeSize size_;
  std::uint64_t seed_;
};

}  // namespace ingot::calibration
