#pragma once

// The two ways an OpenAI answer reaches its client: whole, or as a stream of chunks.

#include <memory>

#include "api/generation.h"
#include "api/openai/answer.h"
#include "api/openai/error.h"
#include "server/http_server.h"

namespace polymath::api {

struct WriterContext {
  AnswerHead head;
  AnswerPrompts prompts;
  int candidates = 1;  // choices of each prompt that are generated; head.n of them are shown
  std::string request_id;
  std::shared_ptr<server::HttpReply> reply;
  ErrorBody errors = openai_error;  // of answers that have not begun
  double silence_s_max = 15;        // a stream silent for longer sends a comment at its next flush(); 0: never
};

// Of context.candidates choices of each prompt. REQUIRES: as many as head.n for a stream.
std::unique_ptr<AnswerWriter> make_writer(WriterContext context);

}  // namespace polymath::api
