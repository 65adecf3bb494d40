// Builds model files for tests: safetensors and GGUF bytes, directories that go away with the test.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace ingot::model {

template <typename T>
void AppendLe(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// header_bytes | header | data
inline std::string SafetensorsFile(const std::string& header, const std::string& data) {
  std::string file;
  AppendLe<std::uint64_t>(file, header.size());
  return file + header + data;
}

struct TensorBytes {
  std::string name, dtype;
  std::vector<std::uint64_t> shape;
  std::string bytes;
};

inline std::string SafetensorsFile(const std::vector<TensorBytes>& tensors) {
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const TensorBytes& t : tensors) {
    header[t.name] = {{"dtype", t.dtype},
                      {"shape", t.shape},
                      {"data_offsets", {data.size(), data.size() + t.bytes.size()}}};
    data += t.bytes;
  }
  std::string text = header.dump();
  text.resize(AlignUp(text.size(), 8), ' ');  // as writers do, so that the data is aligned
  return SafetensorsFile(text, data);
}

template <typename T>
std::string BytesOfValues(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

class GgufBuilder {
 public:
  explicit GgufBuilder(std::uint32_t version = 3) : version_(version) {}

  GgufBuilder& Text(const std::string& key, const std::string& value) {
    Key(key, 8);
    String(keys_, value);
    return *this;
  }
  GgufBuilder& Count(const std::string& key, std::uint32_t value) {
    Key(key, 4);
    AppendLe(keys_, value);
    return *this;
  }
  GgufBuilder& Number(const std::string& key, float value) {
    Key(key, 6);
    AppendLe(keys_, value);
    return *this;
  }
  GgufBuilder& Flag(const std::string& key, bool value) {
    Key(key, 7);
    keys_.push_back(value ? 1 : 0);
    return *this;
  }
  GgufBuilder& Texts(const std::string& key, const std::vector<std::string>& values) {
    Key(key, 9);
    AppendLe<std::uint32_t>(keys_, 8);
    AppendLe<std::uint64_t>(keys_, values.size());
    for (const std::string& value : values) String(keys_, value);
    return *this;
  }
  GgufBuilder& Counts(const std::string& key, const std::vector<std::uint32_t>& values) {
    Key(key, 9);
    AppendLe<std::uint32_t>(keys_, 4);
    AppendLe<std::uint64_t>(keys_, values.size());
    keys_ += BytesOfValues(values);
    return *this;
  }
  GgufBuilder& Numbers(const std::string& key, const std::vector<float>& values) {
    Key(key, 9);
    AppendLe<std::uint32_t>(keys_, 6);
    AppendLe<std::uint64_t>(keys_, values.size());
    keys_ += BytesOfValues(values);
    return *this;
  }
  // Any value: type number and its bytes.
  GgufBuilder& Raw(const std::string& key, std::uint32_t type, const std::string& bytes) {
    Key(key, type);
    keys_ += bytes;
    return *this;
  }
  // Shape outermost first, as everywhere here but in the file.
  GgufBuilder& Tensor(const std::string& name, const std::vector<std::uint64_t>& shape,
                      std::uint32_t type, const std::string& bytes) {
    data_.resize(AlignUp(data_.size(), 32), '\0');
    TensorAt(name, shape, type, data_.size());
    data_ += bytes;
    return *this;
  }
  GgufBuilder& TensorAt(const std::string& name, const std::vector<std::uint64_t>& shape,
                        std::uint32_t type, std::uint64_t offset) {
    ++tensors_;
    String(infos_, name);
    AppendLe<std::uint32_t>(infos_, static_cast<std::uint32_t>(shape.size()));
    for (std::size_t i = shape.size(); i > 0; --i) AppendLe(infos_, shape[i - 1]);
    AppendLe(infos_, type);
    AppendLe(infos_, offset);
    return *this;
  }
  GgufBuilder& ClaimTensors(std::uint64_t n) {
    tensors_ = n;
    return *this;
  }
  GgufBuilder& ClaimKeys(std::uint64_t n) {
    key_count_ = n;
    return *this;
  }

  std::string Bytes() const {
    std::string file = "GGUF";
    AppendLe(file, version_);
    AppendLe(file, tensors_);
    AppendLe(file, key_count_);
    file += keys_ + infos_;
    if (!data_.empty()) file.resize(AlignUp(file.size(), 32), '\0');
    return file + data_;
  }

 private:
  static void String(std::string& out, const std::string& text) {
    AppendLe<std::uint64_t>(out, text.size());
    out += text;
  }
  void Key(const std::string& key, std::uint32_t type) {
    ++key_count_;
    String(keys_, key);
    AppendLe(keys_, type);
  }

  std::uint32_t version_;
  std::uint64_t tensors_ = 0, key_count_ = 0;
  std::string keys_, infos_, data_;
};

// An empty directory, removed with the object.
class TestDirectory {
 public:
  TestDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "ingot_test_XXXXXX").string();
    INGOT_CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TestDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string Write(const std::string& name, const std::string& bytes) const {
    const std::string file = path_ + "/" + name;
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

 private:
  std::string path_;
};

inline std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace ingot::model
