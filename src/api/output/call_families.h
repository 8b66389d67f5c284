#pragma once

// What follows a mark of calls, in each family of call formats, as a format of structural tags.
//
// kUnimplemented: the family, or a schema's keyword that it cannot hold, by name.

#include <string>
#include <string_view>
#include <vector>

#include "api/output/tag_nodes.h"
#include "base/json.h"
#include "base/status.h"
#include "text/output/call_format.h"

namespace polymath::api {

struct CallableFunction {
  std::string name;
  base::JsonObject parameters;  // a schema of an object
};

struct CallTask {
  const text::CallFormat& format;
  const std::vector<CallableFunction>& functions;  // at least one
  std::string_view mark;                           // one of format.begins; empty: the calls begin without one
  bool several = true;
};

tags::Node json_calls(const CallTask& task);
tags::Node named_calls(const CallTask& task);
absl::StatusOr<tags::Node> tagged_calls(const CallTask& task);
tags::Node harmony_calls(const std::vector<CallableFunction>& functions);

}  // namespace polymath::api
