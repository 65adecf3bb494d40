// Models that open with their coarsest level: what steps meet before and after the others are in
// place, from files and from pipes that keep them waiting.
#include "loader/refinement.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "files/atomic_file.h"
#include "loader/session.h"
#include "tests/loader/packed_fixture.h"
#include "tests/model/model_fixtures.h"

namespace ingot::loader {
namespace {

const std::vector<model::TokenId> kIds = {1, 5, 9, 2};

std::vector<float> LogitsOf(const std::shared_ptr<const Model>& model) {
  Session session(model);
  const auto logits = session.Prefill(kIds);
  EXPECT_TRUE(logits.ok()) << logits.status().message();
  if (!logits.ok()) return {};
  return {logits->begin(), logits->end()};
}

// A pipe whose writer has the file's bytes up to `first` at once and the others when told.
class SlowPipe {
 public:
  SlowPipe(std::string bytes, std::size_t first) : bytes_(std::move(bytes)), first_(first) {
    EXPECT_EQ(::pipe(ends_), 0);
    writer_ = std::thread([this] { Write(0, first_); });
  }
  ~SlowPipe() {
    ::close(ends_[0]);
    if (writer_.joinable()) writer_.join();
    if (!ended_) ::close(ends_[1]);
  }
  int fd() const { return ends_[0]; }
  // The bytes up to `end`, and the pipe's end.
  void Finish(std::size_t end) {
    writer_.join();
    writer_ = std::thread([this, end] {
      Write(first_, end);
      ::close(ends_[1]);
    });
    ended_ = true;
  }
  void Finish() { Finish(bytes_.size()); }

 private:
  void Write(std::size_t at, std::size_t end) const {
    while (at < end) {
      const ssize_t n = ::write(ends_[1], bytes_.data() + at, end - at);
      if (n <= 0) return;
      at += static_cast<std::size_t>(n);
    }
  }
  std::string bytes_;
  std::size_t first_;
  int ends_[2] = {-1, -1};
  bool ended_ = false;
  std::thread writer_;
};

class RefinementTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = PackedFile(FixturePath("llama"), "nested_v1");
    ASSERT_FALSE(path_.empty());
    const auto reader = artifact::ArtifactReader::Open(path_, {});
    ASSERT_TRUE(reader.ok());
    ASSERT_EQ((*reader)->level_count(), 3);
    for (const artifact::TensorRecord& tensor : (*reader)->manifest().tensors)
      for (const artifact::PlaneRecord& plane : tensor.planes)
        for (const artifact::StreamRecord& stream : plane.streams) {
          if (stream.chunk_count == 0) continue;
          const artifact::ChunkEntry& last =
              (*reader)->chunks()[stream.first_chunk + stream.chunk_count - 1];
          std::size_t& end = ends_[plane.level];
          end = std::max<std::size_t>(end, last.offset + last.stored_bytes);
        }
    bytes_ = *ReadFileToString(path_);
    ASSERT_LT(ends_[0], ends_[1]);
    ASSERT_LT(ends_[1], ends_[2]);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  Result<std::shared_ptr<const Model>> Open(int levels, bool early) const {
    ModelOptions options;
    options.early = early;
    options.selection.levels = levels;
    return Model::Open(path_, options);
  }
  static Result<std::shared_ptr<const Model>> OpenPipe(int fd, int levels = -1) {
    ModelOptions options;
    options.early = true;
    options.allow_truncated = true;
    options.selection.levels = levels;
    return Model::OpenPipe(fd, options);
  }
  // Polls until reading has ended.
  static Result<bool> Wait(Refinement& refinement) {
    while (!refinement.done()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return refinement.Poll();
  }

  std::string path_, bytes_;
  std::size_t ends_[3] = {};  // of levels
};

TEST_F(RefinementTest, AFileIsCoarseThenWhole) {
  const auto model = Open(-1, true);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_TRUE((*model)->awaits_levels());
  const std::vector<float> coarse = LogitsOf(*Open(1, false));
  const std::vector<float> whole = LogitsOf(*Open(-1, false));
  ASSERT_NE(coarse, whole);
  EXPECT_EQ(LogitsOf(*model), coarse);
  ASSERT_TRUE((*model)->ReadRest().ok());
  EXPECT_EQ(LogitsOf(*model), coarse);  // nothing joins before it may
  EXPECT_TRUE((*model)->Refine());
  EXPECT_FALSE((*model)->awaits_levels());
  EXPECT_EQ(LogitsOf(*model), whole);
  EXPECT_FALSE((*model)->Refine());
}

TEST_F(RefinementTest, LevelsAreCountedAtTheEnd) {
  const auto model = Open(2, true);
  ASSERT_TRUE(model.ok());
  ASSERT_TRUE((*model)->ReadRest().ok());
  ASSERT_TRUE((*model)->Refine());
  EXPECT_EQ(LogitsOf(*model), LogitsOf(*Open(2, false)));
  EXPECT_FALSE((*Open(1, true))->awaits_levels());
}

TEST_F(RefinementTest, APipeAnswersBeforeItsEnd) {
  SlowPipe pipe(bytes_, ends_[0]);
  const auto model = OpenPipe(pipe.fd());
  ASSERT_TRUE(model.ok()) << model.status().message();
  Refinement refinement(*model);
  EXPECT_EQ(LogitsOf(*model), LogitsOf(*Open(1, false)));
  EXPECT_FALSE(refinement.done());
  const auto early = refinement.Poll();
  ASSERT_TRUE(early.ok());
  EXPECT_FALSE(*early);
  pipe.Finish();
  const auto refined = Wait(refinement);
  ASSERT_TRUE(refined.ok()) << refined.status().message();
  EXPECT_TRUE(*refined);
  EXPECT_EQ(LogitsOf(*model), LogitsOf(*Open(-1, false)));
  EXPECT_FALSE(*refinement.Poll());
}

// As where the same tokens met as many planes of the whole model.
TEST_F(RefinementTest, ASessionGoesOnOverItsCache) {
  const auto model = Open(-1, true);
  ASSERT_TRUE(model.ok());
  Refinement refinement(*model);
  while (!refinement.done()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  Session session(*model), other(*Open(-1, false));
  ASSERT_TRUE(session.Prefill(kIds).ok());
  other.SetPlanes(1);
  ASSERT_TRUE(other.Prefill(kIds).ok());
  ASSERT_TRUE(*refinement.Poll());
  other.SetPlanes(model::kAllPlanes);
  const auto got = session.Decode(7), want = other.Decode(7);
  ASSERT_TRUE(got.ok() && want.ok());
  EXPECT_EQ(std::vector<float>(got->begin(), got->end()),
            std::vector<float>(want->begin(), want->end()));
  EXPECT_NE(std::vector<float>(got->begin(), got->end()), [&] {
    Session whole(*Open(-1, false));
    EXPECT_TRUE(whole.Prefill(kIds).ok());
    const auto logits = whole.Decode(7);
    return std::vector<float>(logits->begin(), logits->end());
  }());
}

TEST_F(RefinementTest, WhoStopsWaitsForNoPipe) {
  SlowPipe pipe(bytes_, ends_[0]);
  const auto model = OpenPipe(pipe.fd());
  ASSERT_TRUE(model.ok());
  { const Refinement refinement(*model); }  // returns though the pipe stays open
  EXPECT_EQ((*model)->ReadRest().code(), StatusCode::kCancelled);
}

TEST_F(RefinementTest, DamageThatComesLaterIsAnError) {
  bytes_[ends_[2] - 1] ^= 1;
  SlowPipe pipe(bytes_, ends_[0]);
  const auto model = OpenPipe(pipe.fd());
  ASSERT_TRUE(model.ok()) << model.status().message();
  Refinement refinement(*model);
  pipe.Finish();
  const auto refined = Wait(refinement);
  EXPECT_EQ(refined.status().code(), StatusCode::kCorruption);
  EXPECT_NE(refined.status().message().find("contradict"), std::string::npos);
  EXPECT_TRUE((*model)->awaits_levels());

  // In a file it is met by who reads it.
  std::filesystem::remove(path_);
  ASSERT_TRUE(files::WriteFileAtomic(path_, AsBytes(bytes_)).ok());
  const auto file = Open(-1, true);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ((*file)->ReadRest().code(), StatusCode::kCorruption);
}

TEST_F(RefinementTest, ACutPipeGivesWhatItHas) {
  {
    SlowPipe pipe(bytes_, ends_[0]);
    const auto model = OpenPipe(pipe.fd());
    ASSERT_TRUE(model.ok());
    Refinement refinement(*model);
    pipe.Finish(ends_[1]);
    const auto refined = Wait(refinement);
    ASSERT_TRUE(refined.ok()) << refined.status().message();
    EXPECT_TRUE(*refined);
    EXPECT_EQ((*model)->artifact()->complete_level(), 1);
    EXPECT_EQ(LogitsOf(*model), LogitsOf(*Open(2, false)));
  }
  {
    SlowPipe pipe(bytes_, ends_[0]);
    const auto model = OpenPipe(pipe.fd());
    ASSERT_TRUE(model.ok());
    Refinement refinement(*model);
    pipe.Finish(ends_[0] + 1);
    const auto refined = Wait(refinement);
    ASSERT_TRUE(refined.ok()) << refined.status().message();
    EXPECT_FALSE(*refined);
  }
  {
    SlowPipe pipe(bytes_, ends_[0]);
    const auto model = OpenPipe(pipe.fd(), 3);  // asked for, and not there
    ASSERT_TRUE(model.ok());
    Refinement refinement(*model);
    pipe.Finish(ends_[1]);
    EXPECT_EQ(Wait(refinement).status().code(), StatusCode::kInvalidArgument);
  }
  SlowPipe pipe(bytes_, ends_[0] / 2);
  pipe.Finish(ends_[0] / 2);
  EXPECT_EQ(OpenPipe(pipe.fd()).status().code(), StatusCode::kCorruption);
}

TEST_F(RefinementTest, LazyVerificationExcludesIt) {
  ModelOptions options;
  options.early = true;
  options.verify = Verify::kLazy;
  EXPECT_EQ(Model::Open(path_, options).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot::loader
