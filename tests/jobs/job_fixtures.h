// What the tests of jobs share: a small model that has a tokenizer, and a monitor that writes down
// what it was told and can stop the job at any point.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "jobs/job.h"
#include "jobs/pack_job.h"
#include "tests/model/model_fixtures.h"
#include "tests/model/source_builders.h"

namespace ingot::jobs {

// Byte-level BPE over the printable bytes: 96 tokens, as many as the llama fixture knows.
inline std::string PrintableTokenizer() {
  nlohmann::json vocab = {{"\u0120", 94}, {"\u010a", 95}};  // space, newline
  for (int byte = 33; byte < 127; ++byte)
    vocab[std::string(1, static_cast<char>(byte))] = byte - 33;
  const nlohmann::json bytes = {{"type", "ByteLevel"},
                                {"add_prefix_space", false},
                                {"trim_offsets", true},
                                {"use_regex", true}};
  const nlohmann::json tokenizer = {
      {"version", "1.0"},
      {"added_tokens", nlohmann::json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", bytes},
      {"post_processor", nullptr},
      {"decoder", bytes},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}}};
  return tokenizer.dump();
}

class JobTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::copy(FixturePath("llama"), model_);
    work_.Write("model/tokenizer.json", PrintableTokenizer());
    std::string text;
    while (text.size() < 1700)
      text += "The quick brown fox jumps over the lazy dog, and then some. ";
    text_ = work_.Write("text.txt", text);
  }
  std::string Path(const std::string& name) const { return work_.path() + "/" + name; }
  // What a job that learns from a packed model is given: the model by `codec`, and little text.
  template <typename Options>
  void Pack(const std::string& codec, const std::string& output, Options& options) const {
    PackJobOptions pack;
    pack.model = model_;
    pack.output = Path("m.ingot");
    pack.recipe.codec = codec;
    ASSERT_TRUE(RunPackJob(pack, {}).ok());
    options.artifact = pack.output;
    options.output = Path(output);
    options.texts = {text_};
    options.tokens = 256;
    options.context = 32;
  }
  // Of everything beside the model and the text.
  std::vector<std::string> Leftovers() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(work_.path()))
      if (const std::string name = entry.path().filename(); name != "model" && name != "text.txt")
        names.push_back(name);
    return names;
  }

  model::TestDirectory work_;
  std::string model_ = work_.path() + "/model";
  std::string text_;
};

// Stops the job at the first progress that `stop` says yes to.
class Recorder {
 public:
  explicit Recorder(std::function<bool(const Progress&)> stop = {}) : stop_(std::move(stop)) {}
  Monitor monitor() {
    Monitor monitor;
    monitor.progress = [this](const Progress& now) {
      const std::unique_lock alone(mutex_, std::try_to_lock);
      EXPECT_TRUE(alone.owns_lock()) << "two calls at once";
      seen.push_back(now);
      phases.emplace_back(now.phase);
      if (stop_ && stop_(now)) token.Cancel();
    };
    monitor.note = [this](const std::string& text) { notes.push_back(text); };
    monitor.warning = [this](const std::string& text) { warnings.push_back(text); };
    monitor.cancel = &token;
    return monitor;
  }
  // Within a phase done never falls and ends at the total, which does not change.
  void ExpectMonotone() const {
    ASSERT_FALSE(seen.empty());
    for (std::size_t i = 0; i < seen.size(); ++i) {
      EXPECT_LE(seen[i].done, seen[i].total);
      EXPECT_LE(seen[i].resumed, seen[i].done);
      if (i == 0 || phases[i] != phases[i - 1]) continue;
      EXPECT_GE(seen[i].done, seen[i - 1].done) << phases[i];
      EXPECT_EQ(seen[i].total, seen[i - 1].total) << phases[i];
    }
  }

  CancelToken token;
  std::vector<Progress> seen;
  std::vector<std::string> phases;  // of each, kept
  std::vector<std::string> notes, warnings;

 private:
  std::function<bool(const Progress&)> stop_;
  std::mutex mutex_;
};

}  // namespace ingot::jobs
