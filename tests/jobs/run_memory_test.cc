#include "jobs/run_memory.h"

#include <gtest/gtest.h>

namespace ingot::jobs {
namespace {

inspect::Summary Llama() {
  inspect::Summary summary;
  summary.config = {{"architectures", {"LlamaForCausalLM"}},
                    {"model_type", "llama"},
                    {"hidden_size", 64},
                    {"intermediate_size", 160},
                    {"num_hidden_layers", 2},
                    {"num_attention_heads", 4},
                    {"num_key_value_heads", 2},
                    {"vocab_size", 256},
                    {"max_position_embeddings", 256},
                    {"rms_norm_eps", 1e-5},
                    {"hidden_act", "silu"},
                    {"tie_word_embeddings", true}};
  return summary;
}

inspect::TensorSummary Tensor(std::uint64_t stored, std::uint64_t resident) {
  inspect::TensorSummary tensor;
  tensor.size.stored_bytes = stored;
  tensor.size.resident_bytes = resident;
  return tensor;
}

TEST(RunMemory, KeysAndValuesGrowWithTheTokens) {
  const inspect::Summary summary = Llama();
  // Two layers of two heads of 16, a key and a value, two bytes each.
  EXPECT_EQ(RunMemoryOf(summary, 100).cache_bytes, 100u * 2 * 2 * 16 * 2 * 2);
  EXPECT_EQ(RunMemoryOf(summary, 0).cache_bytes, 0u);
}

TEST(RunMemory, WhatIsDecodedCountsTwiceWhatIsMappedOnce) {
  inspect::Summary summary = Llama();
  summary.tensors = {Tensor(1000, 1000), Tensor(400, 900)};
  summary.total.resident_bytes = 1900;
  const RunMemory memory = RunMemoryOf(summary, 1);
  EXPECT_EQ(memory.weight_bytes, 1900u);
  EXPECT_EQ(memory.file_bytes, 400u);
  EXPECT_EQ(memory.total(), 2300u + memory.cache_bytes + memory.other_bytes);
}

TEST(RunMemory, AConfigurationThatMakesNoModelHasNoCache) {
  EXPECT_EQ(RunMemoryOf({}, 100).cache_bytes, 0u);
}

}  // namespace
}  // namespace ingot::jobs
