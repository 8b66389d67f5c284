// POST /vertex: {"instances": [...]} -> {"predictions": [text, ...]}, in their order. An instance is a body of
// /generate, or of a chat.

#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/handler.h"
#include "api/json_values.h"
#include "api/openai/logprob_fields.h"
#include "api/openai/request.h"
#include "api/request/prefix_salt.h"
#include "api/tgi/error.h"
#include "api/tgi/start.h"

namespace polymath::api {
namespace {

constexpr TgiRoute kRoute{.stream = false, .do_sample = true};

// The texts of all instances. The last of them, or the first error, answers. An error cancels the others. Any thread.
class Predictions {
 public:
  Predictions(const TgiCall& call, size_t n) : reply_(call.reply), id_(call.id), texts_(n), n_missing_(n) {}

  void take(size_t index, const absl::StatusOr<std::string>& text) {
    const std::lock_guard lock(mutex_);
    if (n_missing_ == 0) return;  // answered
    if (!text.ok()) {
      n_missing_ = 0;
      for (const auto& weak : generations_) cancel(weak);
      return send_error(*reply_, tgi_error, text.status(), id_);
    }
    texts_[index] = *text;
    if (--n_missing_ > 0) return;
    base::JsonArray predictions;
    for (const std::string& t : texts_) predictions.emplace_back(text_json(t));
    send_json(*reply_, base::to_text(base::JsonObject{{"predictions", std::move(predictions)}}), id_);
  }

  // One of them runs. False: an error has answered, so that it is cancelled, and no other is needed.
  bool keep(const std::shared_ptr<Generation>& generation) {
    const std::lock_guard lock(mutex_);
    generations_.push_back(generation);
    if (n_missing_ == 0) generation->cancel();
    return n_missing_ > 0;
  }

 private:
  static void cancel(const std::weak_ptr<Generation>& weak) {
    if (const auto running = weak.lock()) running->cancel();
  }

  const std::shared_ptr<server::HttpReply> reply_;
  const std::string id_;
  std::mutex mutex_;
  std::vector<std::string> texts_;                      // under mutex_
  size_t n_missing_;                                    // under mutex_; 0: answered
  std::vector<std::weak_ptr<Generation>> generations_;  // under mutex_
};

// An instance as the engine takes it.
struct Prepared {
  GenerationPlan plan;
  std::string before;  // under return_full_text: the inputs
};

absl::StatusOr<Prepared> prepare_chat(Service& service, const TgiCall& call, const base::JsonValue& instance) {
  const ServiceOptions& options = service.options();
  const OpenAiLimits limits{options.limits, options.trust_request_chat_template};
  ASSIGN_OR_RETURN(OpenAiRequest chat, parse_openai_request(instance, Endpoint::kChat, service.model(), limits));
  if (chat.answer.n > 1 || chat.beams.has_value()) return invalid("n", "must be 1, without a beam search");
  service.unknown_fields().warn(chat.unknown_fields);
  chat.rules.stopped = [reply = call.reply] { return reply->gone(); };
  RETURN_IF_ERROR(resolve_prompts(chat, service.model()));
  RETURN_IF_ERROR(bound_openai_answer(chat, options.limits));
  return Prepared{.plan = std::move(chat.plan)};
}

absl::StatusOr<Prepared> prepare(Service& service, const TgiCall& call, const base::JsonValue& instance) {
  const base::JsonReader j(instance);
  RETURN_IF_ERROR(j.status());
  Prepared out;
  if (j.has("inputs")) {
    ASSIGN_OR_RETURN(TgiRequest request, prepare_tgi(service, call, kRoute, instance));
    if (request.answer.full_text) out.before = std::move(request.inputs);
    out.plan = std::move(request.plan);
  } else {
    ASSIGN_OR_RETURN(out, prepare_chat(service, call, instance));
  }
  out.plan.cache_salt = prefix_salt(call.http.principal, out.plan.cache_salt, service.options().share_prefix_cache);
  return out;
}

absl::StatusOr<std::vector<Prepared>> prepare_all(Service& service, const TgiCall& call) {
  ASSIGN_OR_RETURN(const base::JsonValue json, parse_body(service, call.http));
  const base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  const base::JsonValue* const instances = j.find("instances");
  const int n_max = service.options().limits.prompts_max;
  if (instances == nullptr || !instances->is_array() || instances->get_array().empty()) {
    return invalid("instances", "must be an array of at least one instance");
  }
  if (instances->get_array().size() > static_cast<size_t>(n_max)) {
    return invalid("instances", absl::StrCat("at most ", n_max, " in a request (--max-client-batch-size)"));
  }
  std::vector<Prepared> all;
  for (const base::JsonValue& instance : instances->get_array()) {
    ASSIGN_OR_RETURN(Prepared one, prepare(service, call, instance));
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace

absl::Status start_vertex(Service& service, const TgiCall& call) {
  ASSIGN_OR_RETURN(std::vector<Prepared> all, prepare_all(service, call));
  const auto predictions = std::make_shared<Predictions>(call, all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    if (i == 0) all[i].plan.place = place_of(call.http);
    const int n = all[i].plan.n;
    auto writer = make_tgi_collector(
        n, [predictions, i, before = std::move(all[i].before)](const absl::StatusOr<std::vector<CollectedChoice>>& c) {
          if (!c.ok()) return predictions->take(i, c.status());
          predictions->take(i, absl::StrCat(before, c->front().text));
        });
    const auto started =
        start_generation(service, std::move(all[i].plan), std::move(writer), call.reply, /*stream=*/false);
    if (!started.ok()) predictions->take(i, started.status());
    if (!started.ok() || !predictions->keep(*started)) break;
  }
  return absl::OkStatus();
}

}  // namespace polymath::api
