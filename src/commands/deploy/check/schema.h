#pragma once

// The fields that objects have: unknown, missing and mistyped ones are faults.

#include "commands/deploy/check/objects.h"

namespace polymath::commands {

// Whether the kind is known, under the version that the object has.
bool is_known_kind(const Object& object);

void check_fields(const Object& object, Complaints& complaints);

}  // namespace polymath::commands
