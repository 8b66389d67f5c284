#include "api/openai/writers.h"

#include <utility>
#include <vector>

#include "api/collecting_writer.h"
#include "api/handler.h"
#include "api/openai/stream_writer.h"
#include "api/request/best_of.h"

namespace polymath::api {
namespace {

class WholeWriter : public CollectingWriter {
 public:
  WholeWriter(WriterContext context, int n_choices) : CollectingWriter(n_choices), context_(std::move(context)) {}

  void on_error(const absl::Status& error) override {
    send_error(*context_.reply, context_.errors, error, context_.request_id);
  }

 private:
  void answer(std::vector<CollectedChoice> choices, const Usage& usage) override {
    const std::vector<CollectedChoice> shown = keep_best(std::move(choices), context_.candidates, context_.head.n);
    send_json(*context_.reply, full_answer(context_.head, context_.prompts, shown, usage), context_.request_id);
  }

  const WriterContext context_;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_writer(WriterContext context) {
  const int n_choices = static_cast<int>(context.prompts.ids.size()) * context.candidates;
  if (context.head.options.stream) return std::make_unique<StreamWriter>(std::move(context), n_choices);
  return std::make_unique<WholeWriter>(std::move(context), n_choices);
}

}  // namespace polymath::api
