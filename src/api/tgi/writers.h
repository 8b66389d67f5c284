#pragma once

// The ways a TGI answer reaches its client: whole, or as a stream of events.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/generation.h"
#include "api/served_model.h"
#include "api/tgi/answer.h"
#include "server/http_server.h"

namespace polymath::api {

// POST / wraps the answer in an array, as Hugging Face's hosted inference does.
enum class TgiShape { kObject, kArray, kCount };

struct TgiWriterContext {
  const ServedModel& model;
  TgiAnswer answer;
  TgiShape shape = TgiShape::kObject;
  std::string device;      // x-compute-type
  int64_t characters = 0;  // of the inputs
  double arrived = 0;      // the request, in steady seconds
  std::string request_id;
  std::shared_ptr<server::HttpReply> reply;
  double silence_s_max = 15;  // a stream silent for longer sends a comment; 0: never
};

std::unique_ptr<AnswerWriter> make_tgi_writer(TgiWriterContext context, int n_choices, bool stream);

// Hands the choices, the best first, to `done`; or the error.
using TgiDone = std::function<void(absl::StatusOr<std::vector<CollectedChoice>> choices)>;
std::unique_ptr<AnswerWriter> make_tgi_collector(int n_choices, TgiDone done);

}  // namespace polymath::api
