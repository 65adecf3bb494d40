// rANS chunks and entropy planes, decoded where they will be used.
//
// Limits: chunks of up to 2^32 - 1 bytes; rows and columns below 2^31, at most 32 line classes (the
// format's).
//
// rans_chunks: a warp has a chunk, a lane one of its 32 states; lanes that run short take the next
// words in the order of lanes, as the format says:
//
//   word     |w0|w1|w2|...          lanes that need one: a ballot; a lane's word: those below it
//   state    R0 R1 R2 ... R31       symbol i is state i mod 32's
//   slot     4096 x u32 in shared memory: symbol << 24 | frequency - 1 << 12 | place in it
//
// entropy_rows: a block has a row. Codes lie by band, in a band by class of row plus column, in a
// class by row; so where a row's run of a class begins follows from how many rows of each class
// come before it:
//
//   begin(k) + sum over a of rows_before(a) columns(k - a)
//
// Floor: stored and decoded bytes over the copy bandwidth; reached only with thousands of chunks, a
// chunk's chain of states is serial.
// Bench: build/release/bin/cuda_bench --filter entropy
#include "loader/cuda/kernels/entropy_kernels.h"
#include "loader/cuda/kernels/launch_types.h"
#include "loader/cuda/launch.h"

namespace ingot::cuda {
namespace {

constexpr std::uint32_t kTotal = 1u << 12, kLowest = 1u << 15;
constexpr int kStates = 32;

// A cursor over a chunk's head; beyond the end there are no bytes.
struct Head {
  const std::uint8_t* bytes;
  std::uint32_t size;
  std::uint32_t at = 0;
  bool over = false;

  INGOT_DEVICE std::uint32_t Byte() {
    if (at >= size) {
      over = true;
      return 0;
    }
    return bytes[at++];
  }
  INGOT_DEVICE std::uint32_t Varint() {
    std::uint32_t value = 0;
    for (int i = 0; i < 5; ++i) {
      const std::uint32_t byte = Byte();
      if (value > 0xffffffffu >> 7) over = true;
      value = value << 7 | (byte & 0x7fu);
      if ((byte & 0x80u) == 0) return value;
    }
    over = true;
    return value;
  }
};

struct DecodeChunks {
  using Args = RansArgs;
  static constexpr int kThreads = kLanes;
  static constexpr std::size_t kSlotBytes = 4 * kTotal, kFrequencyBytes = 4 * 256;

  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.count),
            .threads = kThreads,
            .shared_bytes = kSlotBytes + kFrequencyBytes + 16};
  }

  static INGOT_DEVICE void Run(const Args& args) {
    const RansChunk chunk = args.chunks[BlockX()];
    const Shared<std::uint32_t> slots = SharedAt<std::uint32_t>(0, kTotal);
    const Shared<std::uint32_t> frequencies = SharedAt<std::uint32_t>(kSlotBytes, 256);
    const Shared<std::uint32_t> found = SharedAt<std::uint32_t>(kSlotBytes + kFrequencyBytes, 2);
    if (Lane() == 0) {
      Head head{chunk.stored, chunk.stored_bytes};
      const RansFault fault = ReadHead(head, chunk.out_bytes, frequencies);
      found.Set(0, static_cast<std::uint32_t>(fault));
      found.Set(1, head.at);
    }
    Sync();
    RansFault fault = static_cast<RansFault>(found.Get(0));
    if (fault == RansFault::kNone) {
      FillSlots(frequencies, slots);
      Sync();
      fault = Decode(chunk, found.Get(1), slots);
    }
    if (Lane() == 0) args.faults[BlockX()] = static_cast<std::int32_t>(fault);
  }

 private:
  // Everything up to the states; frequencies of all symbols, adding up to kTotal.
  static INGOT_DEVICE RansFault ReadHead(Head& head, std::uint32_t out_bytes,
                                         const Shared<std::uint32_t>& frequencies) {
    if (head.Byte() != 4) return RansFault::kHead;
    if (head.Varint() != out_bytes || head.over) return RansFault::kLength;
    if (!ReadAlphabet(head, frequencies)) return RansFault::kAlphabet;
    std::uint32_t total = 0;
    for (int s = 0; s < 256; ++s) {
      if (frequencies.Get(s) == 0) continue;
      const std::uint32_t frequency = head.Varint();
      if (head.over || frequency == 0 || frequency > kTotal) return RansFault::kFrequencies;
      frequencies.Set(s, frequency);
      total += frequency;
    }
    if (total == 0 || total > kTotal || (total & (total - 1)) != 0) return RansFault::kFrequencies;
    for (int s = 0; s < 256; ++s) frequencies.Set(s, frequencies.Get(s) * (kTotal / total));
    return head.size - head.at < 4 * kStates ? RansFault::kStates : RansFault::kNone;
  }

  // 1 for symbols that occur.
  static INGOT_DEVICE bool ReadAlphabet(Head& head, const Shared<std::uint32_t>& present) {
    for (int s = 0; s < 256; ++s) present.Set(s, 0);
    std::uint32_t symbol = head.Byte();
    do {
      present.Set(static_cast<int>(symbol), 1);
      const std::uint32_t next = head.Byte();
      if (head.over || (next != 0 && next <= symbol)) return false;
      if (next == symbol + 1) {
        const std::uint32_t run = head.Byte();
        if (head.over || next + run > 255) return false;
        for (std::uint32_t i = 0; i < run; ++i) present.Set(static_cast<int>(next + i), 1);
        symbol = next + run;
      } else {
        symbol = next;
      }
    } while (symbol != 0);
    return true;
  }

  static INGOT_DEVICE void FillSlots(const Shared<std::uint32_t>& frequencies,
                                     const Shared<std::uint32_t>& slots) {
    std::uint32_t begin = 0;
    for (std::uint32_t s = 0; s < 256; ++s) {
      const std::uint32_t frequency = frequencies.Get(static_cast<int>(s));
      for (std::uint32_t i = static_cast<std::uint32_t>(Lane()); i < frequency; i += kLanes)
        slots.Set(static_cast<int>(begin + i), s << 24 | (frequency - 1) << 12 | i);
      begin += frequency;
    }
  }

  static INGOT_DEVICE RansFault Decode(const RansChunk& chunk, std::uint32_t at,
                                       const Shared<std::uint32_t>& slots) {
    const std::uint8_t* p = chunk.stored + at + 4 * Lane();
    std::uint32_t state = p[0] | p[1] << 8 | p[2] << 16 | static_cast<std::uint32_t>(p[3]) << 24;
    if (Ballot(state < kLowest) != 0) return RansFault::kStates;
    std::uint64_t word = at + 4 * kStates;  // where the next one lies
    for (std::uint32_t i = 0; i < chunk.out_bytes; i += kStates) {
      const bool there = chunk.out_bytes - i > static_cast<std::uint32_t>(Lane());
      if (there) {
        const std::uint32_t slot = slots.Get(static_cast<int>(state & (kTotal - 1)));
        chunk.out[i + Lane()] = static_cast<std::uint8_t>(slot >> 24);
        state = ((slot >> 12 & (kTotal - 1)) + 1) * (state >> 12) + (slot & (kTotal - 1));
      }
      const unsigned short_of = Ballot(there && state < kLowest);
      const std::uint64_t own = word + 2u * Popcount(short_of & ((1u << Lane()) - 1u));
      word += 2u * Popcount(short_of);
      if (word > chunk.stored_bytes) return RansFault::kWords;
      if (there && state < kLowest)
        state = state << 16 | chunk.stored[own] | chunk.stored[own + 1] << 8;
    }
    return RansFault::kNone;
  }
};

constexpr int kLines = 32, kClasses = 2 * kLines - 1, kClassShift = 11;

struct PlaceRows {
  using Args = EntropyRowsArgs;
  static constexpr int kThreads = 256;

  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.rows),
            .threads = kThreads,
            .shared_bytes = sizeof(int) * (2 * kLines + 64 + 64)};
  }

  static INGOT_DEVICE void Run(const Args& args) {
    const Shared<int> before = SharedAt<int>(0, kLines);
    const Shared<int> in_band = SharedAt<int>(sizeof(int) * kLines, kLines);
    const Shared<int> sizes = SharedAt<int>(sizeof(int) * 2 * kLines, 64);
    const Shared<int> cursors = SharedAt<int>(sizeof(int) * (2 * kLines + 64), 64);
    const int row = static_cast<int>(BlockX()), band = row / args.band;
    const int first = band * args.band, rows = Least(args.band, args.rows - first);
    const std::uint32_t* begins = args.begins + static_cast<std::int64_t>(band) * (kLines + 1);
    CountRows(args, first, rows, row, before, in_band);
    const auto columns = [&](int b) {
      return b < 0 || b >= kLines ? 0 : static_cast<int>(begins[b + 1] - begins[b]);
    };
    const int k = static_cast<int>(ThreadX());
    int earlier = 0;
    if (k < kClasses) {
      int size = 0;
      for (int a = 0; a < kLines; ++a) {
        size += in_band.Get(a) * columns(k - a);
        earlier += before.Get(a) * columns(k - a);
      }
      sizes.Set(k, size);
    }
    Sync();
    if (k < kClasses) {
      for (int j = 0; j < k; ++j) earlier += sizes.Get(j);
      cursors.Set(k, earlier);
    }
    Sync();
    const std::uint16_t record = args.records[row];
    if (k == 0) args.scales[row] = static_cast<std::uint16_t>((record & 0x7ffu) << 4);
    const std::uint8_t* codes = args.codes + static_cast<std::int64_t>(first) * args.cols;
    const std::uint32_t* order = args.order + static_cast<std::int64_t>(band) * args.cols;
    std::uint8_t* out = args.out + static_cast<std::int64_t>(row) * args.cols;
    int escapes = 0;
    for (int b = 0; b < kLines; ++b) {
      const std::uint8_t* run = codes + cursors.Get((record >> kClassShift) + b);
      const int begin = static_cast<int>(begins[b]);
      for (int i = k; i < columns(b); i += kThreads) {
        escapes += run[i] == 0;
        out[order[begin + i]] = run[i];
      }
    }
    if (escapes > 0) AtomicAdd(args.escapes, escapes);
  }

 private:
  // Rows of each class: before `row`, and in the whole band.
  static INGOT_DEVICE void CountRows(const Args& args, int first, int rows, int row,
                                     const Shared<int>& before, const Shared<int>& in_band) {
    if (static_cast<int>(ThreadX()) < kLines) {
      before.Set(static_cast<int>(ThreadX()), 0);
      in_band.Set(static_cast<int>(ThreadX()), 0);
    }
    Sync();
    for (int r = first + static_cast<int>(ThreadX()); r < first + rows; r += kThreads) {
      const int line = args.records[r] >> kClassShift;
      in_band.Add(line, 1);
      if (r < row) before.Add(line, 1);
    }
    Sync();
  }
};

}  // namespace

extern "C" int launch_rans_chunks(const RansArgs* args, void* stream) {
  if (args->count < 0) return kBadArguments;
  return Launch<DecodeChunks>(*args, stream);
}

extern "C" int launch_entropy_rows(const EntropyRowsArgs* args, void* stream) {
  // A band's codes are counted in 32 bits.
  if (args->rows < 0 || args->cols <= 0 || args->band <= 0 ||
      std::int64_t{args->band} * args->cols > 0x7fffffff)
    return kBadArguments;
  return Launch<PlaceRows>(*args, stream);
}

}  // namespace ingot::cuda
