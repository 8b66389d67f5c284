#include "plan/price_data.h"

namespace polymath::plan {

// List prices of Linux on demand, in US dollars. A row without a price has none that is public.
const char* const kPriceData = R"({
  "dated": "2026-08-26",
  "region": "us-east-1, on demand",
  "instances": [
    {"instance": "g5.xlarge", "gpu": "a10g", "gpus": 1, "dollars_an_hour": 1.006, "source": "AWS price list"},
    {"instance": "g5.12xlarge", "gpu": "a10g", "gpus": 4, "dollars_an_hour": 5.672, "source": "AWS price list"},
    {"instance": "g5.48xlarge", "gpu": "a10g", "gpus": 8, "dollars_an_hour": 16.288, "source": "AWS price list"},
    {"instance": "g6e.xlarge", "gpu": "l40s", "gpus": 1, "dollars_an_hour": 1.861, "source": "AWS price list"},
    {"instance": "g6e.12xlarge", "gpu": "l40s", "gpus": 4, "dollars_an_hour": 10.49264, "source": "AWS price list"},
    {"instance": "g6e.48xlarge", "gpu": "l40s", "gpus": 8, "dollars_an_hour": 30.13118, "source": "AWS price list"},
    {"instance": "p4d.24xlarge", "gpu": "a100-40gb", "gpus": 8, "dollars_an_hour": 21.957642,
     "source": "AWS price list; 32.77 until June 2025"},
    {"instance": "p4de.24xlarge", "gpu": "a100-80gb", "gpus": 8, "dollars_an_hour": 27.44705,
     "source": "AWS price list"},
    {"instance": "p5.4xlarge", "gpu": "h100-80gb", "gpus": 1, "dollars_an_hour": 6.88, "source": "AWS price list"},
    {"instance": "p5.48xlarge", "gpu": "h100-80gb", "gpus": 8, "dollars_an_hour": 55.04,
     "source": "AWS price list; 98.32 until June 2025"},
    {"instance": "p5e.48xlarge", "gpu": "h200", "gpus": 8, "dollars_an_hour": 43.26,
     "listed": false, "source": "no list price: Capacity Block, US East (Ohio), late 2024"},
    {"instance": "p5en.48xlarge", "gpu": "h200", "gpus": 8, "dollars_an_hour": 63.296, "source": "AWS price list"},
    {"instance": "p6-b200.48xlarge", "gpu": "b200", "gpus": 8, "dollars_an_hour": 113.9328,
     "source": "AWS price list"},
    {"instance": "trn1.32xlarge", "gpu": "trainium1", "gpus": 16, "dollars_an_hour": 21.50,
     "source": "AWS price list"},
    {"instance": "trn2.48xlarge", "gpu": "trainium2", "gpus": 16, "dollars_an_hour": 35.76,
     "listed": false, "source": "no list price: 2.235 a chip-hour of trn2.3xlarge, Melbourne, times 16"}
  ]
})";

}  // namespace polymath::plan
