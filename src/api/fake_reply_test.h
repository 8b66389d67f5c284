#pragma once

// A reply that records all calls, for tests of writers.

#include <memory>
#include <string>

#include "server/http_server.h"

namespace polymath::api {

class FakeReply : public server::HttpReply {
 public:
  void send(int status, std::string_view, std::string body, server::HttpHeaders extra) override {
    headers = std::move(extra);
    log += "send " + std::to_string(status) + " " + body;
  }
  void start_stream(int status, std::string_view type, server::HttpHeaders extra) override {
    headers = std::move(extra);
    log += "start " + std::to_string(status) + " " + std::string(type) + "\n";
  }
  void write(std::string chunk) override { log += chunk; }
  void end() override { log += "end"; }
  void on_gone(std::function<void()>) override {}

  std::string header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return "";
  }

  std::string log;
  server::HttpHeaders headers;
};

}  // namespace polymath::api
