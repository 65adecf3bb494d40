// tests/golden/delta_v1.ingot over transforms_v1.ingot means the same weights for ever: what
// docs/codecs.md, section 1, says of a delta's planes, by its words. The second reader checks the
// same digests.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "artifact/stacked_reader.h"
#include "base/file.h"
#include "codecs/plane_codec.h"

namespace ingot::pack {
namespace {

const std::string kGolden = std::string(INGOT_SOURCE_DIR) + "/tests/golden/";

// A tensor's planes with their bytes, from one artifact.
struct Planes {
  std::vector<artifact::StreamBytes> bytes;
  std::vector<codecs::PlaneSpec> specs;
  std::vector<codecs::PlaneView> views;
};

codecs::PlaneSpec SpecOf(const artifact::PlaneRecord& record) {
  codecs::PlaneSpec spec{record.kind, {}, record.level};
  for (const auto& [key, value] : record.attributes.items()) {
    if (value.is_string()) {
      spec.attributes[key] = value.get<std::string>();
    } else {
      spec.attributes[key] = value.get<std::int64_t>();
    }
  }
  return spec;
}

Planes Read(const artifact::ArtifactReader& reader, const artifact::TensorRecord& record) {
  Planes planes;
  for (const artifact::PlaneRecord& plane : record.planes) planes.specs.push_back(SpecOf(plane));
  const std::uint64_t rows = record.shape.size() > 1 ? record.shape[0] : 1;
  for (std::size_t p = 0; p < record.planes.size(); ++p) {
    codecs::PlaneView view{&planes.specs[p], rows, record.shape.back(), {}};
    for (const artifact::StreamRecord& stream : record.planes[p].streams) {
      auto bytes = reader.ReadStream(stream);
      EXPECT_TRUE(bytes.ok()) << bytes.status().message();
      view.streams.push_back(bytes->bytes());
      planes.bytes.push_back(*std::move(bytes));
    }
    planes.views.push_back(std::move(view));
  }
  return planes;
}

std::vector<float> Decode(std::span<const codecs::PlaneView> views) {
  std::vector<float> values(views[0].rows * views[0].cols);
  const Status status = codecs::DecodeTensorRows(views, 0, views[0].rows, values);
  EXPECT_TRUE(status.ok()) << status.message();
  return values;
}

// What the delta's planes make of the base's weights.
void Apply(const Planes& delta, std::vector<float>& weights) {
  std::span<const codecs::PlaneView> adds(delta.views);
  const auto kind = codecs::FindPlaneKind(adds.back().spec->kind);
  ASSERT_TRUE(kind.ok());
  const bool replaced = (*kind)->role == codecs::PlaneRole::kReplaces;
  if (replaced) adds = adds.first(adds.size() - 1);
  if (!adds.empty()) {
    const std::vector<float> sum = Decode(adds);
    for (std::size_t i = 0; i < sum.size(); ++i) weights[i] += sum[i];
  }
  if (!replaced) return;
  ASSERT_TRUE((*kind)->validate(delta.views.back()).ok());
  (*kind)->decode_rows(delta.views.back(), 0, delta.views.back().rows, weights.data());
}

std::shared_ptr<const artifact::ArtifactReader> Open(const std::string& name) {
  artifact::OpenOptions options;
  options.allow_delta = true;
  auto reader = artifact::ArtifactReader::Open(kGolden + name, options);
  EXPECT_TRUE(reader.ok()) << reader.status().message();
  return *std::move(reader);
}

TEST(DeltaGolden, WeightsOverARotatedBaseAreTheSameBits) {
  const auto stack =
      artifact::StackedReader::Open(Open("transforms_v1.ingot"), Open("delta_v1.ingot"));
  ASSERT_TRUE(stack.ok()) << stack.status().message();
  const auto text = ReadFileToString(kGolden + "delta_v1.json");
  ASSERT_TRUE(text.ok());
  const auto expected = artifact::Json::parse(*text);
  for (const artifact::StackedReader::Tensor& tensor : (*stack)->tensors()) {
    std::vector<float> weights;
    if (tensor.base != nullptr) weights = Decode(Read((*stack)->base(), *tensor.base).views);
    if (tensor.delta != nullptr) {
      const Planes delta = Read((*stack)->delta(), *tensor.delta);
      weights.resize(delta.views[0].rows * delta.views[0].cols);
      Apply(delta, weights);
    }
    const auto bytes = BytesOf(std::span<const float>(weights));
    EXPECT_EQ(HexOf(DigestOf(bytes)), expected[tensor.record().name])
        << tensor.record().name;
  }
  EXPECT_EQ((*stack)->tensors().size(), expected.size());
}

}  // namespace
}  // namespace ingot::pack
