#pragma once

// Answers of OpenAI's Responses API: whole, or as a stream of events.

#include <functional>
#include <memory>
#include <string>

#include "api/generation.h"
#include "api/status.h"
#include "server/http_server.h"

namespace polymath::api {

struct ResponsesContext {
  std::string model;        // as the request named it
  std::string request_id;   // the response's id is "resp_" and this
  int64_t created = 0;      // seconds since 1970
  base::JsonObject echoed;  // the request's members that the response repeats
  std::shared_ptr<server::HttpReply> reply;
  ErrorBody errors = nullptr;  // of answers that have not begun
  double silence_s_max = 15;   // as EventStream has it
  // Called with the whole response and the assistant's message, before they are sent. Empty: not stored.
  std::function<void(const base::JsonObject& response, const base::JsonObject& message)> store;
};

std::unique_ptr<AnswerWriter> make_responses_writer(ResponsesContext context, bool stream);

}  // namespace polymath::api
