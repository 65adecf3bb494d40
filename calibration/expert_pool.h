// Which experts of a mixture saw too few tokens for statistics of their own, and what they take in
// their place: the layer's MLP input, and the experts' down inputs pooled by tokens. And the notes
// that a stage's statistics carry. The sums themselves belong to whoever takes them.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/architecture/architecture.h"

namespace ingot::calibration {

struct ExpertPool {
  std::vector<float> coverage;    // tokens of each expert
  std::uint64_t tokens = 0;       // of all
  std::vector<std::size_t> poor;  // experts; none where no expert saw a token
  std::string down_key;           // of the pooled down input
};

// REQUIRES: mlp has experts. tokens_of: those that a matrix was fed.
ExpertPool FindPoorExperts(
    const model::MlpSpec& mlp,
    const std::function<std::uint64_t(const model::LinearRef&)>& tokens_of);

// Points the matrices of poor experts at the pooled inputs, and notes it of `stage`. Returns the
// keys whose own statistics are not read any more.
std::vector<std::string> TakePooledInputs(const ExpertPool& pool, const model::MlpSpec& mlp,
                                          const std::string& stage,
                                          std::map<std::string, std::string>& key_of,
                                          std::vector<std::string>& notes);

// What is said of E[xxᵀ] to whose diagonal a share of its mean was added; below 0: none was enough.
// REQUIRES: damping is not 0.
std::string DampingNote(const std::string& stage, const std::string& key, std::uint64_t tokens,
                        double damping);

}  // namespace ingot::calibration
