// Runs a fuzz target over its committed corpus without libFuzzer, so that every build and every
// compiler replays it. usage: <name>_replay DIRECTORY...
// Fails where a directory is missing or holds no file: an orphaned corpus must not pass.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
// Where a target knows the structure of its inputs, mutations of them are run, too.
extern "C" __attribute__((weak)) std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data,
                                                                     std::size_t size,
                                                                     std::size_t max_size,
                                                                     unsigned seed);

namespace {

// As many of each input as INGOT_MUTATIONS says (200), each from the one before it, now and then
// from the input again.
void RunMutations(const std::vector<std::uint8_t>& input) {
  const char* count = std::getenv("INGOT_MUTATIONS");
  const unsigned long mutations = count != nullptr ? std::strtoul(count, nullptr, 10) : 200;
  const std::size_t most = 4 * input.size() + 4096;
  std::vector<std::uint8_t> bytes = input;
  for (unsigned seed = 0; seed < mutations; ++seed) {
    if (seed % 4 == 0) bytes = input;
    const std::size_t size = bytes.size();
    bytes.resize(most);
    bytes.resize(LLVMFuzzerCustomMutator(bytes.data(), size, most, seed));
    bytes.shrink_to_fit();
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
}

// Feeds every regular file of `directory`, in name order; the number fed, or -1.
int Replay(const std::string& directory) {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    if (entry.is_regular_file()) files.push_back(entry.path());
  if (error) {
    std::fprintf(stderr, "%s: %s\n", directory.c_str(), error.message().c_str());
    return -1;
  }
  std::sort(files.begin(), files.end());
  for (const auto& path : files) {
    std::ifstream stream(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(stream), {}};
    if (!stream.is_open() || stream.bad()) {
      std::fprintf(stderr, "%s: cannot read\n", path.c_str());
      return -1;
    }
    // An exact heap copy, so that a sanitizer sees a read past the end, even of an empty input.
    const std::vector<std::uint8_t> input(bytes.begin(), bytes.end());
    LLVMFuzzerTestOneInput(input.data(), input.size());
    if (LLVMFuzzerCustomMutator != nullptr) RunMutations(input);
  }
  return static_cast<int>(files.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY...\n", argv[0]);
    return 2;
  }
  int total = 0;
  for (int i = 1; i < argc; ++i) {
    const int count = Replay(argv[i]);
    if (count < 0) return 1;
    if (count == 0) {
      std::fprintf(stderr, "%s: no corpus file\n", argv[i]);
      return 1;
    }
    total += count;
  }
  std::printf("%d inputs replayed\n", total);
  return 0;
}
