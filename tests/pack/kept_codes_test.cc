// Sources in codes, packed without loss: the planes are the source's codes, the numbers its own.
#include "pack/kept_codes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "codecs/plane_codec.h"
#include "pack/plan.h"
#include "pack/tensor_rows.h"
#include "tests/pack/one_matrix.h"

namespace ingot::pack {
namespace {

const std::string kModel = INGOT_SOURCE_DIR "/tests/fixtures/model/coded_llama.gguf";

TEST(KeptCodes, EveryIntegerTypeOfGgufIsOnePlaneOfAboutItsSize) {
  const auto checkpoint = model::Checkpoint::Open(kModel);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  PlanOptions options;
  options.preset = CodecPreset(*ParseRecipe("lossless_v1"));
  const auto plan = MakePlan(**checkpoint, options);
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  int coded = 0;
  for (const PlannedTensor& tensor : plan->tensors) {
    if (tensor.source.shape.size() < 2) continue;
    ++coded;
    ASSERT_EQ(tensor.encoder->planes().size(), 1u);
    EXPECT_EQ(tensor.encoder->planes()[0].kind, "int") << tensor.source.name;
    // Scales of 16 bits cost what they do in the file. K types have 6 and 4 bits for them, which
    // become two float32 a group of 32, or one or two a group of 16.
    const double growth =
        static_cast<double>(tensor.bytes.exact + tensor.bytes.at_most) /
        static_cast<double>(tensor.source.stored_bytes);
    if (tensor.source.stored_type.ends_with("_K"))
      EXPECT_LE(growth, tensor.source.stored_type == "Q2_K" ? 2.3 : 1.5) << tensor.source.name;
    else
      EXPECT_EQ(growth, 1.0) << tensor.source.name;
  }
  EXPECT_EQ(coded, 9);
}

// A matrix of 2 x 64 that says it has 4-bit codes under one scale of 1.
class SaysCodes : public OneMatrix {
 public:
  explicit SaysCodes(float first) : OneMatrix(2, 64, DType::kF32), first_(first) {}
  std::optional<CodedForm> Coded(const model::TensorInfo&) const override {
    return CodedForm{4, 64, CodedForm::Origin::kMiddle, true};
  }
  Result<CodedRows> ReadCoded(const model::TensorInfo&, std::uint64_t begin,
                              std::uint64_t end) const override {
    return CodedRows{std::vector<std::uint8_t>((end - begin) * 64, 9),
                     std::vector<float>(end - begin, 1.0f),
                     {}};
  }
  // All of them 9 - 8, but one.
  Status ReadRows(const model::TensorInfo&, std::uint64_t begin, std::uint64_t end,
                  MutableByteSpan out) const override {
    std::vector<float> values((end - begin) * 64, 1.0f);
    if (begin <= 1 && end > 1) values[(1 - begin) * 64 + 5] = first_;
    std::memcpy(out.data(), values.data(), out.size());
    return OkStatus();
  }

 private:
  float first_;
};

Result<codecs::EncodedSlab> SecondRow(const SaysCodes& source) {
  const auto encoder = MakeKeptCodes(source, source.tensors()[0]);
  std::vector<std::uint8_t> row(64 * sizeof(float));
  EXPECT_TRUE(source.ReadRows(source.tensors()[0], 1, 2, row).ok());
  codecs::TensorGuide guide;
  TensorRows rows(source, Planned(source, false, 2));
  const auto prepared = encoder->Prepare(guide, rows);
  return encoder->EncodeGuided({DType::kF32, 1, 64, row}, 1, **prepared);
}

TEST(KeptCodes, ASlabThatItsCodesDoNotGiveIsRefused) {
  const auto good = SecondRow(SaysCodes(1.0f));
  ASSERT_TRUE(good.ok()) << good.status().message();
  EXPECT_EQ(good->squared_weight, 64.0);
  const auto bad = SecondRow(SaysCodes(1.5f));
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.status().code(), StatusCode::kCorruption);
  EXPECT_EQ(bad.status().message(), "row 1, column 5: the source's codes give 1, it reads 1.5");
}

TEST(KeptCodes, ASourceInNumbersHasNone) {
  const OneMatrix source(2, 64, DType::kF32);
  EXPECT_EQ(MakeKeptCodes(source, source.tensors()[0]), nullptr);
}

}  // namespace
}  // namespace ingot::pack
