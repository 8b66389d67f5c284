#include "commands/http/fetch.h"

#include "absl/strings/str_cat.h"

namespace polymath::commands::http {
namespace {

class Collector : public ResponseHandler {
 public:
  explicit Collector(size_t bytes_max) : bytes_max_(bytes_max) {}

  absl::Status on_body(const ResponseHead&, std::string_view piece, double) override {
    if (fetched.body.size() + piece.size() > bytes_max_) {
      return absl::ResourceExhaustedError(absl::StrCat("an answer of more than ", bytes_max_, " bytes"));
    }
    fetched.body += piece;
    return absl::OkStatus();
  }
  void on_end(const absl::Status& end, const ResponseHead& head, double) override {
    done = true;
    error = end;
    fetched.status = head.status;
  }

  Fetched fetched;
  absl::Status error;
  bool done = false;

 private:
  const size_t bytes_max_;
};

}  // namespace

absl::StatusOr<Fetched> fetch(HttpClient& client, const Target& target, std::string_view path, size_t bytes_max) {
  Collector collector(bytes_max);
  client.send(request_bytes(target, path, ""), collector);
  while (!collector.done) RETURN_IF_ERROR(client.poll(1));
  RETURN_IF_ERROR(collector.error);
  return std::move(collector.fetched);
}

}  // namespace polymath::commands::http
