// Reading a plane's attributes strictly: every one that a kind knows must be there with the right
// type, and no other. Attributes come from files, so every failure is a Status.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "codecs/plane.h"

namespace ingot::codecs {

// Hands out the attributes of one plane by name and remembers how many were asked for.
class AttributeReader {
 public:
  explicit AttributeReader(const PlaneSpec& spec) : spec_(spec) {}

  bool Has(const std::string& name) const { return spec_.attributes.contains(name); }
  // InvalidArgument unless it is an integer in [low, high].
  Result<std::int64_t> Integer(const std::string& name, std::int64_t low, std::int64_t high);
  // InvalidArgument unless it is text.
  Result<std::string> Text(const std::string& name);
  // InvalidArgument unless it is a dtype's name.
  Result<DType> DTypeValue(const std::string& name);
  // InvalidArgument unless it is this text.
  Status Expect(const std::string& name, std::string_view value);
  // InvalidArgument where the plane has attributes beyond those read.
  Status Finish() const;

 private:
  Result<const Attribute*> Find(const std::string& name);

  const PlaneSpec& spec_;
  std::size_t read_ = 0;
};

// "int plane: group is 0, ..." in one voice.
Status BadAttribute(const PlaneSpec& spec, std::string_view name, std::string_view what);

// InvalidArgument unless 1 <= cols <= 2^40, the width that every size here is computed for.
Status CheckCols(std::uint64_t cols);

// Corruption unless the plane has `specs`' streams, and each one whose extent says its length has
// it.
Status CheckStreamSizes(const PlaneView& plane, const std::vector<StreamSpec>& specs);

}  // namespace ingot::codecs
