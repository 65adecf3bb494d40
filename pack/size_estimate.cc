#include "pack/size_estimate.h"

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "artifact/coding.h"
#include "artifact/format.h"
#include "codecs/plane_codec.h"
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

// Rows of the tensor, in the source's format.
struct Sample {
  std::vector<std::uint8_t> bytes;
  std::uint64_t rows = 0;
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
    sample.rows += each;
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

// Bytes of the streams whose size is not known, a row; by those that a sample came to.
Result<double> OpenBytesPerRow(const model::Checkpoint& checkpoint, const PlannedTensor& tensor) {
  INGOT_ASSIGN(const Sample sample, TakeSample(checkpoint, tensor));
  const codecs::WeightSlab slab{tensor.source.dtype, sample.rows, tensor.cols, sample.bytes};
  INGOT_ASSIGN(const codecs::EncodedSlab encoded, tensor.encoder->fits_tensor()
                                                      ? codecs::EncodeWhole(*tensor.encoder, slab)
                                                      : tensor.encoder->EncodeSlab(slab));
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
               static_cast<double>(whole ? tensor.rows : sample.rows);
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
  std::vector<std::uint64_t> bytes(plan.tensors.size());
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    const PlannedTensor& tensor = plan.tensors[t];
    bytes[t] = tensor.bytes.exact;
    if (KnowsSize(tensor)) continue;
    if (MeetsRate(tensor))
      bytes[t] = static_cast<std::uint64_t>(tensor.encoder->rate() *
                                            static_cast<double>(tensor.weights()) / 8);
    else
      patterns[{PatternOf(tensor.source.name), RecipeText(tensor.recipe), tensor.rows, tensor.cols}]
          .push_back(t);
  }
  for (const auto& [pattern, tensors] : patterns) {
    const PlannedTensor& middle = plan.tensors[tensors[tensors.size() / 2]];
    INGOT_ASSIGN(const double per_row, OpenBytesPerRow(checkpoint, middle).At(middle.source.name));
    for (const std::size_t t : tensors)
      bytes[t] += static_cast<std::uint64_t>(per_row * static_cast<double>(plan.tensors[t].rows));
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
