#pragma once

// The two ways an OpenAI answer reaches its client: whole, or as a stream of chunks.

#include <memory>

#include "api/generation.h"
#include "api/openai/answer.h"
#include "server/http_server.h"

namespace polymath::api {

struct WriterContext {
  AnswerHead head;
  AnswerPrompts prompts;
  std::string request_id;
  std::shared_ptr<server::HttpReply> reply;
  double silence_s_max = 15;  // a stream silent for longer sends a comment at its next flush(); 0: never
};

std::unique_ptr<AnswerWriter> make_writer(WriterContext context, int n_choices);

}  // namespace polymath::api
