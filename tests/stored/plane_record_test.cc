// Records of the container against the codecs' words, both ways.
#include "stored/plane_record.h"

#include <gtest/gtest.h>

#include "codecs/plane_codec.h"

namespace ingot::stored {
namespace {

artifact::TensorRecord Shaped(std::vector<std::uint64_t> shape) {
  artifact::TensorRecord record;
  record.shape = std::move(shape);
  return record;
}

TEST(PlaneRecordTest, AMatrixViewOfAnyShape) {
  const auto shape = [](std::vector<std::uint64_t> of) {
    const auto view = ShapeOf(Shaped(std::move(of)));
    return view.ok() ? std::pair(view->rows, view->cols)
                     : std::pair<std::uint64_t, std::uint64_t>();
  };
  EXPECT_EQ(shape({}), std::pair(std::uint64_t{1}, std::uint64_t{1}));
  EXPECT_EQ(shape({7}), std::pair(std::uint64_t{1}, std::uint64_t{7}));
  EXPECT_EQ(shape({3, 7}), std::pair(std::uint64_t{3}, std::uint64_t{7}));
  EXPECT_EQ(shape({3, 7, 2}), std::pair(std::uint64_t{3}, std::uint64_t{14}));
}

TEST(PlaneRecordTest, EmptyAndHugeShapesAreRefused) {
  const std::uint64_t big = std::uint64_t{1} << 33;
  for (const auto& shape : std::vector<std::vector<std::uint64_t>>{
           {0}, {0, 4}, {4, 0}, {big, big}, {1, big, big}, {2, std::uint64_t{1} << 62}}) {
    const auto view = ShapeOf(Shaped(shape));
    ASSERT_FALSE(view.ok());
    EXPECT_EQ(view.status().code(), StatusCode::kCorruption);
  }
}

// What AddPlane writes, SpecOf reads, for every kind there is.
TEST(PlaneRecordTest, ThereAndBackAgain) {
  const codecs::PlaneSpec specs[] = {
      {"int",
       {{"bits", std::int64_t{4}},
        {"group", std::int64_t{32}},
        {"levels", std::string("asymmetric")},
        {"scales", std::string("q8")}},
       0},
      {"raw", {{"dtype", std::string("bf16")}}, 3},
      {"sparse", {{"format", std::string("f16")}}, 1},
  };
  for (const codecs::PlaneSpec& spec : specs) {
    artifact::TensorPlan plan;
    ASSERT_TRUE(AddPlane(spec, 64, plan).ok());
    const artifact::PlaneRecord& record = plan.record.planes[0];
    const auto back = SpecOf(record);
    ASSERT_TRUE(back.ok()) << back.status().message();
    EXPECT_EQ(*back, spec);
    EXPECT_EQ(record.streams.size(), plan.hints[0].size());
    EXPECT_EQ(record.streams.size(),
              (*codecs::FindPlaneKind(spec.kind))->streams(spec, 64)->size());
  }
}

TEST(PlaneRecordTest, AttributesAreNumbersOrText) {
  artifact::PlaneRecord record;
  record.kind = "int";
  record.attributes = {{"least", std::numeric_limits<std::int64_t>::min()},
                       {"most", std::numeric_limits<std::int64_t>::max()},
                       {"real", 0.5},
                       {"text", "four"}};
  const auto spec = SpecOf(record);
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  EXPECT_EQ(std::get<std::int64_t>(spec->attributes.at("most")), INT64_MAX);
  EXPECT_EQ(std::get<double>(spec->attributes.at("real")), 0.5);
  record.attributes["most"] = std::uint64_t{INT64_MAX} + 1;
  EXPECT_EQ(SpecOf(record).status().message(), "attribute 'most' is above 2^63");
  for (const artifact::Json& bad : {artifact::Json(true), artifact::Json(nullptr),
                                    artifact::Json::array(), artifact::Json::object()}) {
    record.attributes["most"] = bad;
    EXPECT_EQ(SpecOf(record).status().message(), "attribute 'most' is neither a number nor text");
  }
  record.attributes = artifact::Json::array();
  EXPECT_EQ(SpecOf(record).status().message(), "attributes are not an object");
}

TEST(PlaneRecordTest, TransposedIsAMatrixThatSaysSo) {
  artifact::TensorRecord record = Shaped({2, 3});
  EXPECT_FALSE(IsTransposed(record));
  record.extra["transposed"] = "true";
  EXPECT_FALSE(IsTransposed(record));
  record.extra["transposed"] = true;
  EXPECT_TRUE(IsTransposed(record));
  record.shape = {6};
  EXPECT_FALSE(IsTransposed(record));
}

}  // namespace
}  // namespace ingot::stored
