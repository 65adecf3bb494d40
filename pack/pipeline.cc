#include "pack/pipeline.h"

#include <fmt/format.h>
#include <malloc.h>
#include <oneapi/tbb/parallel_pipeline.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "artifact/reader.h"
#include "artifact/writer.h"
#include "base/parallel.h"
#include "files/temporary.h"
#include "pack/guide_cache.h"
#include "pack/provenance.h"
#include "pack/slab_queue.h"
#include "pack/slab_source.h"
#include "pack/source_files.h"
#include "pack/tensor_rows.h"
#include "pack/token_classes.h"
#include "stored/plane_record.h"

namespace ingot::pack {
namespace {

// From this size on, what encoding a slab took goes back to the system after it. Kept for the next
// one, as smaller slabs' is, such blocks lie between others' pieces: whole matrices of a 1.1B model
// added 500 MB to the peak.
constexpr std::uint64_t kGiveBackBytes = std::uint64_t{4} << 20;
// Told as the tensor while slabs that are there already are checked.
constexpr const char* kReadingAgain = "reading the source again";
// Code, libraries, threads' stacks and the allocator's own.
constexpr std::uint64_t kFixedMemory = std::uint64_t{56} << 20;

Result<artifact::TensorPlan> TensorPlanOf(const PlannedTensor& tensor) {
  artifact::TensorPlan plan;
  plan.slab_count = tensor.slab_count;
  artifact::TensorRecord& record = plan.record;
  record.name = tensor.source.name;
  record.shape = tensor.shape;
  record.dtype = DTypeName(tensor.source.dtype);
  record.codec = tensor.recipe.codec;
  record.role = RoleName(tensor.role);
  record.layer = tensor.layer;
  if (tensor.transposed) record.extra["transposed"] = true;
  const auto& planes = tensor.encoder->planes();
  if (planes.back().level > 0) record.extra["planes_by_class"] = PlanesByClass(planes);
  for (const codecs::PlaneSpec& spec : planes) INGOT_TRY(stored::AddPlane(spec, tensor.cols, plan));
  return plan;
}

Result<artifact::ArtifactPlan> ArtifactPlanOf(const model::Checkpoint& checkpoint,
                                              const PackPlan& plan, const std::string& tool) {
  artifact::ArtifactPlan out;
  out.manifest.config = checkpoint.config();
  INGOT_ASSIGN(out.manifest.provenance, MakeProvenance(checkpoint, plan, tool));
  INGOT_ASSIGN(out.fingerprint, Fingerprint(checkpoint, plan, out.manifest.provenance));
  for (const PlannedTensor& tensor : plan.tensors) {
    INGOT_ASSIGN(artifact::TensorPlan tensor_plan, TensorPlanOf(tensor).At(tensor.source.name));
    out.tensors.push_back(std::move(tensor_plan));
  }
  out.assets.assign(checkpoint.assets().begin(), checkpoint.assets().end());
  return out;
}

// How many slabs may be under way at once.
Result<std::size_t> SlabsInFlight(const model::Checkpoint& checkpoint, const PackPlan& plan,
                                  std::uint64_t memory_bytes) {
  const std::uint64_t fixed = BaseMemory(checkpoint);
  const std::uint64_t slab = std::max<std::uint64_t>(SlabMemory(plan), 1);
  if (memory_bytes < fixed + slab)
    return LimitExceeded(
        fmt::format("a memory limit of {} bytes is too small: this model needs "
                    "at least {} ({} MiB)",
                    memory_bytes, fixed + slab, CeilDiv(fixed + slab, std::uint64_t{1} << 20)));
  return std::min<std::size_t>((memory_bytes - fixed) / slab, Threads() + 2);
}

// One run: what the workers share.
class PackRun {
 public:
  PackRun(const model::Checkpoint& checkpoint, const PackPlan& plan, const PackOptions& options,
          artifact::ArtifactWriter& writer)
      : checkpoint_(checkpoint), plan_(plan), options_(options), writer_(writer) {
    for (const PlannedTensor& tensor : plan_.tensors)
      progress_.bytes_total += tensor.source_bytes();
  }

  // Reads again the source of every slab that an earlier run left, and forgets those that were made
  // from other bytes.
  Status CheckResumed(std::size_t in_flight) {
    return RunJobs(Slabs(/*added=*/true), in_flight, &PackRun::DropIfChanged);
  }

  // Encodes every slab that the spool lacks.
  Status Encode(std::size_t in_flight) {
    std::vector<SlabJob> jobs = Slabs(/*added=*/false);
    CountResumed(jobs);
    std::vector<std::uint32_t> slabs_left(plan_.tensors.size());
    for (const SlabJob& job : jobs) ++slabs_left[job.tensor];
    guides_.emplace(checkpoint_, plan_, std::move(slabs_left));
    return RunJobs(std::move(jobs), in_flight, &PackRun::Process);
  }

  // Reads the whole source again. Corruption where it is not what was encoded.
  Status CheckSource(std::size_t in_flight) {
    INGOT_TRY(Report(kReadingAgain, 0));
    return RunJobs(Slabs(/*added=*/true), in_flight, &PackRun::FailIfChanged);
  }

  const PackProgress& progress() const { return progress_; }

 private:
  // What is done with each slab of the source.
  using Work = Status (PackRun::*)(const LoadedSlab&);

  // Joins also when a worker throws bad_alloc.
  class ReaderThread {
   public:
    explicit ReaderThread(SlabQueue& queue) : queue_(queue), thread_([&queue] { queue.Run(); }) {}
    ~ReaderThread() {
      queue_.Stop();
      thread_.join();
    }

   private:
    SlabQueue& queue_;
    std::thread thread_;
  };

  void RunWorkers(SlabQueue& queue, std::size_t in_flight, Work work) {
    tbb::parallel_pipeline(
        in_flight,
        tbb::make_filter<void, LoadedSlab*>(tbb::filter_mode::serial_in_order,
                                            [&](tbb::flow_control& flow) -> LoadedSlab* {
                                              auto slab = queue.Pop();
                                              if (slab.has_value())
                                                return new LoadedSlab(*std::move(slab));
                                              flow.stop();
                                              return nullptr;
                                            }) &
            tbb::make_filter<LoadedSlab*, void>(tbb::filter_mode::parallel, [&](LoadedSlab* raw) {
              const std::unique_ptr<LoadedSlab> slab(raw);
              // Waiting inside the encoder, a thread must not pick up a second slab.
              tbb::this_task_arena::isolate([&] {
                if (Status status = (this->*work)(*slab); !status.ok())
                  Fail(slab->job, std::move(status), queue);
              });
              if (slab->mapped) DropMapped(slab->bytes);
              const bool large = slab->job.bytes >= kGiveBackBytes;
              queue.Release(std::move(slab->buffer));
              if (large) ::malloc_trim(0);
            }));
  }

  Status RunJobs(std::vector<SlabJob> jobs, std::size_t in_flight, Work work) {
    SlabQueue queue(
        std::move(jobs), in_flight,
        [this](const SlabJob& job) {
          return MapSlab(checkpoint_, plan_.tensors[job.tensor], job.slab);
        },
        [this](const SlabJob& job, MutableByteSpan buffer) -> Result<ByteSpan> {
          const PlannedTensor& tensor = plan_.tensors[job.tensor];
          return ReadSlab(checkpoint_, tensor, job.slab, buffer).At(tensor.source.name);
        });
    {
      const ReaderThread reader(queue);
      RunWorkers(queue, in_flight, work);
    }
    if (!failure_.ok()) return failure_;
    return queue.status();
  }

  // The slabs that the writer has, or those that it lacks.
  std::vector<SlabJob> Slabs(bool added) const {
    std::vector<SlabJob> jobs;
    for (std::size_t t = 0; t < plan_.tensors.size(); ++t) {
      const PlannedTensor& tensor = plan_.tensors[t];
      for (std::uint32_t s = 0; s < tensor.slab_count; ++s)
        if (writer_.HasSlab(t, s) == added)
          jobs.push_back({t, s,
                          (tensor.SlabEnd(s) - tensor.SlabBegin(s)) * tensor.cols *
                              DTypeBytes(tensor.source.dtype)});
    }
    return jobs;
  }

  void CountResumed(const std::vector<SlabJob>& missing) {
    progress_.bytes_resumed = progress_.bytes_total;
    for (const SlabJob& job : missing) progress_.bytes_resumed -= job.bytes;
    progress_.bytes_done = progress_.bytes_resumed;
  }

  // Whether a slab that was added has another source now.
  bool Changed(const LoadedSlab& slab) const {
    const Json note = writer_.Note(slab.job.tensor, slab.job.slab);
    return !note.is_object() || note.value("source", Json()) != HexOf(DigestOf(slab.bytes));
  }

  Status DropIfChanged(const LoadedSlab& slab) {
    if (Changed(slab)) writer_.DropSlab(slab.job.tensor, slab.job.slab);
    return Report(kReadingAgain, 0);
  }

  Status FailIfChanged(const LoadedSlab& slab) {
    if (!Changed(slab)) return Report(kReadingAgain, 0);
    return Corruption(
        fmt::format("{}: its bytes in the source changed while it was packed; pack again",
                    plan_.tensors[slab.job.tensor].source.name));
  }

  Status Process(const LoadedSlab& slab) {
    const PlannedTensor& tensor = plan_.tensors[slab.job.tensor];
    const std::string& name = tensor.source.name;
    const SlabCheck check = CheckSlab(tensor.source.dtype, slab.bytes);
    if (check.nonfinite.has_value() && !plan_.nonfinite.contains(name))
      return Nonfinite(tensor, slab, *check.nonfinite);
    const std::uint64_t rows = tensor.SlabEnd(slab.job.slab) - tensor.SlabBegin(slab.job.slab);
    INGOT_ASSIGN(const codecs::EncodedSlab encoded,
                 Encoded(slab.job, {tensor.source.dtype, rows, tensor.cols, slab.bytes}).At(name));
    INGOT_TRY(CheckSomethingIsLeft(encoded, rows * tensor.cols, tensor.recipe.codec).At(name));
    std::vector<std::vector<ByteSpan>> streams(encoded.planes.size());
    for (std::size_t p = 0; p < encoded.planes.size(); ++p)
      streams[p].assign(encoded.planes[p].begin(), encoded.planes[p].end());
    const Json note = {{"source", HexOf(check.digest)},
                       {"error", encoded.squared_error},
                       {"weight", encoded.squared_weight},
                       {"loss", encoded.predicted_loss}};
    std::vector<artifact::StreamCuts> cuts;
    for (const codecs::StreamCuts& cut : encoded.cuts)
      cuts.push_back({cut.plane, cut.stream, cut.offsets});
    INGOT_TRY(writer_.AddSlab(slab.job.tensor, slab.job.slab, streams, note, cuts).At(name));
    return Report(name, slab.job.bytes);
  }

  Result<codecs::EncodedSlab> Encoded(const SlabJob& job, const codecs::WeightSlab& slab) {
    const PlannedTensor& tensor = plan_.tensors[job.tensor];
    INGOT_ASSIGN(const auto guide, guides_->Get(job.tensor));
    auto encoded = guide == nullptr
                       ? tensor.encoder->EncodeSlab(slab)
                       : tensor.encoder->EncodeGuided(slab, tensor.SlabBegin(job.slab), *guide);
    if (encoded.ok() && guide != nullptr && job.slab == 0)
      codecs::AddTensorStreams(*guide, *encoded);
    guides_->Release(job.tensor);
    return encoded;
  }

  // Whatever its reason, a codec that makes zeros of weights is not to do so in silence. Below
  // 2^-40 they are dead (codecs/rounding/scale_range.h).
  static Status CheckSomethingIsLeft(const codecs::EncodedSlab& encoded, std::uint64_t weights,
                                     std::string_view codec) {
    const double mean_square = encoded.squared_weight / static_cast<double>(weights);
    if (!(mean_square > 0x1p-80) || !(encoded.squared_error > 0.99 * encoded.squared_weight))
      return OkStatus();
    return InvalidArgument(
        fmt::format("{} keeps nothing of weights this small (root mean square {:.3g}); store this "
                    "tensor as raw "
                    "or lossless_v1",
                    codec, std::sqrt(mean_square)));
  }

  static Status Nonfinite(const PlannedTensor& tensor, const LoadedSlab& slab,
                          std::uint64_t index) {
    return Unsupported(fmt::format(
        "{}: {}; repair it, or keep such tensors as they are with --allow-nonfinite",
        tensor.source.name, DescribeNonfinite(tensor, slab.job.slab, slab.bytes, index)));
  }

  Status Report(const std::string& name, std::uint64_t bytes) {
    const std::scoped_lock lock(mutex_);
    progress_.bytes_done += bytes;
    progress_.tensor = name;
    return options_.progress ? options_.progress(progress_) : OkStatus();
  }

  // Of several failures the first in plan order is told.
  void Fail(const SlabJob& job, Status status, SlabQueue& queue) {
    const std::scoped_lock lock(mutex_);
    const std::pair<std::size_t, std::uint32_t> place(job.tensor, job.slab);
    if (failure_.ok() || place < failed_at_) {
      failure_ = std::move(status);
      failed_at_ = place;
    }
    queue.Stop();
  }

  const model::Checkpoint& checkpoint_;
  const PackPlan& plan_;
  const PackOptions& options_;
  artifact::ArtifactWriter& writer_;
  std::optional<GuideCache> guides_;
  std::mutex mutex_;
  PackProgress progress_;
  Status failure_;
  std::pair<std::size_t, std::uint32_t> failed_at_;
};

// What the slabs' notes add up to.
struct Summary {
  std::string source_digest;
  std::vector<double> relative_error;  // root mean square of error over that of weights, a tensor
  std::vector<double> predicted_loss;  // nats a token, a tensor
};

Result<Summary> Summarize(const PackPlan& plan, const artifact::ArtifactWriter& writer) {
  Summary summary;
  std::string lines;
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    double error = 0, weight = 0, loss = 0;
    std::vector<std::string> digests;
    for (std::uint32_t s = 0; s < plan.tensors[t].slab_count; ++s) {
      const Json note = writer.Note(t, s);
      if (!note.is_object() || !note.contains("source") || !note["source"].is_string())
        return Corruption("the spool's notes are damaged: delete it and pack again");
      digests.push_back(note["source"].get<std::string>());
      error += note.value("error", 0.0);
      weight += note.value("weight", 0.0);
      loss += note.value("loss", 0.0);
    }
    lines += SourceLine(plan.tensors[t], digests);
    const double ratio = weight > 0 ? std::sqrt(error / weight) : 0.0;
    summary.relative_error.push_back(std::isfinite(ratio) ? ratio : 0.0);
    summary.predicted_loss.push_back(std::isfinite(loss) ? loss : 0.0);
  }
  summary.source_digest = "blake3:" + HexOf(DigestOf(AsBytes(lines)));
  return summary;
}

void PatchTensor(const Summary& summary, std::size_t t, artifact::TensorRecord& record) {
  record.extra["relative_error"] = summary.relative_error[t];
  if (summary.predicted_loss[t] > 0) record.extra["predicted_loss"] = summary.predicted_loss[t];
}

// Whether the same command would end the same way again, so that there is nothing to resume.
bool NeverSucceeds(StatusCode code) {
  return code == StatusCode::kInvalidArgument || code == StatusCode::kUnsupported ||
         code == StatusCode::kCorruption || code == StatusCode::kLimit;
}

// A failure of the system's that leaves a spool says so: the work is not lost.
Status WithSpool(Status status, const std::string& target) {
  const std::string spool = target + ".spool";
  const std::vector<std::string> kept = files::Resumables();
  if (status.code() != StatusCode::kIo || std::ranges::find(kept, spool) == kept.end())
    return status;
  return {status.code(),
          fmt::format("{}; what is done stays in {}, and the same command resumes from it",
                      status.message(), spool)};
}

// What options.measure says of the artifact's draft; null without it.
Result<Json> Measured(const PackOptions& options, artifact::ArtifactWriter& writer,
                      const std::function<void(artifact::Manifest&)>& patch) {
  if (!options.measure) return Json();
  INGOT_ASSIGN(const std::string draft, writer.Draft(patch));
  return options.measure(draft);
}

Result<PackReport> PackInto(artifact::ArtifactWriter& writer, const model::Checkpoint& checkpoint,
                            const PackPlan& plan, const PackOptions& options,
                            std::size_t in_flight) {
  PackRun run(checkpoint, plan, options, writer);
  INGOT_TRY(run.CheckResumed(in_flight));
  INGOT_TRY(run.Encode(in_flight));
  INGOT_ASSIGN(const Summary summary, Summarize(plan, writer));
  const auto patch = [&](artifact::Manifest& manifest) {
    manifest.provenance["source"]["digest"] = summary.source_digest;
    for (std::size_t t = 0; t < manifest.tensors.size(); ++t)
      if (plan.tensors[t].recipe.codec != kRawCodec) PatchTensor(summary, t, manifest.tensors[t]);
  };
  INGOT_ASSIGN(const Json measured, Measured(options, writer, patch));
  const auto patch_all = [&](artifact::Manifest& manifest) {
    patch(manifest);
    if (!measured.is_null()) manifest.provenance["measured"] = measured;
  };
  INGOT_TRY(run.CheckSource(in_flight));
  INGOT_ASSIGN(const artifact::ArtifactWriter::Finished finished,
               writer.Finish(options.key, patch_all));
  return PackReport{finished.root_hex, summary.source_digest, finished.file_bytes,
                    run.progress().bytes_total, run.progress().bytes_resumed};
}

}  // namespace

std::uint64_t BaseMemory(const model::Checkpoint& checkpoint) {
  std::uint64_t bytes = kFixedMemory;
  for (const auto& [name, content] : checkpoint.assets()) bytes += 3 * content.size();
  return bytes;
}

std::uint64_t SlabMemory(const PackPlan& plan) {
  std::uint64_t most = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    const std::uint64_t weights = tensor.slab_rows * tensor.cols;
    const std::uint64_t source = weights * DTypeBytes(tensor.source.dtype);
    const std::uint64_t encoded = tensor.resident_bytes / tensor.rows * tensor.slab_rows;
    // Source, scratch, the encoded streams as the encoder grows them and as they are compressed;
    // the outliers of data-dependent streams are a small part of the weights.
    std::uint64_t bytes = source + tensor.encoder->scratch_bytes(tensor.slab_rows) + 2 * encoded;
    if (plan.statistics != nullptr && tensor.encoder->takes_guide())
      bytes += tensor.encoder->guide_bytes() + tensor.cols * tensor.cols * sizeof(float);
    if (tensor.encoder->fits_tensor()) bytes += TensorRows::Bytes(tensor);
    if (tensor.bytes.data_dependent) bytes += weights / 2;
    if (tensor.transposed) bytes += std::uint64_t{1} << 20;
    most = std::max(most, bytes);
  }
  return most;
}

Result<PackReport> Pack(const model::Checkpoint& checkpoint, const PackPlan& plan,
                        const PackOptions& options) {
  INGOT_ASSIGN(const std::size_t in_flight, SlabsInFlight(checkpoint, plan, options.memory_bytes));
  INGOT_ASSIGN(artifact::ArtifactPlan artifact_plan,
               ArtifactPlanOf(checkpoint, plan, options.tool));
  INGOT_TRY(CheckNotSource(checkpoint, options.target));
  INGOT_ASSIGN(
      const std::unique_ptr<artifact::ArtifactWriter> writer,
      artifact::ArtifactWriter::Open(options.target, std::move(artifact_plan), options.force));
  auto report = PackInto(*writer, checkpoint, plan, options, in_flight);
  if (report.ok()) return report;
  if (NeverSucceeds(report.status().code())) writer->Discard();
  return WithSpool(std::move(report).status(), options.target);
}

}  // namespace ingot::pack
