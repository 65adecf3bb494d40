// Multiple-choice questions answered by the likelihood of their options: how many are right, of an
// artifact or a model, and of the model that it was made from.
//
// Thread rule: a function without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"
#include "jobs/choice_items.h"
#include "jobs/job.h"

namespace ingot::jobs {

struct ChoicesJobOptions {
  std::string model;      // an artifact or a model
  std::string reference;  // empty: none
  std::string questions;  // choice_items.h
  std::size_t most = 0;   // questions, the file's first; 0: all
  int levels = -1;        // of an artifact, to use; -1: all
  std::uint64_t max_decoded_bytes = 0;
  const artifact::VerifyingKey* key = nullptr;
};

// Of each question the natural logarithm of each option's probability behind its context.
using ChoiceScores = std::vector<std::vector<double>>;

struct ChoiceAccuracy {
  double right = 0, right_stderr = 0;        // the likeliest option is the answer, a fraction
  double by_byte = 0, by_byte_stderr = 0;    // the likeliest by byte of its text
};

struct ChoicesResult {
  std::size_t questions = 0;
  ChoiceScores scores;
  ChoiceAccuracy accuracy;
  std::optional<ChoiceScores> reference_scores;
  ChoiceAccuracy reference_accuracy;
  // Of accuracies, question by question: the artifact's less the reference's.
  double difference = 0, difference_stderr = 0;
  double by_byte_difference = 0, by_byte_difference_stderr = 0;
  double agreement = 0, agreement_stderr = 0;  // the same likeliest option
};

// A question is tokenized with each option as one text, the context alone before it, as lm-eval
// does: what the option adds is scored. Of a question that is longer than the model's positions the
// beginning is left out (noted). InvalidArgument for an encoder, or where the two do not pair; those
// of opening and reading.
Result<ChoicesResult> RunChoicesJob(const ChoicesJobOptions& options, const Monitor& monitor);

// The option that `scores` of a question choose; by byte of its text (without the space in front).
std::size_t ChosenOf(const std::vector<double>& scores);
std::size_t ChosenByByte(const ChoiceItem& item, const std::vector<double>& scores);

}  // namespace ingot::jobs
