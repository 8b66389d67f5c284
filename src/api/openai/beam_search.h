#pragma once

// Beam search over an engine that samples. Every step asks for the best next tokens of every beam, one token a request.
// The prefix cache makes that cheap, as beams share all but their last tokens.
//
//   ASSIGN_OR_RETURN(auto search, BeamSearch::start(context, std::move(plan), rules, std::move(writer)));
//   reply->on_gone([weak] { if (auto s = weak.lock()) s->cancel(); });
//
// As in vLLM: scores are cumulative log-probabilities of the raw logits, over length ^ length_penalty. The length is
// that of prompt and beam, without a last stop id. Beams that end leave the search; at max_tokens the others end too.
// Sampling fields have no effect. A full queue ends the search with its error.
//
// Events are handled on the OutputPool, one thread at a time. Source: arXiv:1702.01806.

#include <memory>
#include <mutex>
#include <vector>

#include "api/generation.h"
#include "api/output_pool.h"
#include "base/status.h"

namespace polymath::api {

struct BeamRules {
  int n = 1;  // beams of each prompt that are shown; plan.n is the width
  double length_penalty = 1;
  bool early_stopping = false;  // as many ended beams as the width end the search
};

class BeamSearch : public OutputJob, public std::enable_shared_from_this<BeamSearch> {
 public:
  // Errors as Engine::submit. The writer gets rules.n choices of each prompt, at the end.
  static absl::StatusOr<std::shared_ptr<BeamSearch>> start(const Generation::Context& context, GenerationPlan plan,
                                                           const BeamRules& rules,
                                                           std::unique_ptr<AnswerWriter> writer);
  void cancel();  // any thread
  void run() override;

 private:
  class Sink;
  struct Beam {
    std::vector<TokenInfo> tokens;
    double logprob = 0, score = 0;
    bool stopped = false;  // its last token is a stop id
  };
  struct Candidate {  // a beam's next token
    size_t parent = 0;
    engine::TokenLogprob token;
    double logprob = 0, score = 0;
    bool stops = false;
  };
  // What one request of a step gave.
  struct Event {
    size_t search = 0, beam = 0;
    TokenInfo token;
    std::vector<TokenInfo> prompt_tokens;  // of a prompt's first request, if their logprobs were asked for
    engine::Finish finish;
  };
  struct Search {  // of one prompt
    std::vector<Beam> live, ended;
    std::vector<TokenInfo> next;  // by live beam: the best tokens behind it
    size_t n_waiting = 0;
    bool done = false;
    engine::RequestTimes times;
  };

  BeamSearch(const Generation::Context& context, GenerationPlan plan, const BeamRules& rules,
             std::unique_ptr<AnswerWriter> writer);
  absl::Status submit_step(const std::vector<size_t>& searches, engine::Place* place);
  engine::Request make_request(size_t search, size_t beam);
  void push(Event event);
  void handle(Event& event);
  void advance(size_t search);
  std::vector<Candidate> candidates_of(size_t search) const;
  Beam extended(const Search& search, const Candidate& candidate) const;
  bool stops_at(int32_t id) const;
  double score(size_t search, size_t n_tokens, double logprob) const;
  void deliver();
  void deliver_beam(int choice, size_t search, const Beam& beam);
  std::string text_of(size_t search, const Beam& beam) const;
  void fail(const absl::Status& error);

  const Generation::Context context_;
  const GenerationPlan plan_;
  const BeamRules rules_;
  const int n_best_;  // tokens asked for behind each beam
  std::unique_ptr<AnswerWriter> writer_;
  std::vector<Search> searches_;
  Usage usage_;
  bool failed_ = false;

  std::mutex mutex_;
  std::vector<Event> events_;                        // under mutex_
  std::vector<std::vector<engine::RequestId>> ids_;  // under mutex_: of each prompt's step
  bool armed_ = false;                               // under mutex_: the first step is submitted, events may be handled
  bool cancelled_ = false;                           // under mutex_
};

}  // namespace polymath::api
