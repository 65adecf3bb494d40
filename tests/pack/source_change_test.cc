// A source that changes under a pack, and what a pack leaves that cannot end well.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "pack/pipeline.h"
#include "pack/recipe_rules.h"

namespace ingot::pack {
namespace {

namespace fs = std::filesystem;

std::string Content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class SourceChange : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "ingot_source_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    ::setenv("XDG_STATE_HOME", (dir_ / "state").c_str(), 1);
    fs::copy(INGOT_SOURCE_DIR "/tests/fixtures/models/gpt-neox", dir_ / "model");
    Open();
  }
  void TearDown() override { fs::remove_all(dir_); }

  void Open() {
    auto opened = model::Checkpoint::Open((dir_ / "model").string());
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    checkpoint_ = *std::move(opened);
    PlanOptions options;
    options.preset = CodecPreset(codecs::RecipeOptions{});
    options.require_tokenizer = false;
    auto plan = MakePlan(*checkpoint_, options);
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    plan_ = *std::move(plan);
  }

  // Flips a bit of a tensor; size and time stay.
  void Flip(const std::string& tensor) const {
    const fs::path path = dir_ / "model/model.safetensors";
    const auto time = fs::last_write_time(path);
    const std::uint8_t* first = nullptr;
    for (const model::TensorInfo& info : checkpoint_->tensors()) {
      const std::uint8_t* at = checkpoint_->Mapped(info).data();
      if (first == nullptr || at < first) first = at;
    }
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    std::uint64_t header = 0;
    file.read(reinterpret_cast<char*>(&header), sizeof header);
    const auto at = static_cast<std::streamoff>(8 + header) +
                    (checkpoint_->Mapped(*checkpoint_->Find(tensor)).data() - first);
    file.seekg(at);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(at);
    file.put(byte);
    file.close();
    fs::last_write_time(path, time);
  }

  Result<PackReport> PackTo(const std::string& name, PackOptions options = {}) const {
    options.target = (dir_ / name).string();
    options.tool = "ingot test";
    return Pack(*checkpoint_, plan_, options);
  }

  bool Exists(const std::string& name) const { return fs::exists(dir_ / name); }

  fs::path dir_;
  std::unique_ptr<model::Checkpoint> checkpoint_;
  PackPlan plan_;
};

TEST_F(SourceChange, WhileItIsPackedIsAnErrorAndLeavesNothing) {
  PackOptions options;
  bool flipped = false;
  options.progress = [&](const PackProgress& progress) {
    if (!flipped) Flip(progress.tensor);
    flipped = true;
    return OkStatus();
  };
  const auto report = PackTo("m.ingot", options);
  ASSERT_TRUE(flipped);
  EXPECT_EQ(report.status().code(), StatusCode::kCorruption);
  EXPECT_NE(report.status().message().find("changed while it was packed"), std::string::npos);
  EXPECT_FALSE(Exists("m.ingot"));
  EXPECT_FALSE(Exists("m.ingot.spool"));
  EXPECT_FALSE(Exists("m.ingot.spool.journal"));
}

// The first pack runs as on a disk that fills up.
TEST_F(SourceChange, BetweenKillAndResumeIsPackedAgain) {
  std::vector<std::string> finished;
  PackOptions options;
  options.progress = [&](const PackProgress& progress) {
    finished.push_back(progress.tensor);
    return OkStatus();
  };
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{12'000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto full = PackTo("m.ingot", options);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_EQ(full.status().code(), StatusCode::kIo) << full.status().message();
  ASSERT_FALSE(finished.empty());
  ASSERT_TRUE(Exists("m.ingot.spool"));

  Flip(finished[0]);
  Open();
  const auto resumed = PackTo("m.ingot");
  ASSERT_TRUE(resumed.ok()) << resumed.status().message();
  EXPECT_EQ(resumed->resumed_bytes > 0, finished.size() > 1);
  const auto fresh = PackTo("fresh.ingot");
  ASSERT_TRUE(fresh.ok());
  EXPECT_EQ(resumed->source_digest, fresh->source_digest);
  EXPECT_EQ(Content(dir_ / "m.ingot"), Content(dir_ / "fresh.ingot"));
}

TEST_F(SourceChange, APackThatCanNeverSucceedRemovesItsSpool) {
  for (const Status& refusal : {Corruption("no"), Unsupported("no"), InvalidArgument("no")}) {
    PackOptions options;
    options.measure = [&](const std::string&) -> Result<Json> { return refusal; };
    EXPECT_EQ(PackTo("m.ingot", options).status().code(), refusal.code());
    EXPECT_FALSE(Exists("m.ingot.spool"));
  }
  PackOptions options;
  options.measure = [&](const std::string&) -> Result<Json> { return IoError("not now"); };
  EXPECT_EQ(PackTo("m.ingot", options).status().code(), StatusCode::kIo);
  EXPECT_TRUE(Exists("m.ingot.spool"));
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_), fs::directory_iterator()), 4);
}

TEST_F(SourceChange, TheSourceIsNeverTheTarget) {
  const std::string whole = Content(dir_ / "model/model.safetensors");
  fs::create_hard_link(dir_ / "model/model.safetensors", dir_ / "other.name");
  PackOptions options;
  options.force = true;
  for (const char* name : {"model/model.safetensors", "model/config.json", "other.name"})
    EXPECT_EQ(PackTo(name, options).status().code(), StatusCode::kInvalidArgument) << name;
  EXPECT_EQ(Content(dir_ / "model/model.safetensors"), whole);
  EXPECT_FALSE(Exists("other.name.spool"));
  // A spool by the name of the source.
  fs::rename(dir_ / "model/model.safetensors", dir_ / "model/x.spool");
  fs::create_symlink("x.spool", dir_ / "model/model.safetensors");
  Open();
  EXPECT_EQ(PackTo("model/x", options).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Content(dir_ / "model/x.spool"), whole);
}

}  // namespace
}  // namespace ingot::pack
