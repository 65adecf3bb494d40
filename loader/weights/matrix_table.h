// The WeightSet that both loaders fill: matrices by name, and whatever keeps their bytes alive.
//
// Thread rule: filled by one thread, then immutable.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "loader/weights/resident.h"

namespace ingot::loader {

class MatrixTable : public WeightSet {
 public:
  // `owner` keeps mapped bytes alive as long as this table.
  explicit MatrixTable(std::shared_ptr<const void> owner) : owner_(std::move(owner)) {}

  const ResidentMatrix* Find(std::string_view name) const override;
  std::uint64_t resident_bytes() const override { return resident_bytes_; }

  // REQUIRES: the matrix is complete and its name new.
  void Add(std::unique_ptr<ResidentMatrix> matrix);

 private:
  std::shared_ptr<const void> owner_;
  std::map<std::string, std::unique_ptr<ResidentMatrix>, std::less<>> matrices_;
  std::uint64_t resident_bytes_ = 0;
};

// Appends a plane with these streams to the matrix. Views of earlier planes stay valid only after
// BindSpecs.
void AddPlane(ResidentMatrix& matrix, codecs::PlaneSpec spec, std::vector<ByteSpan> streams);

// Points every view at its spec, which AddPlane may have moved; then checks every plane's
// attributes and sizes by its kind and prepares it for the kernels. Errors name the plane.
Status FinishMatrix(ResidentMatrix& matrix);

}  // namespace ingot::loader
