// llama.cpp's importance matrices, GGUF and .dat. Whatever is accepted must be bounded by the file,
// finite, and divide into the matrices that it says.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "calibration/imatrix_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto imatrix = ingot::calibration::ParseImatrix({data, size});
  if (!imatrix.ok()) return 0;
  for (const auto& [name, tensor] : *imatrix) {
    INGOT_CHECK(!name.empty() && !tensor.sums.empty() && !tensor.counts.empty());
    INGOT_CHECK(tensor.sums.size() + tensor.counts.size() <= size / sizeof(float));
    INGOT_CHECK(!tensor.shared_count || tensor.counts.size() == 1);
    INGOT_CHECK(tensor.MatricesOf(tensor.sums.size() / tensor.counts.size()) ==
                tensor.counts.size());
    INGOT_CHECK(tensor.MatricesOf(0) == 0 && tensor.MatricesOf(tensor.sums.size() + 1) == 0);
    for (const float v : tensor.sums) INGOT_CHECK(std::isfinite(v) && v >= 0);
    for (const float v : tensor.counts) INGOT_CHECK(std::isfinite(v) && v >= 0);
  }
  return 0;
}
