#pragma once

// The live page at GET / and its data. The page is one file that loads nothing from elsewhere.
//
// GET /         a browser (Accept: text/html) gets the page, any other client TGI's health: 200 or 503, no body
// GET /experts  tokens of each expert by layer since the start, as JSON; as of about a second ago
//
// Content-Security-Policy lets the page run its own script and style alone, by a nonce of each answer.

#include <string_view>

#include "api/dialects.h"

namespace polymath::api {

extern const std::string_view kPageHtml;  // page.html; %NONCE%: the place of the nonce

extern const Dialect kPageDialect;

}  // namespace polymath::api
