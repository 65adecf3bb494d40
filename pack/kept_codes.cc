#include "pack/kept_codes.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/bytes.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/coded_plane.h"

namespace ingot::pack {
namespace {

// Nothing is fitted; where a slab begins comes with EncodeGuided, which wants something prepared.
struct Nothing final : codecs::PreparedTensor {};

class KeptCodes final : public codecs::TensorEncoder {
 public:
  KeptCodes(const model::Checkpoint& checkpoint, model::TensorInfo tensor, const CodedForm& form)
      : checkpoint_(checkpoint),
        tensor_(std::move(tensor)),
        form_(form),
        planes_{codecs::CodedSpec(form)} {}

  const std::vector<codecs::PlaneSpec>& planes() const override { return planes_; }
  std::uint64_t cols() const override { return tensor_.cols(); }
  std::uint64_t scratch_bytes(std::uint64_t slab_rows) const override {
    // Codes as they are read, before they are packed, and as numbers twice.
    return slab_rows * cols() * (2 + 2 * sizeof(float));
  }
  bool fits_tensor() const override { return true; }
  Result<std::shared_ptr<const codecs::PreparedTensor>> Prepare(const codecs::TensorGuide&,
                                                                codecs::RowSource&) const override {
    return std::shared_ptr<const codecs::PreparedTensor>(std::make_shared<Nothing>());
  }

  Result<codecs::EncodedSlab> EncodeSlab(const codecs::WeightSlab& slab) const override {
    return Encode(slab, 0);
  }
  Result<codecs::EncodedSlab> EncodeGuided(const codecs::WeightSlab& slab, std::uint64_t row_begin,
                                           const codecs::PreparedTensor&) const override {
    return Encode(slab, row_begin);
  }

 private:
  Result<codecs::EncodedSlab> Encode(const codecs::WeightSlab& slab,
                                     std::uint64_t row_begin) const {
    INGOT_ASSIGN(const CodedRows rows,
                 checkpoint_.ReadCoded(tensor_, row_begin, row_begin + slab.rows));
    codecs::EncodedSlab encoded;
    encoded.planes.push_back(codecs::CodedStreams(form_, rows, slab.cols));
    INGOT_TRY(Compare(slab, row_begin, encoded));
    return encoded;
  }

  // Decodes the slab and sums the source's squares.
  Status Compare(const codecs::WeightSlab& slab, std::uint64_t row_begin,
                 codecs::EncodedSlab& encoded) const {
    codecs::PlaneView view;
    view.spec = &planes_[0];
    view.rows = slab.rows;
    view.cols = slab.cols;
    view.streams.assign(encoded.planes[0].begin(), encoded.planes[0].end());
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(planes_[0].kind));
    INGOT_TRY(kind->validate(view));
    std::vector<float> row(slab.cols);
    for (std::uint64_t r = 0; r < slab.rows; ++r) {
      row.assign(slab.cols, 0.0f);
      kind->decode_rows(view, r, r + 1, row.data());
      const std::uint8_t* source = slab.bytes.data() + r * slab.cols * sizeof(float);
      for (std::uint64_t c = 0; c < slab.cols; ++c) {
        const auto value = LoadLe<float>(source + c * sizeof(float));
        if (row[c] != value)
          return Corruption(
              fmt::format("row {}, column {}: the source's codes give {}, it reads {}",
                          row_begin + r, c, row[c], value));
        encoded.squared_weight += static_cast<double>(value) * static_cast<double>(value);
      }
    }
    return OkStatus();
  }

  const model::Checkpoint& checkpoint_;
  model::TensorInfo tensor_;
  CodedForm form_;
  std::vector<codecs::PlaneSpec> planes_;
};

}  // namespace

std::unique_ptr<codecs::TensorEncoder> MakeKeptCodes(const model::Checkpoint& checkpoint,
                                                     const model::TensorInfo& tensor) {
  const auto form = checkpoint.Coded(tensor);
  if (!form || tensor.dtype != DType::kF32) return nullptr;
  return std::make_unique<KeptCodes>(checkpoint, tensor, *form);
}

}  // namespace ingot::pack
