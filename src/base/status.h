#pragma once

// Macros that return a failure to the caller; see ARCHITECTURE.md, section 8.

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define POLYMATH_CONCAT_INNER(a, b) a##b
#define POLYMATH_CONCAT(a, b) POLYMATH_CONCAT_INNER(a, b)

// The name is long so that `expression` may use a member called status_.
#define RETURN_IF_ERROR(expression)                                                               \
  do {                                                                                            \
    if (auto returned_if_error = (expression); !returned_if_error.ok()) return returned_if_error; \
  } while (0)

// ASSIGN_OR_RETURN(auto x, f());   A type with a comma in it wants `auto`.
#define ASSIGN_OR_RETURN(declaration, expression) \
  ASSIGN_OR_RETURN_INNER(POLYMATH_CONCAT(statusor_, __LINE__), declaration, expression)
#define ASSIGN_OR_RETURN_INNER(temporary, declaration, expression) \
  auto temporary = (expression);                                   \
  if (!temporary.ok()) return std::move(temporary).status();       \
  declaration = *std::move(temporary)
