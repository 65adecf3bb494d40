#include "model/source/gguf/gguf.h"

#include <gtest/gtest.h>

#include "tests/model/source_builders.h"

namespace ingot::model {
namespace {

TEST(Gguf, ReadsEveryValueType) {
  GgufBuilder builder(2);
  builder.Text("text", "hello").Count("u32", 7).Number("f32", 1e-5f).Flag("flag", true);
  builder.Texts("texts", {"a", "", "c"}).Counts("counts", {1, 2, 3}).Numbers("numbers", {0.5f});
  builder.Raw("u8", 0, "\x05")
      .Raw("i8", 1, "\xff")
      .Raw("u16", 2, BytesOfValues<std::uint16_t>({9}));
  builder.Raw("i16", 3, BytesOfValues<std::int16_t>({-9}));
  builder.Raw("i32", 5, BytesOfValues<std::int32_t>({-1}));
  builder.Raw("u64", 10, BytesOfValues<std::uint64_t>({1ull << 40}));
  builder.Raw("i64", 11, BytesOfValues<std::int64_t>({-5}));
  builder.Raw("f64", 12, BytesOfValues<double>({0.1}));
  std::string nested;  // [[u8 1, u8 2]]
  AppendLe<std::uint32_t>(nested, 9);
  AppendLe<std::uint64_t>(nested, 1);
  AppendLe<std::uint32_t>(nested, 0);
  AppendLe<std::uint64_t>(nested, 2);
  nested += "\x01\x02";
  builder.Raw("nested", 9, nested);
  const std::string file = builder.Bytes();
  const auto gguf = ParseGguf(AsBytes(file));
  ASSERT_TRUE(gguf.ok()) << gguf.status().message();
  EXPECT_EQ(gguf->version, 2u);
  EXPECT_EQ(gguf->Find("text")->text, "hello");
  EXPECT_EQ(gguf->Find("u32")->Unsigned(), 7u);
  EXPECT_EQ(gguf->Find("f32")->Number(), 1e-5);  // not 9.999999747378752e-06
  EXPECT_EQ(gguf->Find("flag")->Unsigned(), 1u);
  EXPECT_EQ(gguf->Find("texts")->texts[2], "c");
  EXPECT_EQ(gguf->Find("counts")->Unsigned(2), 3u);
  EXPECT_EQ(gguf->Find("numbers")->Number(0), 0.5);
  EXPECT_EQ(gguf->Find("u8")->Unsigned(), 5u);
  EXPECT_EQ(gguf->Find("i8")->Unsigned(), std::nullopt);
  EXPECT_EQ(gguf->Find("i8")->Number(), -1);
  EXPECT_EQ(gguf->Find("u16")->Unsigned(), 9u);
  EXPECT_EQ(gguf->Find("i16")->Number(), -9);
  EXPECT_EQ(gguf->Find("i32")->Number(), -1);
  EXPECT_EQ(gguf->Find("u64")->Unsigned(), 1ull << 40);
  EXPECT_EQ(gguf->Find("i64")->Number(), -5);
  EXPECT_EQ(gguf->Find("f64")->Number(), 0.1);
  EXPECT_TRUE(gguf->Find("nested")->is_array());
  EXPECT_FALSE(gguf->Find("nested")->is_numeric());
  EXPECT_EQ(gguf->Find("absent"), nullptr);
}

GgufBuilder OneTensor() {
  GgufBuilder builder;
  builder.Text("general.architecture", "llama");
  builder.Tensor("w", {3, 32}, 8, std::string(3 * 34, 'w'));
  return builder;
}

TEST(Gguf, ReadsTensors) {
  GgufBuilder builder = OneTensor();
  builder.Tensor("v", {5}, 0, std::string(20, 'v'));
  const std::string file = builder.Bytes();
  const auto gguf = ParseGguf(AsBytes(file));
  ASSERT_TRUE(gguf.ok()) << gguf.status().message();
  ASSERT_EQ(gguf->tensors.size(), 2u);
  const GgufTensor& w = gguf->tensors[0];
  EXPECT_EQ(w.shape, (std::vector<std::uint64_t>{3, 32}));
  EXPECT_EQ(w.type->name, "Q8_0");
  EXPECT_EQ(w.bytes, 102u);
  EXPECT_EQ(w.offset % 32, 0u);
  EXPECT_EQ(file[w.offset], 'w');
  EXPECT_EQ(file[gguf->tensors[1].offset], 'v');
}

TEST(Gguf, EveryTruncationIsRefused) {
  const std::string file = OneTensor().Bytes();
  ASSERT_TRUE(ParseGguf(AsBytes(file)).ok());
  for (std::size_t n = 0; n < file.size(); ++n) {
    const auto gguf = ParseGguf(AsBytes(file.substr(0, n)));
    ASSERT_FALSE(gguf.ok()) << n;
    EXPECT_EQ(gguf.status().code(), StatusCode::kCorruption) << n;
  }
}

// Whatever a damaged header byte does, it ends in a value or an error.
TEST(Gguf, EveryFlippedHeaderByteIsSurvived) {
  const std::string file = OneTensor().Bytes();
  const std::size_t header = file.size() - 3 * 34;
  for (std::size_t i = 0; i < header; ++i)
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string damaged = file;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      const auto gguf = ParseGguf(AsBytes(damaged));
      EXPECT_TRUE(gguf.ok() || !gguf.status().message().empty()) << i;
    }
}

struct BadCase {
  const char* what;
  std::string file;
  StatusCode code;
  const char* message;
};

std::string NestedArrays(int depth) {
  std::string bytes;
  for (int i = 0; i < depth; ++i) {
    AppendLe<std::uint32_t>(bytes, 9);
    AppendLe<std::uint64_t>(bytes, 1);
  }
  AppendLe<std::uint32_t>(bytes, 0);
  AppendLe<std::uint64_t>(bytes, 0);
  return bytes;
}

TEST(Gguf, NamesWhatIsWrong) {
  std::string big_endian = "GGUF";
  big_endian += std::string("\0\0\0\x03", 4) + std::string(16, '\0');
  std::string long_string = GgufBuilder().ClaimKeys(1).Bytes();
  AppendLe<std::uint64_t>(long_string, ~std::uint64_t{0});
  long_string += std::string(8, 'x');
  std::string huge_array;
  AppendLe<std::uint32_t>(huge_array, 10);
  AppendLe<std::uint64_t>(huge_array, std::uint64_t{1} << 61);
  const BadCase cases[] = {
      {"magic", "GGML" + std::string(20, '\0'), StatusCode::kCorruption,
       "not a GGUF file: it does not start with 'GGUF'"},
      {"version 1", GgufBuilder(1).Bytes(), StatusCode::kUnsupported,
       "GGUF version 1 (known: 2, 3)"},
      {"big-endian", big_endian, StatusCode::kUnsupported, "big-endian GGUF"},
      {"claimed keys", GgufBuilder().ClaimKeys(1000000000).Bytes(), StatusCode::kCorruption,
       "1000000000 metadata keys claimed in 0 bytes"},
      {"claimed tensors", GgufBuilder().ClaimTensors(1000000000).Bytes(), StatusCode::kCorruption,
       "1000000000 tensors claimed in 0 bytes"},
      {"string length", long_string, StatusCode::kCorruption,
       "metadata key 0: 18446744073709551615 bytes wanted at offset 32, but 8 are left"},
      {"array length", GgufBuilder().Raw("a", 9, huge_array).Bytes(), StatusCode::kCorruption,
       "key 'a': array of 2305843009213693952 values at offset 49, but only 0 bytes are left"},
      {"value type", GgufBuilder().Raw("a", 13, "x").Bytes(), StatusCode::kCorruption,
       "metadata key 0: unknown value type 13 at offset 33"},
      {"nesting", GgufBuilder().Raw("a", 9, NestedArrays(5)).Bytes(), StatusCode::kCorruption,
       "key 'a': arrays nested deeper than 4"},
      {"duplicate key", GgufBuilder().Count("a", 1).Count("a", 2).Bytes(), StatusCode::kCorruption,
       "duplicate key 'a'"},
      {"duplicate tensor", OneTensor().Tensor("w", {32}, 0, std::string(128, 'x')).Bytes(),
       StatusCode::kCorruption, "duplicate tensor 'w'"},
      {"alignment", GgufBuilder().Count("general.alignment", 24).Bytes(), StatusCode::kCorruption,
       "general.alignment is not a power of two up to 2^20"},
      {"dimensions", GgufBuilder().TensorAt("w", {1, 1, 1, 1, 1}, 0, 0).Bytes(),
       StatusCode::kCorruption, "tensor 'w': 5 dimensions, 1 to 4 expected"},
      {"unknown type", GgufBuilder().TensorAt("w", {32}, 99, 0).Bytes(), StatusCode::kUnsupported,
       "tensor 'w': unknown tensor type 99"},
      {"known but unread type", GgufBuilder().TensorAt("w", {256}, 15, 0).Bytes(),
       StatusCode::kUnsupported,
       "tensor 'w': tensor type Q8_K is not supported (known: F32, F16, BF16, F64, I8 to I64, Q4_0 "
       "to Q8_0, Q2_K to Q6_K, IQ1 to IQ4, TQ1_0, TQ2_0, MXFP4, NVFP4)"},
      {"blocks", GgufBuilder().TensorAt("w", {2, 33}, 8, 0).Bytes(), StatusCode::kCorruption,
       "tensor 'w': rows of 33 weights do not fill blocks of 32 (Q8_0)"},
      {"product", GgufBuilder().TensorAt("w", {1ull << 40, 1ull << 40}, 0, 0).Bytes(),
       StatusCode::kCorruption,
       "tensor 'w': shape [1099511627776, 1099511627776] has too many weights"},
      {"range", OneTensor().TensorAt("v", {8}, 0, 96).Bytes(), StatusCode::kCorruption,
       "tensor 'v': 32 bytes at data offset 96, but the file has only 102: truncated?"},
      {"misaligned", OneTensor().TensorAt("v", {1}, 0, 4).Bytes(), StatusCode::kCorruption,
       "tensor 'v': offset 4 is not a multiple of 32"},
      {"overlap", OneTensor().TensorAt("v", {1}, 0, 64).Bytes(), StatusCode::kCorruption,
       "tensors 'w' and 'v' overlap"},
  };
  for (const BadCase& c : cases) {
    const auto gguf = ParseGguf(AsBytes(c.file));
    ASSERT_FALSE(gguf.ok()) << c.what;
    EXPECT_EQ(gguf.status().code(), c.code) << c.what;
    EXPECT_EQ(gguf.status().message(), c.message) << c.what;
  }
}

}  // namespace
}  // namespace ingot::model
