#include "pack/size_estimate.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "artifact/coding.h"
#include "artifact/format.h"
#include "codecs/plane_codec.h"
#include "pack/guide_cache.h"
#include "pack/name_pattern.h"
#include "pack/slab_source.h"
#include "stored/plane_record.h"

namespace ingot::pack {
namespace {

// Of a sample: runs of rows spread over the matrix, of about so many weights together.
constexpr std::uint64_t kRuns = 8;
constexpr std::uint64_t kSampleWeights = 64 << 10;
// A matrix of fewer does not meet its codec's rate: its rows' and columns' records are too much of
// it. It is tried instead.
constexpr std::uint64_t kSmallMatrix = 64 << 10;
// What a tensor takes of the manifest and the index, about: three or four chunks' entries, its
// record, padding.
constexpr double kTensorOverhead = 300;

bool KnowsSize(const PlannedTensor& tensor) {
  return tensor.bytes.at_most == 0 && !tensor.bytes.data_dependent;
}

bool MeetsRate(const PlannedTensor& tensor) {
  return tensor.encoder->rate() > 0 && tensor.weights() >= kSmallMatrix;
}

// What rounds the codes decides how many bits they take: then a matrix is like no other.
bool Guided(const PackPlan& plan, const PlannedTensor& tensor) {
  return plan.statistics != nullptr && tensor.encoder->takes_guide() && tensor.bytes.data_dependent;
}

// Rows of the tensor, in the source's format.
struct Sample {
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint64_t> rows;  // which
};

Result<Sample> TakeSample(const model::Checkpoint& checkpoint, const PlannedTensor& tensor) {
  Sample sample;
  const std::uint64_t wanted = std::clamp<std::uint64_t>(
      kSampleWeights / std::max<std::uint64_t>(tensor.cols, 1), 1, tensor.rows);
  const std::uint64_t runs = std::min(kRuns, wanted), each = wanted / runs;
  const std::uint64_t row_bytes = tensor.cols * DTypeBytes(tensor.source.dtype);
  std::vector<std::uint8_t> buffer(each * row_bytes);
  for (std::uint64_t run = 0; run < runs; ++run) {
    const std::uint64_t begin = run * (tensor.rows - each) / std::max<std::uint64_t>(runs - 1, 1);
    INGOT_ASSIGN(const ByteSpan rows,
                 ReadTensorRows(checkpoint, tensor, begin, begin + each, buffer));
    sample.bytes.insert(sample.bytes.end(), rows.begin(), rows.end());
    for (std::uint64_t row = begin; row < begin + each; ++row) sample.rows.push_back(row);
  }
  return sample;
}

std::uint64_t CodedBytes(artifact::CodingHint hint, ByteSpan bytes,
                         std::span<const std::uint64_t> cuts) {
  std::uint64_t coded = 0, begin = 0;
  const auto add = [&](std::uint64_t end) {
    for (; begin < end; begin += std::min(end - begin, artifact::kMaxChunkBytes))
      coded += artifact::EncodeChunk(
                   hint, bytes.subspan(begin, std::min(end - begin, artifact::kMaxChunkBytes)))
                   .stored.size();
  };
  for (const std::uint64_t cut : cuts) add(cut);
  add(bytes.size());
  return coded;
}

// The sample by what the statistics know of its rows; nullopt where they know nothing.
Result<std::optional<codecs::EncodedSlab>> EncodeByGuide(const PackPlan& plan,
                                                         const PlannedTensor& tensor,
                                                         const Sample& sample,
                                                         const codecs::WeightSlab& slab,
                                                         InputFactors& inputs) {
  INGOT_ASSIGN(const MatrixGuide known, GuideOf(plan, tensor));
  if (!known.view.known()) return std::optional<codecs::EncodedSlab>();
  codecs::TensorGuide guide = known.view;
  guide.rows = slab.rows;
  std::vector<float> fisher;
  for (const std::uint64_t row : sample.rows)
    if (!guide.row_fisher.empty()) fisher.push_back(guide.row_fisher[row]);
  guide.row_fisher = fisher;
  const auto factors = inputs.Of(plan.statistics->InputOf(tensor.source.name));
  guide.factors = factors.get();
  codecs::WholeSlab rows(slab);
  INGOT_ASSIGN(const auto prepared, tensor.encoder->Prepare(guide, rows));
  DropGuide(guide);
  INGOT_ASSIGN(codecs::EncodedSlab encoded, tensor.encoder->EncodeGuided(slab, 0, *prepared));
  codecs::AddTensorStreams(*prepared, encoded);
  return std::optional(std::move(encoded));
}

Result<codecs::EncodedSlab> EncodeSample(const PackPlan& plan, const PlannedTensor& tensor,
                                         const Sample& sample, InputFactors& inputs) {
  const codecs::WeightSlab slab{tensor.source.dtype, sample.rows.size(), tensor.cols, sample.bytes};
  if (Guided(plan, tensor)) {
    INGOT_ASSIGN(auto encoded, EncodeByGuide(plan, tensor, sample, slab, inputs));
    if (encoded.has_value()) return *std::move(encoded);
  }
  return tensor.encoder->fits_tensor() ? codecs::EncodeWhole(*tensor.encoder, slab)
                                       : tensor.encoder->EncodeSlab(slab);
}

// Bytes of the streams whose size is not known, a row; by those that a sample came to.
Result<double> OpenBytesPerRow(const model::Checkpoint& checkpoint, const PackPlan& plan,
                               const PlannedTensor& tensor, InputFactors& inputs) {
  INGOT_ASSIGN(const Sample sample, TakeSample(checkpoint, tensor));
  INGOT_ASSIGN(const codecs::EncodedSlab encoded, EncodeSample(plan, tensor, sample, inputs));
  double bytes = 0;
  const auto& planes = tensor.encoder->planes();
  for (std::size_t p = 0; p < planes.size(); ++p) {
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(planes[p].kind));
    INGOT_ASSIGN(const auto streams, kind->streams(planes[p], tensor.cols));
    INGOT_ASSIGN(const auto hints, stored::HintsOf(planes[p], tensor.cols));
    for (std::size_t s = 0; s < streams.size(); ++s) {
      if (streams[s].hint == codecs::StreamHint::kRaw &&
          streams[s].extent != codecs::StreamExtent::kData)
        continue;  // of PlannedBytes::exact
      std::vector<std::uint64_t> cuts;
      for (const codecs::StreamCuts& cut : encoded.cuts)
        if (cut.plane == p && cut.stream == s) cuts = cut.offsets;
      // One record for all of the matrix counts once, however few the sample's rows are.
      const bool whole = streams[s].extent == codecs::StreamExtent::kTensor;
      bytes += static_cast<double>(CodedBytes(hints[s], encoded.planes[p][s], cuts)) /
               static_cast<double>(whole ? tensor.rows : sample.rows.size());
    }
  }
  return bytes;
}

}  // namespace

Result<std::vector<std::uint64_t>> EstimateBytes(const model::Checkpoint& checkpoint,
                                                 const PackPlan& plan) {
  // Matrices of one name and making are much alike from layer to layer.
  std::map<std::tuple<std::string, std::string, std::uint64_t, std::uint64_t>,
           std::vector<std::size_t>>
      patterns;
  InputFactors inputs;
  std::vector<std::size_t> guided;
  std::vector<std::uint64_t> bytes(plan.tensors.size());
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    const PlannedTensor& tensor = plan.tensors[t];
    bytes[t] = tensor.bytes.exact;
    if (KnowsSize(tensor)) continue;
    if (MeetsRate(tensor)) {
      bytes[t] = static_cast<std::uint64_t>(tensor.encoder->rate() *
                                            static_cast<double>(tensor.weights()) / 8);
    } else if (Guided(plan, tensor)) {
      inputs.Expect(plan.statistics->InputOf(tensor.source.name), 1);
      guided.push_back(t);
    } else {
      patterns[{PatternOf(tensor.source.name), RecipeText(tensor.recipe), tensor.rows, tensor.cols}]
          .push_back(t);
    }
  }
  const auto sampled = [&](std::size_t t) -> Result<double> {
    const PlannedTensor& tensor = plan.tensors[t];
    return OpenBytesPerRow(checkpoint, plan, tensor, inputs).At(tensor.source.name);
  };
  const auto add = [&](std::size_t t, double per_row) {
    bytes[t] += static_cast<std::uint64_t>(per_row * static_cast<double>(plan.tensors[t].rows));
  };
  for (const std::size_t t : guided) {
    INGOT_ASSIGN(const double per_row, sampled(t));
    inputs.Release(plan.statistics->InputOf(plan.tensors[t].source.name));
    add(t, per_row);
  }
  for (const auto& [pattern, tensors] : patterns) {
    INGOT_ASSIGN(const double per_row, sampled(tensors[tensors.size() / 2]));
    for (const std::size_t t : tensors) add(t, per_row);
  }
  return bytes;
}

void SpendBits(const PackPlan& plan, double bits, std::vector<std::uint64_t>& bytes) {
  const std::string& chosen = plan.preset.linear.codec;
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    const PlannedTensor& tensor = plan.tensors[t];
    if (tensor.role != model::TensorRole::kVector && tensor.recipe.codec == chosen)
      bytes[t] = static_cast<std::uint64_t>(bits * static_cast<double>(tensor.weights()) / 8);
  }
}

double EstimateOverhead(const model::Checkpoint& checkpoint) {
  std::uint64_t assets = 0;
  for (const auto& [name, content] : checkpoint.assets())
    assets += CodedBytes(artifact::CodingHint::kGeneral, AsBytes(content), {});
  return static_cast<double>(artifact::kManifestOffset + assets) +
         kTensorOverhead * static_cast<double>(checkpoint.tensors().size());
}

}  // namespace ingot::pack
