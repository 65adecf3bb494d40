// Statistics files: written, merged, read back, and refused where a value or a shape is wrong.
#include "calibration/statistics_writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "calibration/statistics.h"
#include "calibration/work_directory.h"
#include "model/source/safetensors.h"

namespace ingot::calibration {
namespace {

namespace fs = std::filesystem;

class StatisticsWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) /
                 (std::string("ingot_statistics_") +
                  testing::UnitTest::GetInstance()->current_test_info()->name() +
                  std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string Path(const std::string& name) const { return (directory_ / name).string(); }
  fs::path directory_;
};

const StatisticsMetadata kMetadata = {
    {"format", std::string(kStatisticsFormat)},
    {"inputs", "{\"k\":\"q\",\"q\":\"q\"}"},
};

TEST_F(StatisticsWriterTest, AGuideComesBackAsItWasWritten) {
  const std::vector<float> hessian = {1, 2, 2, 5}, mean = {0.5f, 0.25f}, tokens = {7},
                           fisher = {1, 2, 3};
  const StatisticsTensor tensors[] = {{"hessian/q", {2, 2}, hessian},
                                      {"mean_abs/q", {2}, mean},
                                      {"tokens/q", {1}, tokens},
                                      {"fisher/k", {3}, fisher}};
  ASSERT_TRUE(WriteStatistics(Path("s"), kMetadata, tensors).ok());
  const auto statistics = Statistics::Open(Path("s"));
  ASSERT_TRUE(statistics.ok()) << statistics.status().message();
  const auto guide = (*statistics)->Guide("k", 3, 2);
  ASSERT_TRUE(guide.ok()) << guide.status().message();
  EXPECT_TRUE(std::equal(hessian.begin(), hessian.end(), guide->hessian.begin()));
  EXPECT_TRUE(std::equal(mean.begin(), mean.end(), guide->mean_abs.begin()));
  EXPECT_TRUE(std::equal(fisher.begin(), fisher.end(), guide->row_fisher.begin()));
  EXPECT_TRUE(guide->diagonal.empty());
  EXPECT_EQ((*statistics)->TokensOf("k"), 7u);
  EXPECT_EQ((*statistics)->Guide("k", 3, 3).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(StatisticsWriterTest, ValuesThatAreNotFiniteNeverReachAFile) {
  for (const float bad : {NAN, HUGE_VALF, -HUGE_VALF}) {
    const std::vector<float> values = {1, bad};
    const StatisticsTensor tensors[] = {{"hessian/layer.3", {2}, values}};
    const Status status = WriteStatistics(Path("s"), kMetadata, tensors);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("hessian/layer.3"), std::string::npos);
    EXPECT_FALSE(fs::exists(Path("s")));
  }
  const std::vector<float> values = {1, 2, 3};
  const StatisticsTensor misfit[] = {{"hessian/q", {2, 2}, values}};
  EXPECT_EQ(WriteStatistics(Path("s"), kMetadata, misfit).code(), StatusCode::kInvalidArgument);
}

TEST_F(StatisticsWriterTest, MetadataOfTheWrongTypeIsRefused) {
  const std::string format = "{\"format\":\"" + std::string(kStatisticsFormat) + "\"";
  for (const std::string& metadata :
       {format + R"(,"model":1})", format + R"(,"inputs":null})", format + R"(,"notes":[]})",
        std::string(R"({"format":7})"), std::string("[]"), std::string("3")}) {
    std::string header = std::string(R"({"__metadata__":)") + metadata + "}";
    header.resize(AlignUp(header.size(), 8), ' ');
    std::string file(8, '\0');
    StoreLe<std::uint64_t>(reinterpret_cast<std::uint8_t*>(file.data()), header.size());
    std::ofstream(Path("wrong"), std::ios::binary) << file << header;
    EXPECT_EQ(Statistics::Open(Path("wrong")).status().code(), StatusCode::kCorruption) << metadata;
  }
}

TEST_F(StatisticsWriterTest, PartsMergeWithoutWhatIsNotKept) {
  const std::vector<float> a = {1, 2}, b = {3}, c = {4, 5, 6};
  ASSERT_TRUE(WriteStatistics(Path("1"), {{"notes", "x"}},
                              std::vector<StatisticsTensor>{{"z", {2}, a}, {"token/y", {1}, b}})
                  .ok());
  ASSERT_TRUE(WriteStatistics(Path("2"), {}, std::vector<StatisticsTensor>{{"b", {3}, c}}).ok());
  const std::vector<std::string> parts = {Path("1"), Path("2")};
  const auto keep = [](std::string_view name) { return !name.starts_with("token/"); };
  const StatisticsTensor more[] = {{"m", {1}, b}};
  ASSERT_TRUE(MergeStatistics(Path("all"), kMetadata, parts, keep, more).ok());
  EXPECT_EQ(*ReadPartTensor(Path("all"), "z"), a);
  EXPECT_EQ(*ReadPartTensor(Path("all"), "b"), c);
  EXPECT_EQ(*ReadPartTensor(Path("all"), "m"), b);
  EXPECT_EQ(ReadPartTensor(Path("all"), "token/y").status().code(), StatusCode::kNotFound);
  EXPECT_EQ((*ReadPartMetadata(Path("1")))["notes"], "x");
  const StatisticsTensor twice[] = {{"z", {1}, b}};
  EXPECT_EQ(MergeStatistics(Path("twice"), kMetadata, parts, keep, twice).code(),
            StatusCode::kCorruption);
  EXPECT_FALSE(fs::exists(Path("twice")));
}

TEST_F(StatisticsWriterTest, AnyByteThatChangedIsFound) {
  const std::vector<float> values(64, 1.5f);
  const StatisticsTensor tensor{"mean_abs/a", {64}, values};
  ASSERT_TRUE(WriteStatistics(Path("s"), kMetadata, {&tensor, 1}).ok());
  ASSERT_TRUE(Statistics::Open(Path("s")).ok());
  const std::uint64_t bytes = fs::file_size(Path("s"));
  const auto text = ReadFileToString(Path("s"));
  ASSERT_TRUE(text.ok());
  const std::size_t key = text->find("content_digest");
  for (std::uint64_t at = 8; at < bytes; at += 5) {
    if (at >= key && at < key + 14) continue;  // a file without the key is an older one
    std::fstream file(Path("s"), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char before = static_cast<char>(file.get());
    const auto put = [&](char value) {
      file.seekp(static_cast<std::streamoff>(at));
      file.put(value).flush();
    };
    put(static_cast<char>(before ^ 1));
    const auto opened = Statistics::Open(Path("s"));
    EXPECT_FALSE(opened.ok()) << at;
    EXPECT_NE(opened.status().message().find(Path("s")), std::string::npos);
    put(before);
  }
  EXPECT_TRUE(Statistics::Open(Path("s")).ok());
}

TEST_F(StatisticsWriterTest, AWorkDirectoryKeepsItsOwnAndNothingElse) {
  const std::string path = Path("out.work");
  {
    const auto work = WorkDirectory::Open(path, "key one");
    ASSERT_TRUE(work.ok()) << work.status().message();
    EXPECT_FALSE((*work)->resumed());
    ASSERT_TRUE(WriteStatistics((*work)->Part("forward-0000"), {}, {}).ok());
    auto file = (*work)->Activations("border-0001", 3, 4);
    ASSERT_TRUE(file.ok());
    const std::vector<float> values = {1, 2, 3, 4};
    ASSERT_TRUE(file->Write(2, values).ok());
    std::vector<float> read(4);
    ASSERT_TRUE(file->Read(2, read).ok());
    EXPECT_EQ(read, values);
  }
  {
    const auto again = WorkDirectory::Open(path, "key one");
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE((*again)->resumed());
    EXPECT_TRUE((*again)->HasPart("forward-0000"));
    EXPECT_FALSE((*again)->HasPart("forward-0001"));
  }
  const auto other = WorkDirectory::Open(path, "key two");
  ASSERT_TRUE(other.ok());
  EXPECT_FALSE((*other)->resumed());
  EXPECT_FALSE((*other)->HasPart("forward-0000"));
  std::ofstream(path + "/forward-0003.part.ingot-tmp.abcdef") << "left by a kill";
  EXPECT_TRUE((*other)->Remove().ok());
  EXPECT_FALSE(fs::exists(path));

  // What a kill left while it was removed is known by its key, which goes last.
  ASSERT_TRUE(WorkDirectory::Open(path, "key one").ok());
  std::ofstream(path + "/forward-0000.part") << "left";
  const auto left = WorkDirectory::Open(path, "key two");
  ASSERT_TRUE(left.ok()) << left.status().message();
  EXPECT_FALSE((*left)->HasPart("forward-0000"));
  EXPECT_TRUE((*left)->Remove().ok());

  fs::create_directories(path);
  fs::permissions(path, fs::perms(0777));
  EXPECT_EQ(WorkDirectory::Open(path, "key").status().code(), StatusCode::kInvalidArgument);
  fs::permissions(path, fs::perms(0700));
  std::ofstream(path + "/notes.txt") << "mine";
  EXPECT_EQ(WorkDirectory::Open(path, "key").status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(fs::exists(path + "/notes.txt"));
  // Files that are only named like a run's.
  fs::remove(path + "/notes.txt");
  for (const char* name : {"/key", "/mine.f32", "/spare.part"})
    std::ofstream(path + name) << "mine";
  EXPECT_EQ(WorkDirectory::Open(path, "key").status().code(), StatusCode::kInvalidArgument);
  fs::remove(path + "/key");
  EXPECT_EQ(WorkDirectory::Open(path, "key").status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(fs::exists(path + "/mine.f32") && fs::exists(path + "/spare.part"));
}

}  // namespace
}  // namespace ingot::calibration
