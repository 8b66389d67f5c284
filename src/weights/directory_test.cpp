#include "weights/directory.h"

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weights/checkpoint.h"
#include "weights/model_files.h"
#include "weights/test_files.h"

namespace polymath::weights {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Files = std::vector<std::pair<std::string, std::string>>;

std::string index_of(const std::string& map) { return "{\"metadata\": {}, \"weight_map\": {" + map + "}}"; }
const std::string kIndexName = "model.safetensors.index.json";

struct DirectoryCase {
  const char* what;
  Files files;
  StatusCode code;
  const char* message;             // part of it, when refused
  std::vector<std::string> names;  // of the tensors, when opened
};

std::vector<DirectoryCase> read_cases() {
  constexpr auto kOk = StatusCode::kOk;
  const std::string a = u8_file({"a"}), b = u8_file({"b"}), ab = u8_file({"a", "b"});
  const std::string index = index_of(R"("a": "s1.safetensors", "b": "s2.safetensors")");
  return {
      {"one file", {{"model.safetensors", ab}, {"z.safetensors", b}}, kOk, "", {"a", "b"}},
      {"shards", {{kIndexName, index}, {"s1.safetensors", a}, {"s2.safetensors", b}}, kOk, "", {"a", "b"}},
      {"shards and a file besides",
       {{kIndexName, index}, {"s1.safetensors", a}, {"s2.safetensors", b}, {"reference.safetensors", a}},
       kOk,
       "",
       {"a", "b"}},
      {"a tensor that the index leaves out",
       {{kIndexName, index_of(R"("a": "s1.safetensors")")}, {"s1.safetensors", ab}},
       kOk,
       "",
       {"a", "b"}},
      {"an index that has the shards swapped",
       {{kIndexName, index}, {"s1.safetensors", b}, {"s2.safetensors", a}},
       kOk,
       "",
       {"a", "b"}},
      {"an index with a tensor that is in no shard",
       {{kIndexName, index_of(R"("a": "s1.safetensors", "c": "s1.safetensors")")}, {"s1.safetensors", a}},
       kOk,
       "",
       {"a"}},
      {"./ in the index",
       {{kIndexName, index_of(R"("a": "././s1.safetensors")")}, {"s1.safetensors", a}},
       kOk,
       "",
       {"a"}},
      {"no index", {{"y.safetensors", b}, {"x.safetensors", a}}, kOk, "", {"a", "b"}},
      {"published twice", {{"model-1.safetensors", a}, {"consolidated.safetensors", b}}, kOk, "", {"a"}},
      {"consolidated alone", {{"consolidated.safetensors", b}}, kOk, "", {"b"}},
      {"pickle beside", {{"model.safetensors", a}, {"pytorch_model.bin", "x"}}, kOk, "", {"a"}},
  };
}

std::vector<DirectoryCase> refused_cases() {
  constexpr auto kInvalid = StatusCode::kInvalidArgument;
  const std::string a = u8_file({"a"}), b = u8_file({"b"}), ab = u8_file({"a", "b"});
  const std::string index = index_of(R"("a": "s1.safetensors", "b": "s2.safetensors")");
  return {
      {"nothing", {}, StatusCode::kNotFound, "no weights", {}},
      {"no weights", {{"config.json", "{}"}}, StatusCode::kNotFound, "no *.safetensors", {}},
      {"pickle only",
       {{"pytorch_model.bin", "x"}, {"old.ckpt", "x"}},
       StatusCode::kFailedPrecondition,
       "\"pytorch_model.bin\", \"old.ckpt\"; convert them to safetensors",
       {}},
      {"gguf only",
       {{"m.gguf", "GGUF"}},
       StatusCode::kInvalidArgument,
       "name one of its files instead: \"m.gguf\"",
       {}},
      {"pickle in disguise",
       {{"model.safetensors", "PK\x03\x04zzzzzzzz"}},
       StatusCode::kFailedPrecondition,
       "model.safetensors: not safetensors but a zip archive",
       {}},
      {"an empty file", {{"model.safetensors", ""}}, StatusCode::kDataLoss, "model.safetensors: the file is empty", {}},
      {"shard missing",
       {{kIndexName, index}, {"s1.safetensors", a}},
       StatusCode::kNotFound,
       "1 of 2 shards are missing: \"s2.safetensors\"",
       {}},
      {"shard missing, no index",
       {{"model-00001-of-00003.safetensors", a}, {"model-00003-of-00003.safetensors", b}},
       StatusCode::kNotFound,
       "only 2 of the 3 files \"model-*-of-3.safetensors\"",
       {}},
      {"twice", {{"x.safetensors", a}, {"y.safetensors", ab}}, kInvalid, "tensor \"a\" is both in ", {}},
      {"twice, and the index names a third",
       {{kIndexName, index_of(R"("a": "s3.safetensors", "x": "s1.safetensors", "y": "s2.safetensors")")},
        {"s1.safetensors", a},
        {"s2.safetensors", ab},
        {"s3.safetensors", b}},
       kInvalid,
       "is both in",
       {}},
      {"climbs after ./",
       {{kIndexName, index_of(R"("a": "./../s1.safetensors")")}},
       kInvalid,
       "is not a file name that",
       {}},
      {"climbs", {{kIndexName, index_of(R"("a": "../s1.safetensors")")}}, kInvalid, "is not a file name that", {}},
      {"absolute", {{kIndexName, index_of(R"("a": "/etc/x.safetensors")")}}, kInvalid, "is not a file name that", {}},
      {"folder", {{kIndexName, index_of(R"("a": "d/x.safetensors")")}}, kInvalid, "is not a file name that", {}},
      {"hidden", {{kIndexName, index_of(R"("a": ".x.safetensors")")}}, kInvalid, "is not a file name that", {}},
      {"pickle in the index", {{kIndexName, index_of(R"("a": "x.bin")")}, {"x.bin", "x"}}, kInvalid, "\"x.bin\"", {}},
      {"number in the index", {{kIndexName, index_of(R"("a": 1)")}}, kInvalid, "must be a string", {}},
      {"no map", {{kIndexName, "{}"}}, kInvalid, "weight_map: must be an object", {}},
      {"empty map", {{kIndexName, index_of("")}}, kInvalid, "weight_map: must be an object", {}},
      {"index no object", {{kIndexName, "[]"}}, kInvalid, "weight_map: must be an object", {}},
      {"index no JSON", {{kIndexName, "{"}}, kInvalid, "invalid JSON", {}},
  };
}

TEST(Directory, EachCase) {
  std::vector<DirectoryCase> cases = read_cases();
  for (DirectoryCase& c : refused_cases()) cases.push_back(std::move(c));
  for (const DirectoryCase& c : cases) {
    SCOPED_TRACE(c.what);
    const TemporaryDirectory directory;
    for (const auto& [name, content] : c.files) directory.write(name, content);
    const auto checkpoint = open_checkpoint(directory.path(), {});
    EXPECT_EQ(checkpoint.status().code(), c.code) << checkpoint.status();
    if (!checkpoint.ok()) {
      EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(c.message));
      continue;
    }
    std::vector<std::string> names;
    for (const TensorInfo& info : (*checkpoint)->tensors()) names.push_back(info.name);
    EXPECT_EQ(names, c.names);
  }
}

// Overlays and merged models: a tensor is in two shards, and the index says which one counts.
TEST(Directory, TheIndexDecidesBetweenCopies) {
  const auto one = [](const char* byte) {
    return safetensors(R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}})", byte);
  };
  for (const std::string chosen : {"1", "2"}) {
    const TemporaryDirectory directory;
    directory.write(kIndexName,
                    index_of("\"a\": \"s" + chosen + R"(.safetensors", "b": "s1.safetensors", "c": "s2.safetensors")"));
    directory.write("s1.safetensors", one("1"));
    directory.write("s2.safetensors", one("2"));
    const auto checkpoint = open_checkpoint(directory.path(), {});
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    ASSERT_EQ((*checkpoint)->tensors().size(), 1u);
    EXPECT_EQ(static_cast<char>(*(*checkpoint)->read("a", {1})->data), chosen[0]);
  }
}

TEST(Directory, NoSuchDirectoryAndShardLimit) {
  const TemporaryDirectory directory;
  EXPECT_EQ(open_checkpoint(directory.at("none"), {}).status().code(), StatusCode::kNotFound);
  directory.write("x.safetensors", u8_file({"a"}));
  directory.write("y.safetensors", u8_file({"b"}));
  EXPECT_TRUE(open_checkpoint(directory.path(), {.shards_max = 2}).ok());
  EXPECT_EQ(open_checkpoint(directory.path(), {.shards_max = 1}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(open_checkpoint(directory.path(), {.tensors_max = 1}).status().code(), StatusCode::kInvalidArgument);
}

TEST(Directory, AFileCutAnywhereIsNamed) {
  const std::string file = u8_file({"first", "second", "third"});
  for (int sixteenth = 0; sixteenth < 16; ++sixteenth) {
    const TemporaryDirectory directory;
    directory.write("model.safetensors", file.substr(0, file.size() * static_cast<size_t>(sixteenth) / 16));
    const auto status = open_checkpoint(directory.path(), {}).status();
    EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(directory.at("model.safetensors")));
  }
}

TEST(Directory, SaysWhatCodeItWillNotRun) {
  const TemporaryDirectory directory;
  EXPECT_THAT(code_in(directory.path()), ElementsAre());
  directory.write("modeling_x.py", "raise SystemExit");
  directory.write("config.json", R"({"auto_map": {"AutoModel": "modeling_x.X"}})");
  EXPECT_THAT(code_in(directory.path()), ElementsAre("modeling_x.py", "config.json: auto_map"));
  warn_about_code(directory.path());
}

TEST(Directory, SaysWhatIsNoPlainModel) {
  struct KindCase {
    Files files;
    StatusCode code;
    const char* said;  // part of the error, or of the config
  };
  const std::string fp8 = R"({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}})";
  const std::string of_cache = R"({"quantization": {"quant_algo": null, "kv_cache_quant_algo": "FP8"}})";
  const KindCase kCases[] = {
      {{{"config.json", "{}"}}, StatusCode::kOk, "{}"},
      {{}, StatusCode::kNotFound, "config.json"},
      {{{"adapter_config.json", "{}"}}, StatusCode::kInvalidArgument, "holds an adapter (adapter_config.json)"},
      {{{"adapter_config.json", "{}"}, {"config.json", "{}"}}, StatusCode::kOk, "{}"},
      {{{"config.json", "{}"}, {"hf_quant_config.json", fp8}},
       StatusCode::kOk,
       R"("quant_method":"modelopt","quant_algo":"FP8")"},
      {{{"config.json", "{}"}, {"hf_quant_config.json", of_cache}}, StatusCode::kOk, "{}"},
      {{{"config.json", "{}"}, {"hf_quant_config.json", "["}}, StatusCode::kInvalidArgument, "hf_quant_config.json"},
      {{{"m.gguf", "GGUF"}}, StatusCode::kInvalidArgument, "name one of its files instead: \"m.gguf\""},
  };
  for (const KindCase& c : kCases) {
    SCOPED_TRACE(c.said);
    const TemporaryDirectory directory;
    for (const auto& [name, content] : c.files) directory.write(name, content);
    const auto config = open_directory(directory.path())->config();
    EXPECT_EQ(config.status().code(), c.code) << config.status();
    EXPECT_THAT(config.ok() ? base::to_text(*config) : std::string(config.status().message()), HasSubstr(c.said));
  }
}

unsigned sum_of(Checkpoint& checkpoint, const TensorInfo& info) {
  checkpoint.prefetch(info.name);
  const auto t = checkpoint.read(info.name, info.shape);
  EXPECT_TRUE(t.ok()) << t.status();
  unsigned sum = 0;
  for (size_t i = 0; t.ok() && i < info.bytes; ++i) sum += static_cast<unsigned>(t->data[i]);
  checkpoint.release(info.name);
  return sum;
}

std::vector<std::string> shipped_models() {
  std::vector<std::string> out = {POLYMATH_STAND_IN};
  const std::string root = std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/models";
  for (const auto& entry : std::filesystem::directory_iterator(root)) out.push_back(entry.path().string());
  return out;
}

TEST(Directory, EveryModelOfTheRepositoryOpensAndReads) {
  const std::vector<std::string> models = shipped_models();
  EXPECT_GE(models.size(), 20u);
  for (const std::string& model : models) {
    SCOPED_TRACE(model);
    const auto checkpoint = open_checkpoint(model, {});
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    const auto infos = (*checkpoint)->tensors();
    EXPECT_GT(infos.size(), 10u);
    for (const TensorInfo& info : infos) {
      EXPECT_EQ(sum_of(**checkpoint, info), sum_of(**checkpoint, info));  // and again after release()
    }
  }
}

// The architecture that config() names, or the quantisation that it found.
std::string config_of(const Files& files) {
  const TemporaryDirectory dir;
  for (const auto& [name, content] : files) dir.write(name, content);
  const auto config = open_directory(dir.path())->config();
  if (!config.ok()) return std::string(config.status().message());
  const base::JsonObject& object = config->get_object();
  const auto* quantised = object.if_contains("quantization_config");
  return base::to_text(quantised != nullptr ? *quantised : object.at("architectures"));
}

TEST(Directory, MistralsOwnFormatIsReadWhereThereIsNoOther) {
  const std::pair<std::string, std::string> params{"params.json", R"({"dim": 8})"},
      config{"config.json", R"({"architectures": ["A"]})"}, own{"consolidated.safetensors", u8_file({"a"})},
      other{"model.safetensors", u8_file({"a"})};
  EXPECT_EQ(R"(["MistralParams"])", config_of({params}));
  EXPECT_EQ(R"(["MistralParams"])", config_of({params, own}));
  EXPECT_EQ(R"(["MistralParams"])", config_of({params, config, own}));
  EXPECT_EQ(R"(["A"])", config_of({params, config, own, other}));
  EXPECT_EQ(R"(["A"])", config_of({params, config}));
  EXPECT_EQ(R"({"quant_method":"fp8_e4m3"})",
            config_of({{"params.json", R"({"quantization": {"qformat_weight": "fp8_e4m3"}})"}}));
}

TEST(Directory, ReadsFromManyThreads) {
  const auto checkpoint =
      open_checkpoint(std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/models/qwen3-moe", {});
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto infos = (*checkpoint)->tensors();
  const auto read_from = [&](size_t first) {
    for (size_t i = first; i < infos.size(); i += 4) sum_of(**checkpoint, infos[i]);
  };
  std::vector<std::thread> threads;
  for (size_t first = 0; first < 4; ++first) threads.emplace_back(read_from, first);
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace polymath::weights
