// Files of torch.save as checkpoints: every container, views, shards, and files that lie.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/float_formats.h"
#include "model/source/checkpoint.h"
#include "model/source/safetensors.h"
#include "model/source/torch/torch_file.h"
#include "model/source/torch/torch_zip.h"

namespace ingot::model {
namespace {

namespace fs = std::filesystem;
const std::string kFixtures = std::string(INGOT_SOURCE_DIR) + "/tests/fixtures/torch/";

std::string Read(const std::string& name) {
  auto text = ReadFileToString(kFixtures + name);
  EXPECT_TRUE(text.ok()) << name;
  return text.ok() ? *std::move(text) : std::string();
}

Status StatusOf(std::string_view file) { return ParseTorchFile(AsBytes(file)).status(); }

void ExpectFails(std::string_view file, StatusCode code, std::string_view part) {
  const Status status = StatusOf(file);
  EXPECT_EQ(status.code(), code) << status.message();
  EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
}

std::unique_ptr<Checkpoint> Open(const std::string& name) {
  auto opened = Checkpoint::Open(kFixtures + name);
  EXPECT_TRUE(opened.ok()) << opened.status().message();
  return opened.ok() ? *std::move(opened) : nullptr;
}

// A tensor's values, rows read one by one, so that every row's start is met.
std::vector<float> Values(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo* tensor = checkpoint.Find(name);
  if (tensor == nullptr) {
    ADD_FAILURE() << "no " << name;
    return {};
  }
  std::vector<float> values;
  std::vector<std::uint8_t> row(tensor->cols() * DTypeBytes(tensor->dtype));
  for (std::uint64_t r = 0; r < tensor->rows(); ++r) {
    EXPECT_TRUE(checkpoint.ReadRows(*tensor, r, r + 1, row).ok());
    for (std::uint64_t c = 0; c < tensor->cols(); ++c) {
      const std::uint8_t* p = row.data() + c * DTypeBytes(tensor->dtype);
      values.push_back(tensor->dtype == DType::kF32    ? LoadLe<float>(p)
                       : tensor->dtype == DType::kF16  ? FromFp16(LoadLe<std::uint16_t>(p))
                       : tensor->dtype == DType::kBf16 ? FromBf16(LoadLe<std::uint16_t>(p))
                       : tensor->dtype == DType::kI8   ? static_cast<float>(LoadLe<std::int8_t>(p))
                                                       : FromFp8E4m3(*p));
    }
  }
  return values;
}

// Element i of a tensor that starts at s, as tools/fixtures/make_torch_fixtures.py writes it.
float Value(int s, int i) { return static_cast<float>((s + i) % 97 - 48) / 2; }

std::vector<float> Sequence(int s, int n) {
  std::vector<float> values;
  for (int i = 0; i < n; ++i) values.push_back(Value(s, i));
  return values;
}

std::vector<float> Matrix(int rows, int cols, const std::function<float(int, int)>& f) {
  std::vector<float> values;
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < cols; ++c) values.push_back(f(r, c));
  return values;
}

class TorchContainers : public testing::TestWithParam<const char*> {};
TEST_P(TorchContainers, PlainStateDict) {
  const auto checkpoint = Open(GetParam());
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->format(), "pytorch");
  ASSERT_EQ(checkpoint->tensors().size(), 3u);
  EXPECT_EQ(checkpoint->Find("a.weight")->shape, (std::vector<std::uint64_t>{3, 5}));
  EXPECT_EQ(checkpoint->Find("a.weight")->stored_type, "F32");
  EXPECT_EQ(Values(*checkpoint, "a.weight"), Sequence(0, 15));
  EXPECT_EQ(Values(*checkpoint, "a.bias"), Sequence(7, 3));
  EXPECT_EQ(Values(*checkpoint, "scalar"), Sequence(3, 1));
  EXPECT_EQ(checkpoint->config()["model_type"], "none of them");
}
INSTANTIATE_TEST_SUITE_P(All, TorchContainers,
                         testing::Values("plain.pth", "protocol4.pth", "legacy.pth", "nested.pth"));

TEST(TorchCheckpoint, TypesAndParameters) {
  const auto types = Open("types.pth");
  ASSERT_NE(types, nullptr);
  EXPECT_EQ(Values(*types, "float32"), Sequence(0, 12));
  EXPECT_EQ(Values(*types, "float16"), Sequence(1, 12));
  EXPECT_EQ(Values(*types, "bfloat16"), Sequence(2, 12));
  EXPECT_EQ(types->Find("bfloat16")->dtype, DType::kBf16);
  EXPECT_EQ(types->Find("float8_e4m3fn")->stored_type, "F8_E4M3");
  std::vector<float> integers = Sequence(4, 12);
  for (float& v : integers) v *= 2;
  EXPECT_EQ(Values(*types, "int8"), integers);
  // FP8 keeps four bits: the nearest code of each value.
  std::vector<float> eight = Sequence(3, 12);
  for (float& v : eight) v = FromFp8E4m3(ToFp8E4m3(v));
  EXPECT_EQ(Values(*types, "float8_e4m3fn"), eight);
  EXPECT_EQ(types->Find("gone")->elements(), 0u);
  for (const char* name : {"parameters.pth", "module_state.pth"}) {
    const auto parameters = Open(name);
    ASSERT_NE(parameters, nullptr);
    EXPECT_EQ(Values(*parameters, "weight"), Sequence(0, 12));
    EXPECT_EQ(Values(*parameters, "bias"), Sequence(12, 3));
  }
}

class TorchViews : public testing::TestWithParam<const char*> {};
TEST_P(TorchViews, AreDeliveredAsContiguousRows) {
  const auto views = Open(GetParam());
  ASSERT_NE(views, nullptr);
  const auto base = [](int r, int c) { return Value(0, r * 8 + c); };
  EXPECT_EQ(Values(*views, "base"), Matrix(6, 8, base));
  EXPECT_EQ(Values(*views, "tied"), Matrix(6, 8, base));
  EXPECT_EQ(Values(*views, "transposed"), Matrix(8, 6, [&](int r, int c) { return base(c, r); }));
  EXPECT_EQ(Values(*views, "columns"), Matrix(6, 3, [&](int r, int c) { return base(r, c + 2); }));
  EXPECT_EQ(Values(*views, "rows"), Matrix(2, 8, [&](int r, int c) { return base(r + 2, c); }));
  EXPECT_EQ(Values(*views, "steps"),
            Matrix(3, 3, [&](int r, int c) { return base(2 * r, 1 + 3 * c); }));
  EXPECT_EQ(Values(*views, "cube"),
            Matrix(4, 6, [](int r, int c) { return Value(11, c / 3 * 12 + c % 3 * 4 + r); }));
  EXPECT_EQ(Values(*views, "half_t"),
            Matrix(4, 3, [](int r, int c) { return Value(5, c * 4 + r); }));
  EXPECT_TRUE(Values(*views, "gone").empty());
  EXPECT_TRUE(views->Mapped(*views->Find("transposed")).empty());
  const ByteSpan a = views->Mapped(*views->Find("base")), b = views->Mapped(*views->Find("tied"));
  EXPECT_EQ(a.data(), b.data());
  if (!a.empty()) {
    EXPECT_EQ(LoadLe<float>(a.data() + 4), Value(0, 1));
  }
}
INSTANTIATE_TEST_SUITE_P(All, TorchViews, testing::Values("views.pth", "legacy_views.pth"));

TEST(TorchCheckpoint, ShardsWithAnIndex) {
  const auto checkpoint = Open("sharded");
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->format(), "pytorch");
  EXPECT_EQ(Values(*checkpoint, "a.weight"), Sequence(0, 15));
  EXPECT_EQ(Values(*checkpoint, "b.weight"),
            Matrix(3, 5, [](int r, int c) { return Value(4, c * 3 + r); }));
  EXPECT_EQ(checkpoint->Find("b.weight")->file, "pytorch_model-00002-of-00002.bin");

  const fs::path copy = fs::path(testing::TempDir()) / "ingot_torch_missing_shard";
  fs::remove_all(copy);
  fs::copy(kFixtures + "sharded", copy);
  fs::remove(copy / "pytorch_model-00002-of-00002.bin");
  const auto opened = Checkpoint::Open(copy.string());
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::kNotFound);
  EXPECT_NE(opened.status().message().find("shard pytorch_model-00002-of-00002.bin is missing"),
            std::string::npos);
  fs::remove_all(copy);
}

TEST(TorchCheckpoint, OnlyTensorsAreReadAndNothingRuns) {
  for (const char* name : {"shell.pth", "shell4.pth", "legacy_shell.pth"})
    ExpectFails(Read(name), StatusCode::kUnsupported,
                "'posix.system'; only tensors are read, and nothing in the file was executed");
  EXPECT_FALSE(fs::exists("ingot-torch-fixture-was-executed"));
  ExpectFails(Read("number.pth"), StatusCode::kUnsupported, "'epoch' is a number");
  ExpectFails(Read("list.pth"), StatusCode::kUnsupported, "holds a list");
  ExpectFails(Read("expanded.pth"), StatusCode::kUnsupported, "expanded view");
}

TEST(TorchCheckpoint, OtherFormatsByName) {
  ExpectFails("fmggd\0\0\0", StatusCode::kUnsupported, "ggml");
  ExpectFails("GGUF....", StatusCode::kUnsupported, "GGUF");
  ExpectFails("", StatusCode::kCorruption, "not a checkpoint of PyTorch");
  ExpectFails("\x80\x02}.", StatusCode::kUnsupported, "torch.save did not write");
}

// Replaces the one occurrence of `what`, or the last where the archive has it in both headers.
std::string Replace(std::string file, std::string_view what, std::string_view by) {
  const std::size_t at = file.rfind(what);
  EXPECT_NE(at, std::string::npos);
  return at == std::string::npos ? file : file.replace(at, what.size(), by);
}

TEST(TorchZip, HeadersThatLie) {
  using enum StatusCode;
  const std::string good = Read("plain.pth");
  ASSERT_TRUE(StatusOf(good).ok());
  const std::size_t end = good.size() - 22, locator = end - 20, end64 = locator - 56;
  const std::size_t central = good.find("PK\x01\x02");
  const auto set = [&](std::size_t at, std::uint64_t value, std::size_t bytes) {
    std::string file = good;
    std::memcpy(file.data() + at, &value, bytes);
    return file;
  };
  const auto fails = [&](const std::string& file, StatusCode code, std::string_view part) {
    ExpectFails(file, code, part);
  };
  fails(set(central + 10, 8, 2), kUnsupported, "compressed (method 8)");
  fails(set(central + 8, 0x0801, 2), kUnsupported, "encrypted");
  fails(set(central + 34, 1, 2), kUnsupported, "another disk");
  fails(set(central + 24, 1, 4), kCorruption, "is stored, but takes");
  fails(set(central + 42, 1, 4), kCorruption, "no local header");
  fails(set(central + 42, 0xffffffff, 4), kCorruption, "zip64 field is missing");
  fails(set(central + 28, 0xffff, 2), kCorruption, "past its end");
  fails(set(end64 + 48, UINT64_MAX, 8), kCorruption, "central directory of");
  fails(set(end64 + 40, UINT64_MAX, 8), kCorruption, "central directory of");
  fails(set(end64 + 24, UINT64_MAX, 8), kUnsupported, "several disks");
  std::string many = set(end64 + 24, UINT64_MAX, 8);
  std::memset(many.data() + end64 + 32, 0xff, 8);
  fails(many, kCorruption, "do not fit");
  std::string fewer = set(end64 + 24, 1, 8);
  fewer[end64 + 32] = 1;
  fails(fewer, kCorruption, "after the last header");
  fails(set(locator + 8, UINT64_MAX, 8), kCorruption, "no zip64 end record");
  fails(set(locator + 16, 2, 4), kUnsupported, "several disks");
  const std::string record = "plain/version";
  for (const char* bad :
       {"../in/version", "/lain/version", "plain\\version", "plain//ersion", "./ain/version"})
    fails(Replace(good, record, bad), kCorruption, "leaves the archive");
  fails(Replace(good, record, "plain/versiom"), kCorruption, "local and central header differ");
  fails(Replace(good, "PK\x05\x06", "PK\x05\x07"), kCorruption, "end record");
  // The directory of data/1 points at data/0: two records over each other.
  const std::size_t second = good.rfind("plain/data/1"), first = good.rfind("plain/data/0");
  std::string twice = good;
  std::memcpy(twice.data() + second - 46, good.data() + first - 46, 46 + 12);
  fails(twice, kCorruption, "overlap");
}

TEST(TorchCheckpoint, RecordsThatLie) {
  using enum StatusCode;
  const std::string good = Read("plain.pth");
  std::string big = good;
  big.replace(good.find("little"), 6, "bigbig");
  ExpectFails(big, kUnsupported, "byte order 'bigbig'");
  std::string lie = good;  // BININT1 15, the elements of a.weight's storage
  lie[lie.find("K\x0ftq") + 1] = 16;
  ExpectFails(lie, kCorruption, "the pickle claims 16 elements of 4 bytes");
  std::string missing = good;
  missing[missing.find("X\x01\0\0\0"
                       "0q") +
          5] = '7';
  const Status status = StatusOf(missing);
  EXPECT_EQ(status.code(), kCorruption) << status.message();
  const std::string legacy = Read("legacy.pth");
  ExpectFails(legacy + "x", kCorruption, "belong to no storage");
}

TEST(TorchCheckpoint, TruncatedAtEveryLengthAndEveryByteFlipped) {
  for (const char* name : {"plain.pth", "legacy.pth", "views.pth", "legacy_views.pth"}) {
    const std::string good = Read(name);
    ASSERT_TRUE(StatusOf(good).ok()) << StatusOf(good).message();
    for (std::size_t n = 0; n < good.size(); ++n)
      EXPECT_FALSE(StatusOf(std::string(good, 0, n)).ok()) << name << " cut to " << n;
    for (std::size_t i = 0; i < good.size(); ++i) {
      std::string flipped = good;
      flipped[i] = static_cast<char>(flipped[i] ^ 0xff);
      const std::vector<std::uint8_t> exact(flipped.begin(), flipped.end());
      const auto entries = ParseTorchFile(exact);
      if (!entries.ok()) continue;
      for (const TorchEntry& entry : *entries) {  // whatever is accepted can be read
        std::vector<std::uint8_t> out(entry.bytes);
        if (!entry.strides.empty()) GatherStrided(exact, entry, 0, out);
        ASSERT_LE(entry.bytes, exact.size());
        ASSERT_LE(entry.offset, exact.size() - entry.bytes * entry.strides.empty());
      }
    }
  }
}

}  // namespace
}  // namespace ingot::model
