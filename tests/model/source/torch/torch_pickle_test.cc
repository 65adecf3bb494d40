// The restricted unpickler, its objects and the state dict in them, on hand-written and real
// pickles.
#include "model/source/torch/torch_pickle.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/file.h"
#include "model/source/torch/torch_state_dict.h"

namespace ingot::model {
namespace {

using namespace std::string_view_literals;

std::string Text(std::string_view text) {
  std::string out = "X";
  const auto n = static_cast<std::uint32_t>(text.size());
  out.append(reinterpret_cast<const char*>(&n), 4);
  return out + std::string(text);
}

std::string Number(std::int32_t n) {
  return "J" + std::string(reinterpret_cast<const char*>(&n), 4);
}

std::string Long(std::int64_t n) {
  return "\x8a\x08" + std::string(reinterpret_cast<const char*>(&n), 8);
}

std::string Storage(std::string_view type, std::string_view key, const std::string& elements) {
  return "(" + Text("storage") + "ctorch\n" + std::string(type) + "\n" + Text(key) + Text("cpu") +
         elements + "tQ";
}

// A tensor of one or more dimensions; shape and strides are pickled numbers.
std::string Tensor(const std::string& storage, const std::string& first, const std::string& shape,
                   const std::string& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + first + "(" + shape + "t(" + strides +
         "t\x89}tR";
}

std::string Dict(const std::string& items) { return "\x80\x02}(" + items + "u."; }

// One tensor "a" of eight floats in storage "0".
std::string OneTensor(const std::string& first, const std::string& shape,
                      const std::string& strides) {
  return Dict(Text("a") + Tensor(Storage("FloatStorage", "0", Number(8)), first, shape, strides));
}

Status StatusOf(std::string_view pickle) { return ParseStateDict(AsBytes(pickle)).status(); }

void ExpectFails(std::string_view pickle, StatusCode code, std::string_view part) {
  const Status status = StatusOf(pickle);
  EXPECT_EQ(status.code(), code) << status.message();
  EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  EXPECT_EQ(status.message().find('\n'), std::string::npos);
}

std::string Corpus(const char* name) {
  auto text =
      ReadFileToString(std::string(INGOT_SOURCE_DIR) + "/tests/fuzz/corpus/torch_pickle/" + name);
  EXPECT_TRUE(text.ok());
  return text.ok() ? *std::move(text) : std::string();
}

TEST(TorchPickle, ReadsOneTensor) {
  const std::string pickle = OneTensor(Number(1), Number(2) + Number(3), Number(3) + Number(1));
  const auto state = ParseStateDict(AsBytes(pickle));
  ASSERT_TRUE(state.ok()) << state.status().message();
  ASSERT_EQ(state->tensors.size(), 1u);
  const StateDictTensor& a = state->tensors[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.dtype, "F32");
  EXPECT_EQ(a.storage, "0");
  EXPECT_EQ(a.first, 1u);
  EXPECT_EQ(a.shape, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(a.strides, (std::vector<std::uint64_t>{3, 1}));
  EXPECT_EQ(state->consumed, pickle.size());
}

TEST(TorchPickle, GlobalsAreRefusedByName) {
  using enum StatusCode;
  ExpectFails(
      "\x80\x02"
      "cposix\nsystem\n",
      kUnsupported, "'posix.system'; only tensors are read");
  ExpectFails(
      "\x80\x02"
      "c__builtin__\neval\n",
      kUnsupported, "nothing in the file was executed");
  ExpectFails(
      "\x80\x04\x8c\x08"
      "builtins\x8c\x04"
      "exec\x93.",
      kUnsupported, "'builtins.exec'");
  ExpectFails(
      "\x80\x02"
      "ctorch\nload\n",
      kUnsupported, "'torch.load'");
  ExpectFails(
      "\x80\x02"
      "ctorch._utils\n_rebuild_qtensor\n",
      kUnsupported, "_rebuild_qtensor");
  ExpectFails(
      "\x80\x02"
      "ca\x01\x02\nb\n",
      kUnsupported, "'a??.b'");
  ExpectFails(
      "\x80\x02"
      "(iposix\nsystem\n",
      kUnsupported, "opcode 0x69");  // INST
  ExpectFails("\x80\x02(c", kCorruption, "without its end");
  ExpectFails("\x80\x02\x82\x01", kUnsupported, "opcode 0x82");  // EXT1
  ExpectFails(
      "\x80\x02"
      "ctorch\nFloatStorage\n)R.",
      kUnsupported, "calls a storage class");
  ExpectFails(Corpus("shell4"), kUnsupported, "system'; only tensors are read");
}

TEST(TorchPickle, TensorsOutsideTheirStorage) {
  using enum StatusCode;
  EXPECT_TRUE(StatusOf(OneTensor(Number(7), Number(1), Number(1))).ok());
  ExpectFails(OneTensor(Number(8), Number(1), Number(1)), kCorruption, "storage of 8 elements");
  ExpectFails(OneTensor(Number(0), Number(2) + Number(2), Number(7) + Number(1)), kCorruption,
              "reaches past");
  ExpectFails(OneTensor(Number(-1), Number(1), Number(1)), kCorruption, "offset");
  ExpectFails(OneTensor(Number(0), Number(-1), Number(1)), kCorruption, "size");
  ExpectFails(OneTensor(Number(0), Number(2), Number(-1)), kCorruption, "stride");
  ExpectFails(OneTensor(Number(0), Number(2), Number(1) + Number(1)), kCorruption, "2 strides");
  ExpectFails(OneTensor(Number(0), Number(9), Number(0)), kUnsupported, "expanded view");
  const std::string huge = Long(std::int64_t{1} << 62);
  ExpectFails(OneTensor(Number(0), huge + huge + huge, Number(0) + Number(0) + Number(0)),
              kCorruption, "2^59");
  ExpectFails(OneTensor(huge, Number(5) + Number(1), huge + Number(1)), kCorruption,
              "reaches past");
  ExpectFails(OneTensor(Number(0), Number(5), huge), kCorruption, "reaches past");
  EXPECT_TRUE(StatusOf(OneTensor(Number(0), Number(0), Number(1))).ok());
  ExpectFails(OneTensor(Number(0), Number(0) + huge, huge + Number(1)), kCorruption, "2^59");
  std::string many;
  for (int i = 0; i < 9; ++i) many += Number(1);
  ExpectFails(OneTensor(Number(0), many, many), kLimit, "9 dimensions");
}

TEST(TorchPickle, StoragesThatLie) {
  using enum StatusCode;
  const auto one = [](const std::string& storage) {
    return Tensor(storage, Number(0), Number(1), Number(1));
  };
  ExpectFails(Dict(Text("a") + one(Storage("FloatStorage", "0", Long(INT64_MAX)))), kCorruption,
              "claims");
  ExpectFails(Dict(Text("a") + one(Storage("FloatStorage", "0", Number(-1)))), kCorruption,
              "number of elements");
  ExpectFails(Dict(Text("a") + one(Storage("FloatStorage", "", Number(1)))), kCorruption, "key");
  ExpectFails(Dict(Text("a") + one(Storage("FloatStorage", std::string(256, 'k'), Number(1)))),
              kCorruption, "256 bytes");
  ExpectFails(Dict(Text("a") + one(Storage("FloatStorage", "0", Number(1))) + Text("b") +
                   one(Storage("FloatStorage", "0", Number(2)))),
              kCorruption, "two ways");
  ExpectFails(Dict(Text("a") + one(Storage("float32", "0", Number(1)))), kCorruption, "class");
  ExpectFails("\x80\x02(" + Text("module") + "NNNNtQ.", kUnsupported, "not a 'storage'");
}

TEST(TorchPickle, StateDictsThatAreNone) {
  using enum StatusCode;
  const std::string tensor =
      Tensor(Storage("FloatStorage", "0", Number(1)), Number(0), Number(1), Number(1));
  ExpectFails("\x80\x02].", kUnsupported, "holds a list");
  ExpectFails("\x80\x02}.", kUnsupported, "empty dict");
  ExpectFails(Dict(Text("a") + tensor + Text("epoch") + Number(3)), kUnsupported,
              "'epoch' is a number");
  ExpectFails(Dict(Number(1) + tensor), kUnsupported, "a number as a name");
  ExpectFails(Dict(Text("a") + tensor + Text("a") + tensor), kCorruption, "there twice");
  ExpectFails(Dict(Text("\xff\xfe") + tensor), kCorruption, "not UTF-8");
  // A dict that holds itself as its "model".
  ExpectFails("\x80\x02}q\x01" + Text("model") + "h\x01s.", kCorruption, "too deep");
  EXPECT_TRUE(
      StatusOf(Dict(Text("epoch") + Number(3) + Text("model") + "}(" + Text("a") + tensor + "u"))
          .ok());
}

TEST(TorchPickle, BrokenStacks) {
  using enum StatusCode;
  for (const std::string_view pickle :
       {"\x80\x02."sv, "\x80\x02t."sv, "\x80\x02R."sv, "\x80\x02NN."sv, "\x80\x02(."sv,
        "\x80\x02(N."sv, "\x80\x02}(Nu."sv, "\x80\x02Na."sv, "\x80\x02h\x05."sv, "\x80\x02q\x05."sv,
        "\x80\x02N(b."sv, "\x80\x02N(\x85."sv, "\x80\x02NQ."sv, "\x80\x02NNR."sv,
        "\x80\x02X\xff\xff\xff\xff"sv, "\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\xff"sv,
        "\x80\x02\x8b\xff\xff\xff\xff"sv, ""sv, "}."sv})
    EXPECT_EQ(StatusOf(pickle).code(), kCorruption) << testing::PrintToString(pickle);
  ExpectFails("\x80\x01N.", kUnsupported, "protocol 1");
  ExpectFails("\x80\x06N.", kUnsupported, "protocol 6");
}

// Objects and copies are bounded however they are multiplied through the memo.
TEST(TorchPickle, Bombs) {
  std::string objects = "\x80\x02";
  objects.append(kMaxPickleObjects + 1, ')');
  EXPECT_EQ(StatusOf(objects + ".").code(), StatusCode::kLimit);
  std::string marks = "\x80\x02";
  marks.append(kMaxPickleObjects + 1, '(');
  EXPECT_EQ(StatusOf(marks + ".").code(), StatusCode::kLimit);
  std::string pairs =
      "\x80\x02NN\x86q\x01"
      "0]q\x02(";
  for (int i = 0; i < 5000; ++i) pairs += "h\x01";
  pairs +=
      "eccollections\nOrderedDict\nq\x03h\x02\x85q\x04"
      "00";
  for (int i = 0; i < 5000; ++i) pairs += "h\x03h\x04R";
  EXPECT_EQ(StatusOf(pairs + ".").code(), StatusCode::kLimit);
}

TEST(TorchPickle, TruncatedAtEveryLengthAndEveryByteFlipped) {
  for (const char* name :
       {"plain", "types", "views", "nested", "module_state", "parameters", "protocol4"}) {
    const std::string pickle = Corpus(name);
    ASSERT_TRUE(StatusOf(pickle).ok()) << name << ": " << StatusOf(pickle).message();
    for (std::size_t n = 0; n < pickle.size(); ++n)
      EXPECT_FALSE(StatusOf(std::string(pickle, 0, n)).ok()) << name << " cut to " << n;
    for (std::size_t i = 0; i < pickle.size(); ++i)
      for (const int mask : {0x01, 0x10, 0x80, 0xff}) {
        std::string flipped = pickle;
        flipped[i] = static_cast<char>(flipped[i] ^ mask);
        const auto state = ParseStateDict(AsBytes(flipped));  // an error, or tensors that fit
        EXPECT_EQ(state.ok(), state.status().message().empty());
      }
  }
}

}  // namespace
}  // namespace ingot::model
