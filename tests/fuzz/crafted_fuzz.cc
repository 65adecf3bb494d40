// Artifacts with right digests through all that reads one: open, verify, inspect, load, run two
// tokens, decode and export. The mutator changes the manifest's values and the bytes of streams,
// and rebuilds the digests; inputs are whole artifacts of tiny models.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>

#include "artifact/reader.h"
#include "base/parallel.h"
#include "inspect/summary.h"
#include "loader/ingot.h"
#include "pack/export_model.h"
#include "tests/fuzz/rebuilt_artifact.h"

namespace {

using namespace ingot;
using artifact::Crafted;
using artifact::CraftedChunk;
using artifact::CraftedStream;
using artifact::Json;

constexpr std::uint64_t kMaxDecoded = 16 << 20;  // the fuzzer's time, not a reader's bound

const char* const kWords[] = {"int",
                              "fp8",
                              "sparse",
                              "raw",
                              "raw_split",
                              "remainder16",
                              "remainder32",
                              "entropy",
                              "hadamard",
                              "f32",
                              "column_scale",
                              "f16",
                              "bf16",
                              "i8",
                              "f8_e4m3",
                              "symmetric",
                              "asymmetric",
                              "normal",
                              "log",
                              "q8",
                              "",
                              "model.safetensors",
                              "tokenizer.json",
                              "__metadata__",
                              "router",
                              "shared",
                              "\x1b[2J\n",
                              "llama",
                              "bits",
                              "group",
                              "block",
                              "dtype",
                              "levels",
                              "scales",
                              "format",
                              "dependent",
                              "vq",
                              "lowrank",
                              "dimension",
                              "rank",
                              "factors",
                              "trellis",
                              "state",
                              "tile"};
const std::int64_t kNumbers[] = {0,
                                 1,
                                 -1,
                                 2,
                                 3,
                                 7,
                                 8,
                                 15,
                                 16,
                                 17,
                                 31,
                                 32,
                                 33,
                                 63,
                                 64,
                                 65,
                                 127,
                                 128,
                                 255,
                                 256,
                                 4095,
                                 4096,
                                 4097,
                                 65535,
                                 65536,
                                 1 << 20,
                                 1 << 22,
                                 std::int64_t{1} << 31,
                                 std::int64_t{1} << 32,
                                 std::int64_t{1} << 48,
                                 std::int64_t{1} << 62,
                                 std::numeric_limits<std::int64_t>::max()};

std::uint64_t Below(Random& random, std::uint64_t n) { return random.Next() % n; }

Json NewValue(Random& random, const Json& old) {
  switch (Below(random, 8)) {
    case 0:
      return kWords[Below(random, std::size(kWords))];
    case 1:
      return kNumbers[Below(random, std::size(kNumbers))];
    case 2:
      return Json::array();
    case 3:
      return random.Uniform() * 1e9 - 5e8;
    case 4:
      return nullptr;
    default:
      if (old.is_string()) return kWords[Below(random, std::size(kWords))];
      if (!old.is_number_integer()) return kNumbers[Below(random, std::size(kNumbers))];
      // Near the old one: what checks by a hair must not miss.
      return static_cast<std::int64_t>(old.get<std::uint64_t>() + (Below(random, 2) == 0
                                                                       ? Below(random, 3) - 1
                                                                       : old.get<std::uint64_t>()));
  }
}

// Walks down from `node` to a value somewhere below, and changes it or its place in the list.
void MutateJson(Random& random, Json& node, int depth) {
  if (!node.is_structured() || node.empty() || (depth > 0 && Below(random, 8) == 0)) {
    if (depth > 0) node = NewValue(random, node);
    return;
  }
  auto at = node.begin();
  std::advance(at, Below(random, node.size()));
  const std::uint64_t how = Below(random, 40);
  if (how == 0 && depth > 0) {
    node.erase(at);
  } else if (how == 1 && node.is_array() && node.size() < 64) {
    node.push_back(Json(*at));
  } else if (how == 2 && node.is_object()) {
    node[kWords[Below(random, std::size(kWords))]] = Json(*at);
  } else {
    MutateJson(random, *at, depth + 1);
  }
}

// A chunk of other bytes, coded as it was or in another way.
void MutateChunk(Random& random, CraftedChunk& chunk) {
  std::vector<std::uint8_t> bytes = chunk.stored;
  const bool decoded = Below(random, 4) != 0;
  if (decoded) {
    bytes.resize(chunk.decoded_bytes);
    if (!artifact::DecodeChunk(chunk.coding, chunk.stored, bytes).ok()) bytes = chunk.stored;
  }
  for (std::uint64_t n = 1 + Below(random, 8); n > 0 && !bytes.empty(); --n) {
    std::uint8_t& byte = bytes[Below(random, bytes.size())];
    const std::uint8_t values[] = {0,
                                   0xff,
                                   0x7f,
                                   0x80,
                                   static_cast<std::uint8_t>(byte + 1),
                                   static_cast<std::uint8_t>(random.Next())};
    byte = values[Below(random, std::size(values))];
  }
  if (Below(random, 8) == 0) bytes.resize(1 + Below(random, 2 * bytes.size() + 1));
  if (!decoded && chunk.coding != artifact::ChunkCoding::kRaw) {
    if (bytes.size() <= chunk.decoded_bytes) chunk.stored = std::move(bytes);
    return;
  }
  const auto coded =
      artifact::EncodeChunk(static_cast<artifact::CodingHint>(Below(random, 3)), bytes);
  chunk.coding = coded.coding;
  chunk.decoded_bytes = static_cast<std::uint32_t>(bytes.size());
  chunk.stored.assign(coded.stored.begin(), coded.stored.end());
}

void Mutate(Random& random, Crafted& crafted) {
  for (std::uint64_t n = 1 + Below(random, 3); n > 0; --n) {
    CraftedStream& stream = crafted.streams[Below(random, crafted.streams.size())];
    switch (Below(random, 8)) {
      case 0:
      case 1:
        if (!stream.empty()) MutateChunk(random, stream[Below(random, stream.size())]);
        break;
      case 2:
        std::swap(stream, crafted.streams[Below(random, crafted.streams.size())]);
        break;
      default:
        // Tensors are most of a manifest, but config says more.
        MutateJson(random,
                   Below(random, 3) == 0 && crafted.manifest.contains("config")
                       ? crafted.manifest["config"]
                       : crafted.manifest,
                   0);
    }
  }
}

// A folder in memory where there is one; it goes with the process.
class Folder {
 public:
  Folder() {
    const bool shared = ::access("/dev/shm", W_OK) == 0;
    path_ = shared ? "/dev/shm/ingot_fuzz_XXXXXX" : "/tmp/ingot_fuzz_XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void Run(const std::shared_ptr<const artifact::ArtifactReader>& reader) {
  loader::ModelOptions options;
  options.max_decoded_bytes = kMaxDecoded;
  const auto model = loader::Model::FromArtifact(reader, options);
  if (!model.ok()) return;
  loader::SessionOptions session_options;
  session_options.context = 8;
  loader::Session session(*model, session_options);
  const model::TokenId ids[] = {1, 2};
  if ((*model)->architecture().masked) return;
  if (session.Prefill(ids).ok()) (void)session.Decode(3);
  if (const auto tokenizer = (*model)->tokenizer(); tokenizer.ok())
    (void)(*tokenizer)->Encode("Hello, wide world", true);
}

void Export(const artifact::ArtifactReader& reader) {
  static const Folder folder;
  pack::ExportOptions options;
  options.target = folder.path() + "/out";
  options.max_decoded_bytes = kMaxDecoded;
  (void)pack::ExportModel(reader, options);
  std::error_code ignored;
  std::filesystem::remove_all(options.target, ignored);
  // Whatever went wrong, nothing half-made stays.
  if (!std::filesystem::is_empty(folder.path(), ignored)) std::abort();
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  auto crafted = Crafted::TakeApart({data, size});
  if (!crafted.has_value() || crafted->streams.empty()) return size;
  Random random(seed);
  Mutate(random, *crafted);
  const std::vector<std::uint8_t> file = crafted->PutTogether(Below(random, 8) != 0);
  if (file.size() > max_size) return size;
  std::memcpy(data, file.data(), file.size());
  return file.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  SetThreads(1);
  const int fd = ::memfd_create("artifact", 0);
  if (fd < 0 || ::write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  auto opened = artifact::ArtifactReader::Open("/proc/self/fd/" + std::to_string(fd), {});
  ::close(fd);
  if (!opened.ok()) return 0;
  const std::shared_ptr<const artifact::ArtifactReader> reader = *std::move(opened);
  const auto damage = reader->VerifyAll({});
  if (!damage.ok() || !damage->empty()) return 0;
  const inspect::Summary summary = inspect::Summarize(*reader, nullptr);
  (void)inspect::SummaryText(summary, "fuzzed", true);
  (void)inspect::SummaryJson(summary).dump();
  Run(reader);
  Export(*reader);
  return 0;
}
