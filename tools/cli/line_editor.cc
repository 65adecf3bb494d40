#include "tools/cli/line_editor.h"

#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <utility>

#include "tools/cli/common.h"

#ifdef INGOT_LIBEDIT
#include <histedit.h>
#include <langinfo.h>

#include <cerrno>
#include <clocale>
#include <string_view>
#endif

namespace ingot::cli {

#ifdef INGOT_LIBEDIT

struct LineEditor::Impl {
  EditLine* line = nullptr;
  History* history = nullptr;
};

namespace {

constexpr int kKeptLines = 1000;

char* PromptOf(EditLine* line) {
  void* prompt = nullptr;
  el_get(line, EL_CLIENTDATA, &prompt);
  return static_cast<char*>(prompt);
}

// Characters of more than one byte are edited whole only where the locale says that there are such.
void UseUtf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(::nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

bool LineEditor::Edits() { return true; }

LineEditor::LineEditor(std::string prompt)
    : prompt_(std::move(prompt)), impl_(std::make_unique<Impl>()) {
  UseUtf8();
  impl_->line = el_init("ingot", stdin, stderr, stderr);
  impl_->history = history_init();
  if (impl_->line == nullptr || impl_->history == nullptr) return;
  HistEvent event;
  ::history(impl_->history, &event, H_SETSIZE, kKeptLines);
  ::history(impl_->history, &event, H_SETUNIQUE, 1);
  el_set(impl_->line, EL_CLIENTDATA, prompt_.data());
  el_set(impl_->line, EL_PROMPT, PromptOf);
  el_set(impl_->line, EL_EDITOR, "emacs");
  el_set(impl_->line, EL_HIST, ::history, impl_->history);
  el_source(impl_->line, nullptr);  // ~/.editrc, where there is one
}

LineEditor::~LineEditor() {
  if (impl_->history != nullptr) history_end(impl_->history);
  if (impl_->line != nullptr) el_end(impl_->line);
}

bool LineEditor::Read(std::string& line) {
  if (impl_->line == nullptr || impl_->history == nullptr) return false;
  int bytes = 0;
  const char* read = nullptr;
  do {
    errno = 0;
    read = el_gets(impl_->line, &bytes);
  } while (read == nullptr && errno == EINTR);
  if (read == nullptr || bytes <= 0) return false;
  line.assign(read, static_cast<std::size_t>(bytes));
  while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
  HistEvent event;
  if (!line.empty()) ::history(impl_->history, &event, H_ENTER, line.c_str());
  return true;
}

#else

struct LineEditor::Impl {};

bool LineEditor::Edits() { return false; }

LineEditor::LineEditor(std::string prompt) : prompt_(std::move(prompt)) {}
LineEditor::~LineEditor() = default;

bool LineEditor::Read(std::string& line) {
  PrintError("{}", prompt_);
  std::fflush(stderr);
  return static_cast<bool>(std::getline(std::cin, line));
}

#endif

}  // namespace ingot::cli
