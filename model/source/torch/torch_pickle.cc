#include "model/source/torch/torch_pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace ingot::model {
namespace {

constexpr int kLastProtocol = 5;
constexpr std::uint64_t kMaxStack = kMaxPickleObjects;
constexpr std::uint64_t kMaxGlobalName = 1024;  // a line of GLOBAL

class Machine {
 public:
  explicit Machine(ByteSpan bytes) : bytes_(bytes) {}

  Result<Pickle> Run();

 private:
  Status Step(std::uint8_t opcode);
  Status StepScalar(std::uint8_t opcode);
  Status StepText(std::uint8_t opcode);
  Status StepContainer(std::uint8_t opcode);
  Status StepStack(std::uint8_t opcode);
  Status StepObject(std::uint8_t opcode);

  // Bytes after the opcode.
  Result<ByteSpan> Take(std::uint64_t n);
  Result<std::uint64_t> TakeLength(std::size_t length_bytes);
  Result<std::string_view> TakeLine();
  Status Long(ByteSpan digits);

  Status Push(PickleId id);
  Status PushNew(PickleObject object);
  Status PushText(PickleKind kind, std::size_t length_bytes);
  Status PushNumber(PickleKind kind, std::int64_t number);
  Result<PickleId> Pop();
  // What lies above the last mark; the mark goes, too.
  Result<std::vector<PickleId>> PopToMark();
  Result<std::vector<PickleId>> PopSome(std::size_t n);
  Status PushContainer(PickleKind kind, std::vector<PickleId> items);
  Status Extend(PickleKind kind, const std::vector<PickleId>& items);
  Status Put(std::uint64_t key);
  Status Get(std::uint64_t key);
  Status Build();

  ByteSpan bytes_;
  std::uint64_t at_ = 0;
  PickleObjects objects_;
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleId> memo_;
};

Result<ByteSpan> Machine::Take(std::uint64_t n) {
  if (n > bytes_.size() - at_)
    return Corruption(
        fmt::format("needs {} bytes, {} are left: truncated?", n, bytes_.size() - at_));
  const ByteSpan part = bytes_.subspan(at_, n);
  at_ += n;
  return part;
}

Result<std::uint64_t> Machine::TakeLength(std::size_t length_bytes) {
  INGOT_ASSIGN(const ByteSpan field, Take(length_bytes));
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) length |= std::uint64_t{field[i]} << 8 * i;
  return length;
}

Result<std::string_view> Machine::TakeLine() {
  const std::string_view rest = AsText(bytes_.subspan(at_)).substr(0, kMaxGlobalName);
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos) return Corruption("a name without its end");
  at_ += end + 1;
  return rest.substr(0, end);
}

Status Machine::Push(PickleId id) {
  if (stack_.size() >= kMaxStack)
    return LimitExceeded(fmt::format("more than {} values on the stack", kMaxStack));
  stack_.push_back(id);
  return OkStatus();
}

Status Machine::PushNew(PickleObject object) {
  INGOT_ASSIGN(const PickleId id, objects_.Add(std::move(object)));
  return Push(id);
}

Status Machine::PushNumber(PickleKind kind, std::int64_t number) {
  PickleObject object;
  object.kind = kind;
  object.number = number;
  return PushNew(std::move(object));
}

Status Machine::PushText(PickleKind kind, std::size_t length_bytes) {
  INGOT_ASSIGN(const std::uint64_t length, TakeLength(length_bytes));
  INGOT_ASSIGN(const ByteSpan text, Take(length));
  PickleObject object;
  object.kind = kind;
  object.text = AsText(text);
  return PushNew(std::move(object));
}

// Little-endian two's complement of any length.
Status Machine::Long(ByteSpan digits) {
  if (digits.size() > 8) {
    PickleObject object;
    object.kind = PickleKind::kBigInt;
    object.text = AsText(digits);
    return PushNew(std::move(object));
  }
  std::uint64_t value = !digits.empty() && digits.back() >= 0x80 ? ~std::uint64_t{0} : 0;
  for (std::size_t i = digits.size(); i-- > 0;) value = value << 8 | digits[i];
  return PushNumber(PickleKind::kInt, static_cast<std::int64_t>(value));
}

Result<PickleId> Machine::Pop() {
  const std::size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() <= floor) return Corruption("nothing on the stack");
  const PickleId id = stack_.back();
  stack_.pop_back();
  return id;
}

Result<std::vector<PickleId>> Machine::PopToMark() {
  if (marks_.empty()) return Corruption("no mark on the stack");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleId> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

Result<std::vector<PickleId>> Machine::PopSome(std::size_t n) {
  std::vector<PickleId> items(n);
  for (std::size_t i = n; i-- > 0;) {
    INGOT_ASSIGN(items[i], Pop());
  }
  return items;
}

Status Machine::PushContainer(PickleKind kind, std::vector<PickleId> items) {
  if (kind == PickleKind::kDict && items.size() % 2 != 0)
    return Corruption("a dict with a key that has no value");
  PickleObject object;
  object.kind = kind;
  object.items = std::move(items);
  return PushNew(std::move(object));
}

// Appends to the container on the top of the stack.
Status Machine::Extend(PickleKind kind, const std::vector<PickleId>& items) {
  INGOT_ASSIGN(const PickleId id, Pop());
  PickleObject& container = objects_.at(id);
  if (container.kind != kind)
    return Corruption(fmt::format("adds items to {}, not to {}", PickleKindName(container.kind),
                                  PickleKindName(kind)));
  if (kind == PickleKind::kDict && items.size() % 2 != 0)
    return Corruption("a dict with a key that has no value");
  container.items.insert(container.items.end(), items.begin(), items.end());
  return Push(id);
}

Status Machine::Put(std::uint64_t key) {
  INGOT_ASSIGN(const PickleId id, Pop());
  memo_[key] = id;
  return Push(id);
}

Status Machine::Get(std::uint64_t key) {
  const auto it = memo_.find(key);
  if (it == memo_.end()) return Corruption(fmt::format("nothing is memorised as {}", key));
  return Push(it->second);
}

// Attributes of a dict (a state dict's _metadata) hold no weights; other objects have none here.
Status Machine::Build() {
  INGOT_ASSIGN(const PickleId state, Pop());
  INGOT_ASSIGN(const PickleId target, Pop());
  const PickleKind kind = objects_.at(target).kind;
  if (kind != PickleKind::kDict || objects_.at(state).kind != PickleKind::kDict)
    return Unsupported(
        fmt::format("the pickle gives {} a state; only tensors are read, and nothing "
                    "in the file was executed",
                    PickleKindName(kind)));
  return Push(target);
}

Status Machine::StepScalar(std::uint8_t opcode) {
  switch (opcode) {
    case 'N':
      return PushNumber(PickleKind::kNone, 0);
    case 0x88:
      return PushNumber(PickleKind::kBool, 1);
    case 0x89:
      return PushNumber(PickleKind::kBool, 0);
    case 'G': {
      INGOT_TRY(Take(8).status());
      return PushNumber(PickleKind::kFloat, 0);  // no weight is ever a number of the pickle
    }
    case 0x8a:
    case 0x8b: {
      INGOT_ASSIGN(const std::uint64_t length, TakeLength(opcode == 0x8a ? 1 : 4));
      INGOT_ASSIGN(const ByteSpan digits, Take(length));
      return Long(digits);
    }
    default:
      break;
  }
  INGOT_ASSIGN(const std::uint64_t value, TakeLength(opcode == 'K' ? 1 : opcode == 'M' ? 2 : 4));
  return PushNumber(PickleKind::kInt, opcode == 'J' ? static_cast<std::int32_t>(value)
                                                    : static_cast<std::int64_t>(value));
}

Status Machine::StepText(std::uint8_t opcode) {
  switch (opcode) {
    case 'X':
      return PushText(PickleKind::kString, 4);
    case 'T':
      return PushText(PickleKind::kString, 4);
    case 'U':
      return PushText(PickleKind::kString, 1);
    case 0x8c:
      return PushText(PickleKind::kString, 1);
    case 0x8d:
      return PushText(PickleKind::kString, 8);
    case 'B':
      return PushText(PickleKind::kBytes, 4);
    case 'C':
      return PushText(PickleKind::kBytes, 1);
    default:
      return PushText(PickleKind::kBytes, 8);
  }
}

Status Machine::StepContainer(std::uint8_t opcode) {
  using enum PickleKind;
  switch (opcode) {
    case ')':
      return PushContainer(kTuple, {});
    case ']':
      return PushContainer(kList, {});
    case '}':
      return PushContainer(kDict, {});
    case 0x8f:
      return PushContainer(kSet, {});
    case 0x85:
    case 0x86:
    case 0x87: {
      INGOT_ASSIGN(std::vector<PickleId> items, PopSome(opcode - 0x84u));
      return PushContainer(kTuple, std::move(items));
    }
    case 'a':
    case 's': {
      INGOT_ASSIGN(const std::vector<PickleId> items, PopSome(opcode == 'a' ? 1 : 2));
      return Extend(opcode == 'a' ? kList : kDict, items);
    }
    default:
      break;
  }
  INGOT_ASSIGN(std::vector<PickleId> items, PopToMark());
  switch (opcode) {
    case 'e':
      return Extend(kList, items);
    case 'u':
      return Extend(kDict, items);
    case 0x90:
      return Extend(kSet, items);
    case 't':
      return PushContainer(kTuple, std::move(items));
    case 'l':
      return PushContainer(kList, std::move(items));
    case 'd':
      return PushContainer(kDict, std::move(items));
    default:
      return PushContainer(kSet, std::move(items));
  }
}

Status Machine::StepStack(std::uint8_t opcode) {
  switch (opcode) {
    case '(':
      if (marks_.size() >= kMaxStack) return LimitExceeded("too many marks on the stack");
      marks_.push_back(stack_.size());
      return OkStatus();
    case '1':
      return PopToMark().status();
    case '0':
      if (marks_.empty() || marks_.back() != stack_.size()) return Pop().status();
      marks_.pop_back();
      return OkStatus();
    case '2': {
      INGOT_ASSIGN(const PickleId id, Pop());
      INGOT_TRY(Push(id));
      return Push(id);
    }
    case 0x94:
      return Put(memo_.size());
    default:
      break;
  }
  INGOT_ASSIGN(const std::uint64_t key, TakeLength(opcode == 'q' || opcode == 'h' ? 1 : 4));
  return opcode == 'q' || opcode == 'r' ? Put(key) : Get(key);
}

Status Machine::StepObject(std::uint8_t opcode) {
  switch (opcode) {
    case 'c': {
      INGOT_ASSIGN(const std::string_view module, TakeLine());
      INGOT_ASSIGN(const std::string_view name, TakeLine());
      INGOT_ASSIGN(const PickleId id, objects_.AddName(module, name));
      return Push(id);
    }
    case 'Q': {
      INGOT_ASSIGN(const PickleId persistent_id, Pop());
      INGOT_ASSIGN(const PickleId id, objects_.AddStorage(persistent_id));
      return Push(id);
    }
    case 'b':
      return Build();
    default:
      break;
  }
  INGOT_ASSIGN(const std::vector<PickleId> pair, PopSome(2));
  if (opcode == 0x93) {
    const PickleObject& module = objects_.at(pair[0]);
    const PickleObject& name = objects_.at(pair[1]);
    if (module.kind != PickleKind::kString || name.kind != PickleKind::kString)
      return Corruption("a global whose name is not text");
    INGOT_ASSIGN(const PickleId id, objects_.AddName(module.text, name.text));
    return Push(id);
  }
  INGOT_ASSIGN(const PickleId id, objects_.Call(pair[0], pair[1]));
  return Push(id);
}

Status Machine::Step(std::uint8_t opcode) {
  switch (opcode) {
    case 0x80: {
      INGOT_ASSIGN(const std::uint64_t protocol, TakeLength(1));
      if (protocol < 2 || protocol > kLastProtocol)
        return Unsupported(
            fmt::format("pickle protocol {} (2 to {} are read)", protocol, kLastProtocol));
      return OkStatus();
    }
    case 0x95:
      return TakeLength(8).status();  // a hint for readers of streams
    case 'N':
    case 0x88:
    case 0x89:
    case 'J':
    case 'K':
    case 'M':
    case 'G':
    case 0x8a:
    case 0x8b:
      return StepScalar(opcode);
    case 'X':
    case 'T':
    case 'U':
    case 0x8c:
    case 0x8d:
    case 'B':
    case 'C':
    case 0x8e:
    case 0x96:
      return StepText(opcode);
    case ')':
    case ']':
    case '}':
    case 0x8f:
    case 0x85:
    case 0x86:
    case 0x87:
    case 'a':
    case 's':
    case 'e':
    case 'u':
    case 0x90:
    case 't':
    case 'l':
    case 'd':
    case 0x91:
      return StepContainer(opcode);
    case '(':
    case '0':
    case '1':
    case '2':
    case 0x94:
    case 'q':
    case 'r':
    case 'h':
    case 'j':
      return StepStack(opcode);
    case 'c':
    case 'Q':
    case 'b':
    case 'R':
    case 0x81:
    case 0x93:
      return StepObject(opcode);
    default:
      return Unsupported("torch.save does not write it; nothing in the file was executed");
  }
}

Result<Pickle> Machine::Run() {
  for (;;) {
    const std::uint64_t at = at_;
    INGOT_ASSIGN(const ByteSpan opcode, Take(1).At(fmt::format("pickle byte {}", at)));
    if (at == 0 && opcode[0] != 0x80) return Corruption("not a pickle of protocol 2 or later");
    if (opcode[0] == '.') break;
    INGOT_TRY(Step(opcode[0]).At(fmt::format("pickle byte {}, opcode 0x{:02x}", at, opcode[0])));
  }
  if (stack_.size() != 1 || !marks_.empty())
    return Corruption(fmt::format("the pickle ends with {} values instead of one", stack_.size()));
  return Pickle{std::move(objects_), stack_.front(), at_};
}

}  // namespace

Result<Pickle> Unpickle(ByteSpan bytes) {
  Result<Pickle> pickle =
      Machine(bytes.first(std::min<std::uint64_t>(bytes.size(), kMaxPickleBytes))).Run();
  if (!pickle.ok() && bytes.size() > kMaxPickleBytes &&
      pickle.status().code() == StatusCode::kCorruption)
    return std::move(pickle).At(fmt::format("only {} bytes of a pickle are read", kMaxPickleBytes));
  return pickle;
}

}  // namespace ingot::model
