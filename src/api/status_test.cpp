#include "api/status.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace polymath::api {
namespace {

TEST(Status, EveryCodeHasItsHttpStatus) {
  const struct {
    absl::Status status;
    int http;
  } rows[] = {
      {absl::InvalidArgumentError("m"), 400}, {absl::UnauthenticatedError("m"), 401},
      {absl::NotFoundError("m"), 404},        {absl::ResourceExhaustedError("m"), 429},
      {absl::CancelledError("m"), 499},       {absl::InternalError("m"), 500},
      {absl::DataLossError("m"), 500},        {absl::UnimplementedError("m"), 400},
      {absl::UnavailableError("m"), 503},     {absl::DeadlineExceededError("m"), 504},
  };
  for (const auto& row : rows) EXPECT_EQ(http_status(row.status), row.http) << row.status;
}

TEST(Status, AFailureHasStatusMessageAndField) {
  const Failure failure = failure_of(invalid("top_p", "must be less"));
  EXPECT_EQ(failure.http_status, 400);
  EXPECT_EQ(failure.message, "top_p: must be less");
  EXPECT_EQ(failure.field, "top_p");
  EXPECT_EQ(failure_of(absl::NotFoundError("no")).field, "");
  EXPECT_EQ(failure.code, "");
}

TEST(Status, ExcerptsEndAtACharacter) {
  const struct {
    const char* text;
    size_t bytes_max;
    const char* expected;
  } rows[] = {
      {"", 8, ""},
      {"abcdefgh", 8, "abcdefgh"},
      {"abcdefghi", 8, "abcde..."},
      {"abcd\u00e9fgh", 8, "abcd..."},
      {"\U0001f600\U0001f600", 7, "\U0001f600..."},
      {"\U0001f600\U0001f600", 6, "..."},
      {"abcdefghi", 2, ".."},
  };
  for (const auto& row : rows) EXPECT_EQ(excerpt(row.text, row.bytes_max), row.expected) << row.text;
}

TEST(Status, SentencesAndFieldsAreBounded) {
  std::string echo;
  while (echo.size() < (1u << 16)) echo += "\u00e9\U0001f600";
  for (const absl::Status& status : {invalid(echo, echo), not_built(echo, echo), invalid("", echo)}) {
    EXPECT_LE(status.message().size(), kMessageBytesMax);
    EXPECT_LE(field_of(status).size(), kParamBytesMax);
    const std::string quoted = absl::StrCat("\"", status.message(), "\"");
    EXPECT_TRUE(base::parse_json(quoted, {}).ok()) << "UTF-8";
  }
}

TEST(Status, CodesThatClientsCompare) {
  EXPECT_EQ(failure_of(not_built("suffix", "not built yet")).code, "unsupported_parameter");
  EXPECT_EQ(failure_of(too_long("prompt", "This model's")).code, "context_length_exceeded");
  EXPECT_EQ(failure_of(too_long("prompt", "This model's")).message, "This model's");
  EXPECT_EQ(failure_of(name_field(too_long("prompt", "This model's"))).field, "prompt");
}

TEST(Status, ComplaintsOfReadersNameTheirField) {
  EXPECT_EQ(field_of(name_field(absl::InvalidArgumentError("seed: must be an integer"))), "seed");
  EXPECT_EQ(field_of(name_field(absl::InvalidArgumentError("stream_options.include_usage: must be true or false"))),
            "stream_options.include_usage");
  for (const char* other : {"a sentence: with a colon", ": x", "no colon", ""}) {
    EXPECT_EQ(field_of(name_field(absl::InvalidArgumentError(other))), "") << other;
  }
  EXPECT_TRUE(name_field(absl::OkStatus()).ok());
}

TEST(Shown, IsValidAndBounded) {
  const struct {
    std::string message;
    std::string shown;
  } rows[] = {
      {"", ""},
      {"top_p: must be", "top_p: must be"},
      {std::string(1400, 'x'), std::string(1400, 'x')},
      {std::string(1401, 'x'), std::string(1397, 'x') + "..."},
      {std::string(300, '\x01'), std::string(232, '\x01') + "..."},
      {"a\xff\xe4", "a\uFFFD\uFFFD"},
  };
  for (const auto& row : rows) EXPECT_EQ(shown(row.message), row.shown);
  std::string wide;
  for (int i = 0; i < 1000; ++i) wide += "\u20AC";
  EXPECT_EQ(shown(wide).size(), 465 * 3 + 3u);
  EXPECT_EQ(shown_name(std::string(1000, 'x')).size(), kShownNameBytesMax);
}

}  // namespace
}  // namespace polymath::api
