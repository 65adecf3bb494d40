// Rope tables against transformers (tests/fixtures/model/rope_cases.json, by
// tools/fixtures/make_fixtures.py).
#include "model/architecture/rope_config.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/model/source_builders.h"

namespace ingot::model {
namespace {

bool Everything(std::string_view) { return true; }

// Both sides round to float32 after each step; at most the last bit differs.
void ExpectClose(const std::vector<double>& ours, const std::vector<double>& theirs,
                 const std::string& what) {
  ASSERT_EQ(ours.size(), theirs.size()) << what;
  for (std::size_t i = 0; i < ours.size(); ++i)
    EXPECT_LE(std::abs(ours[i] - theirs[i]), 1.2e-7 * std::abs(theirs[i])) << what << " " << i;
}

TEST(RopeConfig, EqualsTransformers) {
  const Json cases = Json::parse(ReadAll(INGOT_SOURCE_DIR "/tests/fixtures/model/rope_cases.json"));
  ASSERT_GE(cases.size(), 20u);
  for (const Json& c : cases) {
    const std::string name = c["name"];
    const auto architecture = BuildArchitecture(c["config"], Everything);
    ASSERT_TRUE(architecture.ok()) << name << ": " << architecture.status().message();
    ASSERT_EQ(architecture->ropes.size(), c["ropes"].size()) << name;
    for (std::size_t i = 0; i < architecture->ropes.size(); ++i) {
      const RopeSpec& ours = architecture->ropes[i];
      const Json& theirs = c["ropes"][i];
      ExpectClose(ours.inv_freq, theirs["inv_freq"], name);
      EXPECT_EQ(ours.dims, 2 * theirs["inv_freq"].size()) << name;
      EXPECT_NEAR(ours.attention_factor, theirs["attention_factor"].get<double>(), 1e-12) << name;
      ASSERT_EQ(theirs.contains("long_inv_freq"), !ours.long_inv_freq.empty()) << name;
      if (!ours.long_inv_freq.empty()) {
        ExpectClose(ours.long_inv_freq, theirs["long_inv_freq"], name + " long");
        EXPECT_EQ(ours.switch_length, 1024u) << name;
      }
    }
  }
}

// Gemma 3's rope_scaling amends an object that has a rope_type: the older 'type' says nothing
// there.
TEST(RopeConfig, AnOlderTypeIsNotHeardBesideANewOne) {
  const RopeRequest request = {
      .head_dim = 64, .max_positions = 4096, .layer_type = "full_attention"};
  const auto first = [&](const char* text) {
    const Json json = Json::parse(text);
    ConfigReader config(json);
    const RopeSpec rope = ReadRope(config, request);
    EXPECT_TRUE(config.status().ok()) << config.status().message();
    return rope.inv_freq.empty() ? 0 : rope.inv_freq[0];
  };
  EXPECT_EQ(first("{}"), 1);
  EXPECT_EQ(first(R"({"rope_scaling":{"type":"linear","factor":8.0}})"), 1);
  EXPECT_EQ(first(R"({"rope_scaling":{"rope_type":"linear","factor":8.0}})"), 0.125);
}

TEST(RopeConfig, DynamicNtkKeepsItsFactor) {
  const Json json = {{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}};
  ConfigReader config(json);
  const RopeSpec rope = ReadRope(config, {.head_dim = 64, .max_positions = 4096});
  ASSERT_TRUE(config.status().ok());
  EXPECT_EQ(rope.dynamic_factor, 2);
  EXPECT_EQ(rope.switch_length, 4096u);
  EXPECT_FLOAT_EQ(static_cast<float>(rope.inv_freq[1]),
                  static_cast<float>(std::pow(10000.0, -2.0 / 64)));
}

struct BadCase {
  const char* config;
  StatusCode code;
  const char* message;
};

TEST(RopeConfig, NamesWhatIsWrong) {
  const BadCase cases[] = {
      {R"({"rope_scaling":{"type":"spiral"}})", StatusCode::kUnsupported,
       "config.json: rope_scaling: rope type 'spiral' (known: default, linear, dynamic, llama3, "
       "yarn, longrope)"},
      {R"({"rope_scaling":{"type":"linear"}})", StatusCode::kInvalidArgument,
       "config.json: rope_scaling: 'factor' is missing"},
      {R"({"rope_scaling":{"type":"linear","factor":0}})", StatusCode::kInvalidArgument,
       "config.json: rope_scaling: 'factor' is 0, a number above 0 was expected"},
      {R"({"rope_theta":-1})", StatusCode::kInvalidArgument,
       "config.json: 'rope_theta' is -1, a number above 0 was expected"},
      {R"({"rope_theta":"x"})", StatusCode::kInvalidArgument,
       "config.json: 'rope_theta' is \"x\", a number was expected"},
      {R"({"rope_parameters":{"rope_theta":0.5}})", StatusCode::kInvalidArgument,
       "config.json: 'rope_theta' is 0.5, more than 1 was expected"},
      {R"({"partial_rotary_factor":1.5})", StatusCode::kInvalidArgument,
       "config.json: 'partial_rotary_factor' is 1.5, above 1"},
      {R"({"partial_rotary_factor":0.05})", StatusCode::kInvalidArgument,
       "config.json: rotary embedding over 3 of a head's 64 dimensions: an even number was "
       "expected"},
      {R"({"rope_scaling":{"type":"longrope","short_factor":[1],"long_factor":[1]}})",
       StatusCode::kInvalidArgument,
       "config.json: rope_scaling: 'short_factor' has 1 entries, 32 were expected"},
      {R"({"rope_scaling":{"type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4}})",
       StatusCode::kInvalidArgument,
       "config.json: rope_scaling: 'high_freq_factor' 4 is not above 'low_freq_factor' 4"},
  };
  for (const BadCase& c : cases) {
    const Json json = Json::parse(c.config);
    ConfigReader config(json);
    ReadRope(config, {.head_dim = 64, .max_positions = 4096, .partial = true});
    EXPECT_EQ(config.status().code(), c.code) << c.config;
    EXPECT_EQ(config.status().message(), c.message) << c.config;
  }
}

}  // namespace
}  // namespace ingot::model
