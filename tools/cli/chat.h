// `ingot run --chat`: a conversation in a terminal, or of lines from a pipe.
//
// Thread rule: one conversation at a time, since it owns Ctrl-C.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "loader/generate.h"
#include "loader/session.h"
#include "model/chat/chat_format.h"

namespace ingot::cli {

struct ChatRequest {
  const model::ChatFormat* format = nullptr;
  std::vector<model::ChatMessage> messages;  // so far
  loader::GenerateOptions generate;
  std::vector<std::string> stops;
  bool stats = false;
};

// A template's error, with what does without it.
Status WithoutTemplate(const Status& status);

// Adds what ends an answer by the format.
Status PrepareChat(loader::Session& session, ChatRequest& request);

// The conversation up to where the model answers, as tokens that are new to the session: what it
// holds of them already stays, the rest of it goes.
Result<std::vector<model::TokenId>> ChatIds(loader::Session& session, const ChatRequest& request);

// Reads a line, answers, until the input ends or says /exit; /clear starts anew. Ctrl-C ends an
// answer, not the conversation.
Status Chat(loader::Session& session, ChatRequest request);

}  // namespace ingot::cli
