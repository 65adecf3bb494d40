#include "tools/cli/chat.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "tools/cli/common.h"
#include "tools/cli/line_editor.h"
#include "tools/cli/model_text.h"
#include "tools/cli/policy_options.h"
#include "tools/cli/signals.h"
#include "tools/cli/until_stop.h"
#include "untrusted/text_input.h"

namespace ingot::cli {
namespace {

std::string Help() {
  return fmt::format("/clear starts anew, /exit or Ctrl-D ends; Ctrl-C ends an answer{}\n",
                     LineEditor::Edits() ? "; Up brings lines back" : "");
}

class Conversation {
 public:
  Conversation(loader::Session& session, ChatRequest request)
      : session_(session), request_(std::move(request)), opening_(request_.messages) {}

  Status Run() {
    const bool person = ::isatty(STDIN_FILENO) == 1;
    std::optional<LineEditor> editor;  // a person's
    if (person) {
      PrintError("{}", Help());
      editor.emplace("> ");
    }
    for (std::string line; ReadLine(editor, line);) {
      if (line.empty()) continue;
      if (line == "/exit" || line == "/quit") break;
      if (line == "/help" || line == "/clear") {
        if (line == "/clear") request_.messages = opening_;
        PrintError("{}", line == "/help" ? Help() : "the conversation starts anew\n");
        continue;
      }
      INGOT_TRY(untrusted::CheckText(line));
      request_.messages.push_back({"user", line});
      const Status status = Answer();
      if (status.ok()) continue;
      if (!person || status.code() == StatusCode::kIo) return status;
      // What could not be answered was not said.
      Fail(status);
      request_.messages.pop_back();
    }
    if (person) PrintError("\n");
    return OkStatus();
  }

 private:
  bool ReadLine(std::optional<LineEditor>& editor, std::string& line) {
    interrupts_.SetHint("\n(/exit or Ctrl-D ends)\n> ");
    const bool read =
        editor.has_value() ? editor->Read(line) : static_cast<bool>(std::getline(std::cin, line));
    interrupts_.SetHint(nullptr);
    return read;
  }

  Status Answer() {
    INGOT_ASSIGN(const auto ids, ChatIds(session_, request_));
    std::string answer;
    bool ends_line = true;
    UntilStop until(request_.stops, [&](std::string_view piece) {
      answer += piece;
      ends_line = piece.ends_with('\n');
      return WriteText(piece);
    });
    (void)interrupts_.Asked();  // while nothing was written
    bool stopped = false;
    INGOT_ASSIGN(
        const loader::GenerateResult result,
        loader::GenerateFromIds(session_, ids, request_.generate, [&](std::string_view piece) {
          const bool goes_on = until.Add(piece);
          stopped = interrupts_.Asked();
          return goes_on && !stopped;
        }));
    if (!until.Finish() || until.failed()) return IoError("cannot write to standard output");
    if (!ends_line && !WriteText("\n")) return IoError("cannot write to standard output");
    if (stopped) PrintError("(interrupted)\n");
    if (result.stop == loader::StopReason::kContextFull)
      Warn("the context is full: /clear starts anew");
    if (result.stop == loader::StopReason::kMaxTokens)
      Warn(fmt::format("the answer was cut at {} tokens (-n)", request_.generate.max_tokens));
    if (request_.stats) {
      PrintError("{}\n", SpeedLine(result, 0));
      if (request_.generate.exits) PrintError("{}\n", ExitsLine(result.exits));
    }
    request_.messages.push_back({"assistant", std::move(answer)});
    return OkStatus();
  }

  loader::Session& session_;
  ChatRequest request_;
  std::vector<model::ChatMessage> opening_;
  StopOnInterrupt interrupts_;
};

}  // namespace

Status WithoutTemplate(const Status& status) {
  if (status.message().find("--no-template") != std::string::npos) return status;
  return {status.code(), status.message() + "; --no-template talks without it"};
}

Status PrepareChat(loader::Session& session, ChatRequest& request) {
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, session.model().tokenizer());
  request.generate.ends = request.format->EndsOfTurn(*tokenizer);
  if (const std::string stop = request.format->StopText(); !stop.empty())
    request.stops.push_back(stop);
  return OkStatus();
}

Result<std::vector<model::TokenId>> ChatIds(loader::Session& session, const ChatRequest& request) {
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, session.model().tokenizer());
  auto rendered = request.format->Text(request.messages, /*answer_next=*/true);
  if (!rendered.ok()) return WithoutTemplate(std::move(rendered).status());
  const std::string text = *std::move(rendered);
  INGOT_ASSIGN(std::vector<model::TokenId> ids,
               tokenizer->Encode(text, /*add_special=*/!request.format->HasTemplate()));
  if (ids.empty()) return InvalidArgument("the chat template makes an empty text");
  const auto held = session.sequence().ids();
  const auto differs = std::ranges::mismatch(ids, held);
  // The last token is run in any case: its logits are wanted.
  const auto same = std::min<std::ptrdiff_t>(differs.in1 - ids.begin(),
                                             static_cast<std::ptrdiff_t>(ids.size()) - 1);
  session.Truncate(static_cast<std::uint64_t>(same));
  ids.erase(ids.begin(), ids.begin() + same);
  return ids;
}

Status Chat(loader::Session& session, ChatRequest request) {
  return Conversation(session, std::move(request)).Run();
}

}  // namespace ingot::cli
