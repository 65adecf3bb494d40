// Lines that a person types in a terminal: with editing and the lines before, where the build has
// libedit, else as the terminal itself does it. What was typed is kept as long as the object and
// written nowhere.
//
// Thread rule: an object belongs to one thread; one at a time, since it owns the terminal.
#pragma once

#include <memory>
#include <string>

namespace ingot::cli {

class LineEditor {
 public:
  // `prompt`: shown on stderr before each line.
  explicit LineEditor(std::string prompt);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // The next line without its end; false where there is none.
  bool Read(std::string& line);
  // Whether lines can be edited and brought back.
  static bool Edits();

 private:
  struct Impl;
  std::string prompt_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::cli
