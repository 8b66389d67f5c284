#include "api/page/page.h"

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "api/openai/error.h"
#include "api/tgi/error.h"
#include "base/hash.h"
#include "base/json.h"

namespace polymath::api {
namespace {

using server::HttpReply;
using server::HttpRequest;
using ReplyPtr = std::shared_ptr<HttpReply>;

constexpr size_t kNonceBytes = 18;

std::string random_nonce() {
  char bytes[kNonceBytes];
  base::random_bytes(bytes, sizeof(bytes));
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

server::HttpHeaders page_headers(const std::string& nonce) {
  return {{"Content-Security-Policy",
           absl::StrCat("default-src 'none'; script-src 'nonce-", nonce, "'; style-src 'nonce-", nonce,
                        "'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                        "frame-ancestors 'none'")},
          {"X-Content-Type-Options", "nosniff"},
          {"Referrer-Policy", "no-referrer"},
          {"Cache-Control", "no-store"},
          {"Vary", "Accept"}};
}

// For other clients than browsers, TGI's health check.
void answer_root(bool ready, const HttpRequest& request, HttpReply& reply) {
  if (request.header("accept").find("text/html") == std::string_view::npos) {
    if (ready) return reply.send(200, "text/plain", "", {{"Vary", "Accept"}});
    ErrorReply error = tgi_unhealthy();
    return reply.send(error.http_status, "application/json", std::move(error.body), {{"Vary", "Accept"}});
  }
  const std::string nonce = random_nonce();
  reply.send(200, "text/html; charset=utf-8",
             absl::StrReplaceAll(absl::string_view(kPageHtml.data(), kPageHtml.size()), {{"%NONCE%", nonce}}),
             page_headers(nonce));
}

void root(Service& service, const HttpRequest& request, ReplyPtr reply) {
  answer_root(service.ready(), request, *reply);
}

void root_while_loading(base::MetricsRegistry&, const HttpRequest& request, ReplyPtr reply) {
  answer_root(false, request, *reply);
}

void experts(Service& service, const HttpRequest&, ReplyPtr reply) {
  base::JsonArray layers;
  for (const engine::ExpertTokens& layer : service.engine().expert_tokens()) {
    layers.emplace_back(base::JsonObject{{"layer", layer.layer},
                                         {"tokens", base::JsonArray(layer.tokens.begin(), layer.tokens.end())}});
  }
  reply->send(200, "application/json", base::to_text(base::JsonObject{{"layers", std::move(layers)}}));
}

constexpr Route kRoutes[] = {
    {.method = "GET", .path = "/", .handle = root, .open = true, .while_loading = root_while_loading},
    {.method = "GET", .path = "/experts", .handle = experts},
};

}  // namespace

const Dialect kPageDialect{"page", kRoutes, openai_error};

}  // namespace polymath::api
