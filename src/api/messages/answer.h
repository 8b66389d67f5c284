#pragma once

// Answers of Anthropic's Messages API: whole, or as a stream of events.

#include <memory>
#include <string>

#include "api/generation.h"
#include "api/status.h"
#include "server/http_server.h"

namespace polymath::api {

struct MessagesContext {
  std::string model;  // as the request named it
  std::string request_id;
  std::shared_ptr<server::HttpReply> reply;
  double silence_s_max = 15;  // as EventStream has it
};

std::unique_ptr<AnswerWriter> make_messages_writer(MessagesContext context, bool stream);

// {"type": "error", "error": {"type": "invalid_request_error", "message": ...}}
ErrorReply messages_error(const Failure& failure);

}  // namespace polymath::api
