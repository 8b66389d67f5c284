#pragma once

// Cloud instances and their list prices: data, in the form that --prices reads.

namespace polymath::plan {

extern const char* const kPriceData;

}  // namespace polymath::plan
