#include "loader/cuda/device_draw.h"

#include <algorithm>
#include <string>

#include "loader/cuda/device.h"
#include "loader/cuda/kernels/sample_launches.h"

namespace ingot::cuda {
namespace {

std::vector<std::uint32_t> SeenBits(const DeviceDraws& draws, std::size_t vocab) {
  std::vector<std::uint32_t> bits(draws.rows.size() * SeenWords(vocab));
  for (std::size_t r = 0; r < draws.rows.size(); ++r)
    for (const model::TokenId id : draws.rows[r].seen) {
      const auto at = static_cast<std::size_t>(id);
      if (id >= 0 && at < vocab) bits[r * SeenWords(vocab) + at / 32] |= 1u << (at % 32);
    }
  return bits;
}

}  // namespace

Result<std::vector<model::TokenId>> DrawRows(const DeviceTensor& logits, const DeviceDraws& draws,
                                             DevicePool& pool, void* stream) {
  const loader::SamplerOptions& options = draws.options;
  const std::size_t rows = logits.rows(), vocab = logits.cols();
  SampleArgs args{.logits = logits.data(),
                  .rows = static_cast<int>(rows),
                  .vocab = static_cast<int>(vocab),
                  .temperature = options.temperature,
                  .top_k = static_cast<int>(std::min(options.top_k, vocab)),
                  .top_p = options.top_p,
                  .min_p = options.min_p,
                  .penalty = static_cast<float>(options.repetition_penalty)};
  DeviceBlock seen, weights, keys;
  if (options.repetition_penalty != 1) {
    INGOT_ASSIGN(seen, pool.Upload(SeenBits(draws, vocab)));
    args.seen = seen.as<const std::uint32_t>();
  }
  if (options.temperature > 0) {
    std::vector<RowDraw> of_rows;
    for (const DeviceDraws::Row& row : draws.rows) of_rows.push_back({row.seed, row.number});
    INGOT_ASSIGN(keys, pool.Upload(of_rows));
    INGOT_ASSIGN(weights, pool.Make(rows * vocab * sizeof(double)));
    args.draws = keys.as<const RowDraw>();
    args.weights = weights.as<double>();
  }
  INGOT_ASSIGN(const DeviceBlock drawn, pool.Make(rows * sizeof(std::int32_t)));
  args.ids = drawn.as<std::int32_t>();
  std::vector<model::TokenId> ids(rows);
  int error = launch_sample(&args, stream);
  if (error == 0) error = CopyToHost(ids.data(), args.ids, rows * sizeof(ids[0]), stream);
  if (error != 0) return IoError("the device, drawing tokens: " + ErrorText(error, stream));
  if (std::ranges::any_of(ids, [](model::TokenId id) { return id < 0; }))
    return Corruption("logits are not finite: the model's weights or activations overflow");
  return ids;
}

}  // namespace ingot::cuda
