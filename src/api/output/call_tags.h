#pragma once

// A grammar of tool calls: each family of call formats, as a structural tag.
//
//   ASSIGN_OR_RETURN(const CallTags tags, CallTags::make(rules));
//   tags.calls()          // one call or more, and nothing else
//   tags.within_text()    // any text, in which calls keep to their schemas
//
// Members of a call have the order in which models write them. In formats of tags, so have the parameters, and only
// declared ones are written.

#include <string>
#include <utility>
#include <vector>

#include "api/output/tag_nodes.h"
#include "base/json.h"
#include "base/status.h"
#include "text/output/call_format.h"

namespace polymath::api {

struct CallRules {
  const text::CallFormat* format = nullptr;
  base::JsonArray functions;  // that may be called: a tool's "function" each; at least one
  bool several = true;        // an answer may have more than one call
  bool every_schema = true;   // else the schemas of strict functions alone count
};

class CallTags {
 public:
  // kUnimplemented: the format, or a schema's keyword that it cannot hold, by name.
  static absl::StatusOr<CallTags> make(const CallRules& rules);

  tags::Node calls() const;
  tags::Node within_text() const;

 private:
  explicit CallTags(const text::CallFormat& format, bool several) : format_(format), several_(several) {}

  const text::CallFormat& format_;
  const bool several_;
  // A mark that begins calls, or none, and what follows it.
  std::vector<std::pair<std::string, tags::Node>> behind_;
};

}  // namespace polymath::api
