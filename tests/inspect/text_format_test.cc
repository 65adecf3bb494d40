#include "inspect/text_format.h"

#include <gtest/gtest.h>

namespace ingot::inspect {
namespace {

TEST(TextFormat, BytesAndCounts) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(999), "999 B");
  EXPECT_EQ(HumanBytes(1000), "1.00 kB");
  EXPECT_EQ(HumanBytes(999'949), "999.9 kB");
  EXPECT_EQ(HumanBytes(999'950), "1.00 MB");
  EXPECT_EQ(HumanBytes(75'123'456), "75.1 MB");
  EXPECT_EQ(HumanBytes(2'200'000'000), "2.20 GB");
  EXPECT_EQ(HumanBytes(~std::uint64_t{0}), "18446744.1 TB");
  EXPECT_EQ(HumanCount(42), "42");
  EXPECT_EQ(HumanCount(134'515'008), "134.5 M");
}

TEST(TextFormat, TablesAlignTextLeftAndNumbersRight) {
  EXPECT_EQ(AlignTable({{"name", "bytes"}, {"a", "7"}, {"long name", "12345"}, {"é", "1"}}, " "),
            " name       bytes\n"
            " a              7\n"
            " long name  12345\n"
            " é              1\n");
  EXPECT_EQ(AlignTable({}, ""), "");
  EXPECT_EQ(AlignTable({{"only"}, {}}, ""), "only\n\n");
}

}  // namespace
}  // namespace ingot::inspect
