// hadamard and column_scale planes among planes that add and replace: what validates must decode,
// to the same bits whole and by rows.
#include "codecs/planes/transform.h"
#include "tests/fuzz/plane_fuzz.h"

namespace {

using ingot::codecs::FuzzInput;
using ingot::codecs::PlaneSpec;
using ingot::codecs::PlaneView;

// Small widths mostly: a large odd factor costs its square.
std::uint64_t Width(FuzzInput& input) {
  const std::uint64_t width = input.Below(200);
  return input.Byte() % 8 == 0 ? width << input.Byte() % 20 : width;
}

PlaneSpec Transform(FuzzInput& input, std::uint64_t cols) {
  PlaneSpec spec;
  if (input.Byte() % 2 == 0) {
    spec = ingot::codecs::ColumnScaleSpec();
  } else {
    const std::uint64_t block = input.Below(300);
    spec = ingot::codecs::HadamardSpec(cols, input.Below(5), input.Byte() % 3 == 0 ? block : 0);
  }
  const std::uint8_t damage = input.Byte();
  if (damage % 16 == 1) spec.level = 1;
  if (damage % 16 == 2) spec.attributes["seed"] = static_cast<std::int64_t>(-1);
  if (damage % 16 == 3) spec.attributes["block"] = 2.0;
  if (damage % 16 == 4) spec.attributes.clear();
  if (damage % 16 == 5) spec.attributes["format"] = "f32";
  return spec;
}

PlaneSpec Any(FuzzInput& input, std::uint64_t cols) {
  switch (input.Byte() % 4) {
    case 0:
      return {"raw", {{"dtype", "i8"}}, 0};
    case 1:
      return {"raw", {{"dtype", "f16"}}, 0};
    case 2:
      return {"remainder16", {{"dtype", "bf16"}}, 0};
    default:
      return Transform(input, cols);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::codecs;
  FuzzInput input(data, size);
  const std::uint64_t rows = 1 + input.Below(4), cols = Width(input);
  const std::size_t count = 1 + input.Byte() % 5;
  std::vector<PlaneSpec> specs;
  std::vector<std::vector<std::uint8_t>> streams;
  std::vector<std::size_t> owners;
  for (std::size_t p = 0; p < count; ++p) {
    specs.push_back(Any(input, cols));
    const auto wanted = (*FindPlaneKind(specs[p].kind))->streams(specs[p], cols);
    if (!wanted.ok()) return 0;
    for (const StreamSpec& stream : *wanted) {
      std::uint64_t bytes = *StreamBytes(stream, rows);
      if (input.Byte() % 32 == 0) bytes = input.Below(600);
      if (bytes > (1 << 20)) return 0;
      streams.push_back(input.Take(bytes));
      owners.push_back(p);
    }
  }
  std::vector<PlaneView> views;
  bool valid = true;
  for (std::size_t p = 0, s = 0; p < count; ++p) {
    PlaneView view{&specs[p], rows, cols, {}};
    for (; s < owners.size() && owners[s] == p; ++s) view.streams.emplace_back(streams[s]);
    valid &= (*FindPlaneKind(specs[p].kind))->validate(view).ok();
    views.push_back(std::move(view));
  }
  valid &= CheckPlaneList(views).ok();
  if (valid && rows * cols > (1 << 20)) return 0;
  std::vector<float> whole(valid ? rows * cols : 0), row(valid ? cols : 0);
  if (DecodeTensorRows(views, 0, valid ? rows : 0, whole).ok() != valid) std::abort();
  for (std::uint64_t r = 0; valid && r < rows; ++r) {
    if (!DecodeTensorRows(views, r, r + 1, row).ok()) std::abort();
    if (std::memcmp(row.data(), whole.data() + r * cols, cols * sizeof(float)) != 0) std::abort();
  }
  return 0;
}
