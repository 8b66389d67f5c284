#pragma once

// Who speaks which language. A dialect is a file of this folder and its line in dialects.cpp.

#include <memory>
#include <span>
#include <string_view>

#include "api/service.h"
#include "server/http_server.h"

namespace polymath::api {

using Handle = void (*)(Service&, const server::HttpRequest&, std::shared_ptr<server::HttpReply>);

struct Route {
  std::string_view method;
  std::string_view path;
  Handle handle;
};

struct Dialect {
  std::string_view name;
  std::span<const Route> routes;
};

std::span<const Dialect> dialects();

std::span<const Route> openai_routes();
std::span<const Route> tokenize_routes();
std::span<const Route> admin_routes();

}  // namespace polymath::api
