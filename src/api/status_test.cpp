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

TEST(Status, ExcerptsAreValidAndEndAtACharacter) {
  const struct {
    std::string text;
    size_t bytes_max;
    std::string expected;
  } rows[] = {
      {"", 8, ""},
      {"abcdefgh", 8, "abcdefgh"},
      {"abcdefghi", 8, "abcde..."},
      {"abcd\u00e9fgh", 8, "abcd..."},
      {"\U0001f600\U0001f600", 7, "\U0001f600..."},
      {"\U0001f600\U0001f600", 6, "..."},
      {std::string(1401, 'x'), 1400, std::string(1397, 'x') + "..."},
      {std::string(300, '\x01'), 1400, std::string(232, '\x01') + "..."},
      {"a\"b\\c", 7, "a\"b\\c"},
      {"a\"b\\cd", 7, "a\"b..."},
      {"a\xff\xe4", 8, "a\uFFFD\uFFFD"},
  };
  for (const auto& row : rows) EXPECT_EQ(excerpt(row.text, row.bytes_max), row.expected) << row.text;
}

TEST(Status, FieldsAreBoundedAndSentencesStayWhole) {
  std::string echo;
  while (echo.size() < (1u << 16)) echo += "\u00e9\U0001f600";
  for (const absl::Status& status : {invalid(echo, "is bad"), not_built(echo, "is bad")}) {
    EXPECT_LE(field_of(status).size(), kParamBytesMax);
    EXPECT_EQ(status.message(), field_of(status) + ": is bad");
    const std::string quoted = absl::StrCat("\"", status.message(), "\"");
    EXPECT_TRUE(base::parse_json(quoted, {}).ok()) << "UTF-8";
  }
  EXPECT_EQ(invalid("", echo).message(), echo) << "each dialect cuts it once";
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

}  // namespace
}  // namespace polymath::api
