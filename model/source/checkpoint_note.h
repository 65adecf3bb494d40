// What a source says of what is in its files but not in its view.
//
// Thread rule: values.
#pragma once

#include <string>

#include "model/source/checkpoint.h"

namespace ingot::model {

// A checkpoint that may leave something out has this face, too.
class HasNote {
 public:
  virtual ~HasNote() = default;
  // One line for a person; empty: nothing was left out.
  virtual const std::string& note() const = 0;
};

inline std::string NoteOf(const Checkpoint& checkpoint) {
  const auto* noted = dynamic_cast<const HasNote*>(&checkpoint);
  return noted == nullptr ? std::string() : noted->note();
}

}  // namespace ingot::model
