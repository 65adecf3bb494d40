// Verification and export without a command line.
#include "jobs/verify_job.h"

#include <fstream>

#include "jobs/export_job.h"
#include "jobs/pack_job.h"
#include "model/source/checkpoint.h"
#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

class ArtifactJob : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    PackJobOptions options;
    options.model = model_;
    options.output = artifact_;
    options.recipe.codec = "lossless_v1";
    ASSERT_TRUE(RunPackJob(options, {}).ok());
  }
  const std::string artifact_ = Path("m.ingot");
};

TEST_F(ArtifactJob, VerifyTellsEveryByteAndNamesDamage) {
  Recorder recorder;
  const auto intact = RunVerifyJob({artifact_}, recorder.monitor());
  ASSERT_TRUE(intact.ok()) << intact.status().message();
  EXPECT_TRUE(intact->damage.empty());
  recorder.ExpectMonotone();
  EXPECT_EQ(recorder.seen.back().total, std::filesystem::file_size(artifact_));

  std::fstream file(artifact_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1, std::ios::end);
  const char last = static_cast<char>(file.peek());
  file.put(static_cast<char>(last ^ 1));
  file.close();
  const auto damaged = RunVerifyJob({artifact_}, {});
  ASSERT_TRUE(damaged.ok());
  EXPECT_EQ(damaged->damage.size(), 1u);
}

TEST_F(ArtifactJob, AnOpenArtifactIsVerifiedAsFarAsItIsThere) {
  const std::uint64_t size = std::filesystem::file_size(artifact_);
  std::filesystem::resize_file(artifact_, size - 1);
  EXPECT_FALSE(RunVerifyJob({artifact_}, {}).ok());
  artifact::OpenOptions open;
  open.allow_truncated = true;
  const auto reader = artifact::ArtifactReader::Open(artifact_, open);
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  Recorder recorder;
  const auto damage = RunVerifyJob(**reader, size, recorder.monitor());
  ASSERT_TRUE(damage.ok()) << damage.status().message();
  EXPECT_TRUE(damage->empty());
  recorder.ExpectMonotone();
  Recorder stopped([](const Progress&) { return true; });
  EXPECT_EQ(RunVerifyJob(**reader, size, stopped.monitor()).status().code(), kCancelled);
  EXPECT_EQ(stopped.seen.size(), 1u);
}

TEST_F(ArtifactJob, CancelledVerifyEndsBetweenChunks) {
  Recorder recorder([](const Progress&) { return true; });
  EXPECT_EQ(RunVerifyJob({artifact_}, recorder.monitor()).status().code(), kCancelled);
  EXPECT_EQ(recorder.seen.size(), 1u);
}

TEST_F(ArtifactJob, ExportGivesTheSourceBack) {
  Recorder recorder;
  const auto report = RunExportJob({artifact_, Path("back")}, recorder.monitor());
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->dtype, "source");
  recorder.ExpectMonotone();
  EXPECT_EQ(recorder.seen.back().done, report->bytes);
  const auto before = model::Checkpoint::Open(model_),
             after = model::Checkpoint::Open(Path("back"));
  ASSERT_TRUE(after.ok()) << after.status().message();
  for (const model::TensorInfo& tensor : (*before)->tensors()) {
    const model::TensorInfo* found = (*after)->Find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    ByteBuffer a(tensor.elements() * DTypeBytes(tensor.dtype)), b(a.size());
    ASSERT_TRUE((*before)->ReadRows(tensor, 0, tensor.rows(), a.span()).ok());
    ASSERT_TRUE((*after)->ReadRows(*found, 0, found->rows(), b.span()).ok());
    EXPECT_EQ(0, std::memcmp(a.data(), b.data(), a.size())) << tensor.name;
  }
}

TEST_F(ArtifactJob, CancelledExportLeavesNothing) {
  Recorder recorder([](const Progress& now) { return now.done * 2 > now.total; });
  EXPECT_EQ(RunExportJob({artifact_, Path("back")}, recorder.monitor()).status().code(),
            kCancelled);
  EXPECT_EQ(Leftovers(), std::vector<std::string>{"m.ingot"});
}

}  // namespace
}  // namespace ingot::jobs
