#include "stored/transform_tables.h"

#include <gtest/gtest.h>

namespace ingot::stored {
namespace {

// Says that it needs memory, without taking it.
class Claims final : public codecs::InputTransform {
 public:
  explicit Claims(std::uint64_t bytes) : bytes_(bytes) {}
  std::uint64_t cols() const override { return 1; }
  std::uint64_t resident_bytes() const override { return bytes_; }
  void Apply(const float* x, float* out) const override { *out = *x; }
  void Restore(float*) const override {}
  void EncodeRow(float*) const override {}
  bool Same(const InputTransform& other) const override { return this == &other; }

 private:
  std::uint64_t bytes_;
};

TEST(TransformTablesTest, EachIsCountedOnceAndTheirSumIsBounded) {
  constexpr std::uint64_t kQuarter = std::uint64_t{32} << 20;
  TransformTables tables;
  const auto shared = std::make_shared<Claims>(kQuarter);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(tables.Add(shared).ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(tables.Add(std::make_shared<Claims>(kQuarter)).ok());
  const Status status = tables.Add(std::make_shared<Claims>(1));
  EXPECT_EQ(status.code(), StatusCode::kLimit);
  EXPECT_NE(status.message().find("at most 134217728"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace ingot::stored
