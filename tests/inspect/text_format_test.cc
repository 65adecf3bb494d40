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

TEST(TextFormat, TablesBreakTheirWidestTextsToFit) {
  EXPECT_EQ(AlignTable({{"where", "planes", "bytes"}, {"layer 0", "int4 g128 + int2 g16", "12"}},
                       "  ", 31),
            "  where    planes         bytes\n"
            "  layer 0  int4 g128 +       12\n"
            "           int2 g16\n");
  // The first column last, and headings before numbers.
  EXPECT_EQ(
      AlignTable({{"name", "what it is", "how many"}, {"a.long.name", "some words of it", "1"}}, "",
                 35),
      "name         what it is        how\n"
      "                               many\n"
      "a.long.name  some words of it     1\n");
  EXPECT_EQ(AlignTable({{"name"}, {"model.layers.0.mlp.up_proj"}}, "", 16),
            "name\nmodel.layers.0.\nmlp.up_proj\n");
  // Numbers stay whole, whatever is left for them.
  EXPECT_EQ(AlignTable({{"a", "b"}, {"x", "1234567890123"}}, "", 10), "a  b\nx  1234567890123\n");
  EXPECT_EQ(BreakText("ééééé", 2), (std::vector<std::string>{"éé", "éé", "é"}));
  EXPECT_EQ(BreakText("層層層a", 4), (std::vector<std::string>{"層層", "層a"}));
  EXPECT_EQ(BreakText("層", 1), (std::vector<std::string>{"層"}));
  EXPECT_EQ(FirstColumns("a層b", 2), "a");
  EXPECT_EQ(FirstColumns("a層b", 3), "a層");
}

TEST(TextFormat, TablesPartNumbersFromTheirErrorsLast) {
  const std::vector<std::vector<std::string>> rows = {{"name", "KL"}, {"int8", "0.0319 ± 0.0035"}};
  EXPECT_EQ(AlignTable(rows, "", 21), "name  KL\nint8  0.0319 ± 0.0035\n");
  EXPECT_EQ(AlignTable(rows, "", 20), "name  KL\nint8        0.0319 ±\n              0.0035\n");
}

TEST(TextFormat, PagesGoOnBelowTheirText) {
  EXPECT_EQ(FitLines("short\n  also\n", 10), "short\n  also\n");
  EXPECT_EQ(FitLines("  load      3 MB: warm 2 ms, cold 5 ms", 30),
            "  load      3 MB: warm 2 ms,\n            cold 5 ms");
  EXPECT_EQ(FitLines("m.ingot: ok, every byte verifies\n\n", 20),
            "m.ingot: ok, every\n  byte verifies\n\n");
  // A word that is longer stays whole, nearer to the margin.
  EXPECT_EQ(FitLines("  root      blake3:0123456789abcdef", 28),
            "  root\n    blake3:0123456789abcdef");
  EXPECT_EQ(FitLines("0123456789", 4), "0123456789");
}

TEST(TextFormat, FactsGoOnBelowTheirText) {
  EXPECT_EQ(FactLine("file", "67.7 MB", 40), "  file      67.7 MB\n");
  EXPECT_EQ(FactLine("stored", "4.135 bpw over linear weights, 4.3 bpw over all", 40),
            "  stored    4.135 bpw over linear\n"
            "            weights, 4.3 bpw over all\n");
  const std::string digest(60, 'f');
  EXPECT_EQ(FactLine("root", digest + "; not signed", 70),
            "  root\n    " + digest + ";\n            not signed\n");
  EXPECT_EQ(FactLine("file", "a b", 0), "  file      a b\n");
}

}  // namespace
}  // namespace ingot::inspect
