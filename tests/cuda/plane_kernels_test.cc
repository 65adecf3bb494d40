// Products with planes against float64, and their rows as floats: every width, form and group,
// ragged in every direction, tokens with other counts of planes, poisoned outputs.
#include "loader/cuda/kernels/plane_kernels.h"

#include <memory>
#include <string>

#include "codecs/planes/bit_fields.h"
#include "tests/cuda/device_case.h"

namespace ingot::cuda {
namespace {

class PlaneKernels : public DeviceCase {};

struct Form {
  PlaneForm form = PlaneForm::kInt;
  int bits = 4, group = 128;
  enum { kSymmetric, kAsymmetric, kTable } levels = kSymmetric;
  bool row_scales = false;
  float size = 1;  // of its weights
};

// A plane with random content: on the device, and its weights by a decoder of its own.
class SamplePlane {
 public:
  SamplePlane(const Form& form, int rows, int cols, unsigned seed)
      : form_(form), rows_(rows), cols_(cols), random_(seed) {
    weights_.resize(static_cast<std::size_t>(rows) * cols);
    plane_.form = form.form;
    if (form.form == PlaneForm::kSparse)
      MakeSparse();
    else if (form.form == PlaneForm::kInt || form.form == PlaneForm::kFp8)
      MakeCodes();
    else
      MakeFloats();
  }

  const DevicePlane& plane() const { return plane_; }
  const std::vector<double>& weights() const { return weights_; }

 private:
  template <class T>
  const T* Keep(const std::vector<T>& values) {
    std::vector<std::uint8_t> bytes;
    AppendBytes(values, bytes);
    kept_.push_back(std::make_unique<DeviceArray<std::uint8_t>>(bytes));
    return reinterpret_cast<const T*>(kept_.back()->data());
  }
  int Random(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  std::uint16_t Scale() {
    return ToFp16(form_.size * 0.01f * static_cast<float>(1 + Random(64)) *
                  (Random(8) == 0 ? -1.0f : 1.0f));
  }

  double Level(int code, int zero, const std::vector<float>& table) const {
    if (form_.form == PlaneForm::kFp8) return FromFp8E4m3(static_cast<std::uint8_t>(code));
    if (form_.levels == Form::kTable) return table[static_cast<std::size_t>(code)];
    const double at = form_.levels == Form::kSymmetric ? 1 << (form_.bits - 1)
                                                       : zero / double(1 << (8 - form_.bits));
    return code - at;
  }

  void MakeCodes() {
    loader::PlaneOperand& operand = plane_.operand;
    const int group = std::min(form_.group, cols_), groups = (cols_ + group - 1) / group;
    const auto row_bytes = codecs::CodeRowBytes(form_.bits, static_cast<std::uint64_t>(cols_));
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows_) * row_bytes), zeros, narrow;
    std::vector<std::uint16_t> scales, row_scales;
    std::vector<float> table;
    for (int c = 0; c < 1 << form_.bits; ++c)
      table.push_back(0.37f * static_cast<float>(c * c % 17 - 8));
    for (int r = 0; r < rows_; ++r) {
      std::vector<std::uint8_t> row;
      for (int c = 0; c < cols_; ++c)
        row.push_back(static_cast<std::uint8_t>(Random(1 << form_.bits)));
      if (form_.form == PlaneForm::kFp8)
        for (auto& code : row) code = (code & 0x7f) >= 0x68 ? code & 0x9f : code;
      codecs::PackCodes(row.data(), form_.bits, static_cast<std::uint64_t>(cols_),
                        codes.data() + static_cast<std::size_t>(r) * row_bytes);
      row_scales.push_back(Scale());
      for (int g = 0; g < groups; ++g) {
        scales.push_back(Scale());
        narrow.push_back(static_cast<std::uint8_t>(1 + Random(100)));
        zeros.push_back(static_cast<std::uint8_t>(Random(256)));
      }
      for (int c = 0; c < cols_; ++c) {
        const std::size_t g = static_cast<std::size_t>(r * groups + c / group);
        const double scale = form_.row_scales ? double{FromFp16(row_scales.back())} *
                                                    static_cast<std::int8_t>(narrow[g])
                                              : FromFp16(scales[g]);
        weights_[static_cast<std::size_t>(r) * cols_ + c] =
            scale * Level(row[static_cast<std::size_t>(c)], zeros[g], table);
      }
    }
    operand.bits = form_.bits;
    operand.rows = static_cast<std::uint64_t>(rows_);
    operand.cols = static_cast<std::uint64_t>(cols_);
    operand.group = static_cast<std::uint64_t>(group);
    operand.groups = static_cast<std::uint64_t>(groups);
    operand.row_bytes = row_bytes;
    operand.codes = Keep(codes);
    operand.scales =
        form_.row_scales ? Keep(narrow) : reinterpret_cast<const std::uint8_t*>(Keep(scales));
    if (form_.row_scales)
      operand.row_scales = reinterpret_cast<const std::uint8_t*>(Keep(row_scales));
    if (form_.form == PlaneForm::kFp8) return;
    if (form_.levels == Form::kAsymmetric) operand.zeros = Keep(zeros);
    operand.linear_levels = form_.levels != Form::kTable;
    if (form_.levels == Form::kTable) operand.levels = Keep(table);
    operand.offset = form_.levels == Form::kSymmetric ? 1 << (form_.bits - 1) : 0;
  }

  void MakeFloats() {
    const FloatType type = form_.form == PlaneForm::kF32   ? FloatType::kF32
                           : form_.form == PlaneForm::kF16 ? FloatType::kF16
                                                           : FloatType::kBf16;
    const auto bytes = Stored(Normal(weights_.size(), form_.size, random_()), type);
    const auto values = Loaded(bytes, type);
    weights_.assign(values.begin(), values.end());
    plane_.operand.codes = Keep(bytes);
    plane_.operand.row_bytes = static_cast<std::uint64_t>(cols_ * FloatBytes(type));
  }

  void MakeSparse() {
    std::vector<std::uint32_t> begins{0}, columns;
    std::vector<std::uint16_t> values;
    for (int r = 0; r < rows_; ++r) {
      for (int c = Random(9); c < cols_; c += 1 + Random(90)) {
        columns.push_back(static_cast<std::uint32_t>(c));
        values.push_back(Scale());
        weights_[static_cast<std::size_t>(r) * cols_ + c] = FromFp16(values.back());
      }
      begins.push_back(static_cast<std::uint32_t>(columns.size()));
    }
    plane_.row_begins = Keep(begins);
    plane_.columns = Keep(columns);
    plane_.values = Keep(values);
  }

  Form form_;
  int rows_, cols_;
  std::mt19937 random_;
  DevicePlane plane_;
  std::vector<double> weights_;
  std::vector<std::unique_ptr<DeviceArray<std::uint8_t>>> kept_;
};

struct Sample {
  std::vector<Form> forms;
  int rows, cols, tokens;
  bool by_token = false;  // other counts of planes for each
};

class PlaneSample {
 public:
  explicit PlaneSample(const Sample& sample) : sample_(sample) {
    unsigned seed = 11;
    for (const Form& form : sample.forms)
      planes_.push_back(std::make_unique<SamplePlane>(form, sample.rows, sample.cols, seed++));
    for (int t = 0; t < sample.tokens; ++t)
      counts_.push_back(sample.by_token ? 1 + t % static_cast<int>(sample.forms.size() + 1) : 9);
  }
  double Weight(int row, int col, int count) const {
    double sum = 0;
    for (int p = 0; p < std::min<int>(count, static_cast<int>(planes_.size())); ++p)
      sum += planes_[static_cast<std::size_t>(p)]
                 ->weights()[static_cast<std::size_t>(row) * sample_.cols + col];
    return sum;
  }
  int CountOf(int token) const { return counts_[static_cast<std::size_t>(token)]; }
  const std::vector<std::int32_t>& counts() const { return counts_; }
  template <class Args>
  void Fill(Args& args) const {
    args.plane_count = static_cast<int>(planes_.size());
    for (std::size_t p = 0; p < planes_.size(); ++p) args.planes[p] = planes_[p]->plane();
    args.rows = sample_.rows;
    args.cols = sample_.cols;
  }

 private:
  Sample sample_;
  std::vector<std::unique_ptr<SamplePlane>> planes_;
  std::vector<std::int32_t> counts_;
};

const std::vector<Sample>& Samples() {
  using enum PlaneForm;
  static const std::vector<Sample> samples = {
      {{{kInt, 4, 128}}, 20, 1280, 1},
      {{{kInt, 4, 64, Form::kAsymmetric}}, 16, 576, 8},
      {{{kInt, 4, 1000}}, 33, 200, 13},                          // one ragged group, ragged block
      {{{kInt, 8, 128, Form::kAsymmetric}}, 17, 320, 40},        // two row tiles, masked tokens
      {{{kInt, 4, 128, Form::kSymmetric, true}}, 40, 1152, 70},  // two blocks of tokens
      {{{kInt, 1, 32}, {kInt, 2, 48, Form::kAsymmetric}}, 9, 600, 3},
      {{{kInt, 3, 100, Form::kAsymmetric}, {kInt, 5, 64}}, 9, 520, 20},
      {{{kInt, 6, 128}, {kInt, 7, 32, Form::kAsymmetric}}, 7, 130, 2},
      {{{kInt, 4, 128, Form::kTable}}, 18, 256, 4},
      {{{kFp8, 8, 128}, {kSparse}}, 18, 384, 5},
      {{{kFp8, 8, 128}}, 5, 77, 36},  // rows that are not aligned
      {{{kInt, 4, 128}, {kInt, 4, 128, Form::kSymmetric, false, 0.06f}, {kSparse}},
       24,
       256,
       12,
       true},
      {{{kInt, 4, 32}, {kInt, 2, 32, Form::kSymmetric, false, 0.2f}}, 18, 256, 9, true},
      {{{kBf16}}, 10, 96, 2},
      {{{kF16}, {kF32, 0, 0, Form::kSymmetric, false, 0.1f}}, 10, 45, 3, true},
  };
  return samples;
}

TEST_F(PlaneKernels, Product) {
  for (const Sample& sample : Samples()) {
    for (const FloatType type : {FloatType::kBf16, FloatType::kF32}) {
      SCOPED_TRACE("sample " + std::to_string(&sample - Samples().data()) + ", type " +
                   std::to_string(static_cast<int>(type)));
      const PlaneSample planes(sample);
      const auto x_bytes =
          Stored(Normal(static_cast<std::size_t>(sample.tokens * sample.cols), 1, 3), type);
      const auto x = Loaded(x_bytes, type);
      const auto bias = Normal(static_cast<std::size_t>(sample.rows), 1, 4);
      const int stride = sample.rows + 3;
      DeviceArray<std::uint8_t> dx(x_bytes);
      DeviceArray<float> dbias(bias), y(static_cast<std::size_t>(sample.tokens * stride));
      DeviceArray<std::int32_t> counts(planes.counts());
      PlaneProductArgs args;
      planes.Fill(args);
      args.x = dx.data();
      args.token_planes = sample.by_token ? counts.data() : nullptr;
      args.bias = dbias.data();
      args.y = y.data();
      args.y_stride = stride;
      args.tokens = sample.tokens;
      args.x_type = type;
      Launch([&] { return launch_plane_product(&args, stream_); },
             [&] {
               std::vector<std::uint8_t> bytes;
               AppendBytes(y.Get(), bytes);
               return bytes;
             });
      std::vector<float> got;
      std::vector<double> wanted;
      const auto all = y.Get();
      for (int t = 0; t < sample.tokens; ++t) {
        for (int r = 0; r < sample.rows; ++r) {
          double sum = bias[static_cast<std::size_t>(r)];
          for (int c = 0; c < sample.cols; ++c)
            sum += planes.Weight(r, c, planes.CountOf(t)) *
                   x[static_cast<std::size_t>(t) * sample.cols + c];
          wanted.push_back(sum);
          got.push_back(all[static_cast<std::size_t>(t * stride + r)]);
        }
        for (int r = sample.rows; r < stride; ++r)  // untouched
          ASSERT_TRUE(std::isnan(all[static_cast<std::size_t>(t * stride + r)]));
      }
      EXPECT_LE(RelativeError(got, wanted), type == FloatType::kF32 ? 1e-6 : 5e-3);
    }
  }
}

TEST_F(PlaneKernels, RowsAsFloats) {
  for (const Sample& sample : Samples()) {
    SCOPED_TRACE("sample " + std::to_string(&sample - Samples().data()));
    const PlaneSample planes(sample);
    // All in order; then some of them, and one that is not there.
    for (const bool by_id : {false, true}) {
      const std::vector<std::int32_t> ids = {sample.rows - 1, 0, -1, sample.rows, 3};
      const int count = by_id ? static_cast<int>(ids.size()) : sample.rows;
      DeviceArray<std::int32_t> dids(ids);
      DeviceArray<float> out(static_cast<std::size_t>(count * sample.cols));
      PlaneRowsArgs args;
      planes.Fill(args);
      args.ids = by_id ? dids.data() : nullptr;
      args.out = out.data();
      args.count = count;
      Launch([&] { return launch_plane_rows(&args, stream_); },
             [&] {
               std::vector<std::uint8_t> bytes;
               AppendBytes(out.Get(), bytes);
               return bytes;
             });
      const auto got = out.Get();
      for (int i = 0; i < count; ++i) {
        const int row = by_id ? ids[static_cast<std::size_t>(i)] : i;
        for (int c = 0; c < sample.cols; ++c) {
          const double wanted = row < 0 || row >= sample.rows ? 0 : planes.Weight(row, c, 9);
          ASSERT_NEAR(got[static_cast<std::size_t>(i) * sample.cols + c], wanted,
                      1e-6 * std::abs(wanted) + 1e-6);
        }
      }
    }
  }
}

TEST_F(PlaneKernels, RefusesWhatItDoesNotTake) {
  PlaneProductArgs args;
  args.cols = 64;
  EXPECT_EQ(launch_plane_product(&args, stream_), kBadArguments);  // no bits
  args.planes[0].operand = {.bits = 4, .cols = 64, .group = 32};
  args.rows = args.tokens = 0;
  EXPECT_EQ(launch_plane_product(&args, stream_), 0);
  args.x_type = FloatType::kF16;
  EXPECT_EQ(launch_plane_product(&args, stream_), kBadArguments);
  args.x_type = FloatType::kF32;
  args.plane_count = kMostPlanes + 1;
  EXPECT_EQ(launch_plane_product(&args, stream_), kBadArguments);
  PlaneRowsArgs rows;
  rows.count = -1;
  EXPECT_EQ(launch_plane_rows(&rows, stream_), kBadArguments);
}

}  // namespace
}  // namespace ingot::cuda
