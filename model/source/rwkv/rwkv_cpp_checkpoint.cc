// A source over a file of rwkv.cpp. Names are the original project's. What its converter changed is
// undone: exponentials of decays and bonuses, matrices that it turned, version 7's mixing vectors
// put into one tensor. Source: python/convert_pytorch_to_ggml.py of rwkv.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/float_formats.h"
#include "model/source/checkpoint_sources.h"
#include "model/source/mapped_file.h"
#include "model/source/rwkv/rwkv_cpp_file.h"

namespace ingot::model {
namespace {

constexpr const char* kMixes[] = {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"};  // of x_rwkvag

class RwkvCppCheckpoint final : public Checkpoint {
 public:
  explicit RwkvCppCheckpoint(std::string path) : path_(std::move(path)) {}

  Status Read() {
    INGOT_ASSIGN(file_, MappedFile::Open(path_));
    return Parse().At(path_);
  }

  const std::string& path() const override { return path_; }
  std::string_view format() const override { return "rwkv.cpp"; }
  const Json& config() const override { return config_; }
  std::span<const TensorInfo> tensors() const override { return tensors_; }
  const std::map<std::string, std::string>& assets() const override { return assets_; }

  Status ReadRows(const TensorInfo& tensor, std::uint64_t begin, std::uint64_t end,
                  MutableByteSpan out) const override {
    const TensorInfo* own = Find(tensor.name);
    if (own == nullptr) return NotFound(fmt::format("{}: no tensor '{}'", path_, tensor.name));
    const std::uint64_t row_bytes = own->cols() * DTypeBytes(own->dtype);
    if (begin > end || end > own->rows() || out.size() != (end - begin) * row_bytes)
      return InvalidArgument(fmt::format("tensor '{}': rows {} to {} of {} into {} bytes",
                                         tensor.name, begin, end, own->rows(), out.size()));
    std::memcpy(out.data(), BytesOf(*own).data() + begin * row_bytes, out.size());
    return OkStatus();
  }

  // Of the file alone: callers drop such pages when they are done. Names are as long as they like,
  // so that tensors start anywhere; kernels load whole elements.
  ByteSpan Mapped(const TensorInfo& tensor) const override {
    const TensorInfo* own = Find(tensor.name);
    if (own == nullptr) return {};
    const ByteSpan bytes = BytesOf(*own);
    const ByteSpan file = file_.bytes();
    const bool in_file = bytes.data() >= file.data() && bytes.data() < file.data() + file.size();
    const bool aligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % 4 == 0;
    return in_file && aligned ? bytes : ByteSpan();
  }

 private:
  using Entry = RwkvCppEntry;
  using Tensors = std::vector<std::pair<TensorInfo, ByteSpan>>;

  ByteSpan BytesOf(const TensorInfo& own) const {
    return data_[static_cast<std::size_t>(&own - tensors_.data())];
  }

  Status Parse() {
    INGOT_ASSIGN(const std::vector<Entry> entries, ParseRwkvCppFile(file_.bytes()));
    bool is5 = false;
    for (const Entry& entry : entries) {
      is6_ = is6_ || entry.name.ends_with(".time_maa_x");
      is5 = is5 || (entry.name.ends_with(".att.time_decay") && entry.shape.size() == 3);
    }
    // rwkv.cpp divides the heads of version 5 by nothing before their norm.
    if (is5) config_["head_size_divisor"] = 1;
    Tensors all;
    for (const Entry& entry : entries) AddEntry(entry, all);
    std::sort(all.begin(), all.end(),
              [](const auto& a, const auto& b) { return a.first.name < b.first.name; });
    for (auto& [info, data] : all) {
      if (!tensors_.empty() && tensors_.back().name == info.name)
        return Corruption(fmt::format("tensor '{}' is there twice", info.name));
      tensors_.push_back(std::move(info));
      data_.push_back(data);
    }
    return OkStatus();
  }

  void Add(const std::string& name, std::vector<std::uint64_t> shape, DType dtype, ByteSpan data,
           Tensors& out) const {
    TensorInfo info;
    info.name = name;
    info.shape = std::move(shape);
    info.dtype = dtype;
    info.stored_type = DTypeName(dtype);
    info.stored_bytes = data.size();
    info.file = path_.substr(path_.rfind('/') + 1);
    out.push_back({std::move(info), data});
  }

  static std::vector<float> Floats(const Entry& entry) {
    std::vector<float> values(entry.data.size() / DTypeBytes(entry.dtype));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = entry.dtype == DType::kF32
                      ? LoadLe<float>(entry.data.data() + 4 * i)
                      : FromFp16(LoadLe<std::uint16_t>(entry.data.data() + 2 * i));
    return values;
  }

  // Values of this object's own, as float32.
  ByteSpan Keep(const std::vector<float>& values) {
    ByteBuffer& buffer = own_.emplace_back(values.size() * sizeof(float));
    std::memcpy(buffer.data(), values.data(), buffer.size());
    return buffer.span();
  }

  void AddEntry(const Entry& entry, Tensors& out) {
    const std::string_view part = std::string_view(entry.name).substr(entry.name.rfind('.') + 1);
    if (part == "x_rwkvag" && entry.shape[0] == std::size(kMixes)) return AddMixes(entry, out);
    if (part == "time_decay" || part == "time_first") return AddLogarithm(entry, part, out);
    if (IsTurned(part) && entry.shape.size() >= 2) return AddTurned(entry, out);
    Add(entry.name, entry.shape, entry.dtype, entry.data, out);
  }

  void AddMixes(const Entry& entry, Tensors& out) const {
    const std::string stem = entry.name.substr(0, entry.name.rfind('.') + 1);
    const std::uint64_t bytes = entry.data.size() / std::size(kMixes);
    for (std::size_t i = 0; i < std::size(kMixes); ++i)
      Add(stem + kMixes[i], {bytes / DTypeBytes(entry.dtype)}, entry.dtype,
          entry.data.subspan(i * bytes, bytes), out);
  }

  // Version 4 has -e^decay here and the bonus as it is, version 5 e^-e^decay and e^bonus (of one or
  // two more dimensions), version 6 what the original has.
  void AddLogarithm(const Entry& entry, std::string_view part, Tensors& out) {
    const bool is4 = entry.shape.size() == 1 && !is6_;
    if (is6_ || (is4 && part == "time_first")) {
      Add(entry.name, entry.shape, entry.dtype, entry.data, out);
      return;
    }
    // A factor of 1 or 0 has no logarithm: these stand for them.
    constexpr float kSlowest = -30, kFastest = 10;
    std::vector<float> values = Floats(entry);
    for (float& x : values) {
      if (part == "time_first") {
        x = std::log(x);
      } else {
        x = std::clamp(std::log(is4 ? -x : -std::log(x)), kSlowest, kFastest);
      }
    }
    std::vector<std::uint64_t> shape = entry.shape;
    while (shape.size() > 1 && shape.back() == 1) shape.pop_back();
    Add(entry.name, std::move(shape), DType::kF32, Keep(values), out);
  }

  // Low-rank matrices of versions 6 and 7: the original multiplies by them from the right.
  static bool IsTurned(std::string_view part) {
    return part.starts_with("time_maa_w") || part.starts_with("time_decay_w") ||
           (part.size() == 2 && std::string_view("wavg").find(part[0]) != std::string_view::npos &&
            (part[1] == '1' || part[1] == '2'));
  }

  void AddTurned(const Entry& entry, Tensors& out) {
    if (entry.name.ends_with("time_maa_w")) {  // a mixing vector
      Add(entry.name, entry.shape, entry.dtype, entry.data, out);
      return;
    }
    const std::vector<float> values = Floats(entry);
    std::vector<float> turned(values.size());
    const std::size_t n = entry.shape.size();
    const std::uint64_t rows = entry.shape[n - 2], cols = entry.shape[n - 1];
    for (std::uint64_t m = 0; m < values.size() / (rows * cols); ++m)
      for (std::uint64_t r = 0; r < rows; ++r)
        for (std::uint64_t c = 0; c < cols; ++c)
          turned[(m * cols + c) * rows + r] = values[(m * rows + r) * cols + c];
    std::vector<std::uint64_t> shape = entry.shape;
    std::swap(shape[n - 2], shape[n - 1]);
    Add(entry.name, std::move(shape), DType::kF32, Keep(turned), out);
  }

  std::string path_;
  MappedFile file_;
  bool is6_ = false;
  Json config_ = Json::object();
  std::vector<TensorInfo> tensors_;
  std::vector<ByteSpan> data_;  // parallel to tensors_
  std::vector<ByteBuffer> own_;
  std::map<std::string, std::string> assets_;
};

}  // namespace

bool IsRwkvCppFile(const std::string& path) {
  const auto file = File::OpenRead(path);
  std::uint8_t head[4];
  return file.ok() && file->ReadAt(0, head).ok() && LoadLe<std::uint32_t>(head) == kRwkvCppMagic;
}

Result<std::unique_ptr<Checkpoint>> OpenRwkvCppCheckpoint(const std::string& path) {
  auto checkpoint = std::make_unique<RwkvCppCheckpoint>(path);
  INGOT_TRY(checkpoint->Read());
  return std::unique_ptr<Checkpoint>(std::move(checkpoint));
}

}  // namespace ingot::model
