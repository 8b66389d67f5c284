#include "commands/pull/selection.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/printable.h"
#include "weights/gguf_parts.h"

namespace polymath::commands {
namespace {

constexpr std::string_view kPickles[] = {".bin", ".pt", ".pth", ".pkl", ".ckpt", ".pickle"};
constexpr std::string_view kTexts[] = {".json", ".jinja", ".model", ".tiktoken", ".txt"};
constexpr size_t kNamesShown = 12;  // of a list in a message; the rest is counted

template <class Endings>
bool ends_in(std::string_view path, const Endings& endings) {
  return std::any_of(std::begin(endings), std::end(endings), [&](std::string_view e) { return path.ends_with(e); });
}

bool at_top(std::string_view path) { return path.find('/') == path.npos; }

std::string some_of(const std::vector<std::string>& names) {
  const size_t n = std::min(names.size(), kNamesShown);
  const std::string head = absl::StrJoin(names.begin(), names.begin() + static_cast<ptrdiff_t>(n), ", ");
  return absl::StrCat(base::printable(head), n < names.size() ? absl::StrCat(" and ", names.size() - n, " more") : "");
}

const HubFile* find_file(const std::vector<HubFile>& files, std::string_view path) {
  const auto it = std::find_if(files.begin(), files.end(), [&](const HubFile& file) { return file.path == path; });
  return it == files.end() ? nullptr : &*it;
}

// The GGUF models, each by its first part.
std::vector<std::string> gguf_models(const std::vector<HubFile>& files) {
  std::vector<std::string> names;
  for (const HubFile& file : files) {
    const std::string name = file.path.substr(file.path.rfind('/') + 1);
    if (!name.starts_with("mmproj")) names.push_back(file.path);  // a projector of images is no model
  }
  return weights::gguf_models(names);
}

absl::StatusOr<Selection> whole_model(const std::vector<HubFile>& files, const std::string& path) {
  Selection out;
  for (const std::string& part : weights::gguf_parts(path)) {
    const HubFile* const file = find_file(files, part);
    if (file == nullptr)
      return absl::NotFoundError(absl::StrCat(part, " is missing, a part of the same model as ", path));
    out.files.push_back(*file);
  }
  return out;
}

absl::StatusOr<Selection> named_file(const std::vector<HubFile>& files, const Wanted& wanted) {
  if (!wanted.file.ends_with(".gguf")) {
    return absl::InvalidArgumentError(absl::StrCat("--file ", wanted.file, ": only a GGUF file can be named so"));
  }
  if (find_file(files, wanted.file) != nullptr) return whole_model(files, wanted.file);
  const std::vector<std::string> names = gguf_models(files);
  return absl::NotFoundError(absl::StrCat(wanted.repository, " has no file ", wanted.file,
                                          names.empty() ? "" : absl::StrCat("; it has: ", some_of(names))));
}

absl::StatusOr<Selection> one_gguf(const std::vector<HubFile>& files, const Wanted& wanted) {
  const std::vector<std::string> all = gguf_models(files);
  std::vector<std::string> fitting;
  std::copy_if(all.begin(), all.end(), std::back_inserter(fitting), [&](const std::string& path) {
    return wanted.quant.empty() || weights::gguf_has_quant(path, wanted.quant);
  });
  if (fitting.size() == 1) return whole_model(files, fitting[0]);
  if (fitting.empty()) {
    return absl::NotFoundError(absl::StrCat(wanted.repository, " has no GGUF model in ", wanted.quant,
                                            all.empty() ? "" : absl::StrCat("; it has: ", some_of(all))));
  }
  return absl::InvalidArgumentError(absl::StrCat(wanted.repository,
                                                 " has several GGUF models; name one with --file or ",
                                                 wanted.repository, ":QUANT: ", some_of(fitting)));
}

// Configuration, tokenizer and templates.
bool is_text(const HubFile& file) { return at_top(file.path) && ends_in(file.path, kTexts); }

}  // namespace

absl::StatusOr<Selection> select_files(const std::vector<HubFile>& files, const Wanted& wanted) {
  if (!wanted.file.empty()) return named_file(files, wanted);
  if (!wanted.quant.empty()) return one_gguf(files, wanted);
  const auto is_weights = [](const HubFile& file) { return at_top(file.path) && file.path.ends_with(".safetensors"); };
  const auto is_second_copy = [](const HubFile& file) { return file.path.starts_with("consolidated"); };
  const bool has_first_copy = std::any_of(
      files.begin(), files.end(), [&](const HubFile& file) { return is_weights(file) && !is_second_copy(file); });
  Selection out;
  bool has_weights = false;
  for (const HubFile& file : files) {
    if (ends_in(file.path, kPickles)) out.pickles.push_back(file.path);
    const bool wanted_weights = is_weights(file) && !(has_first_copy && is_second_copy(file));
    has_weights |= wanted_weights;
    if (wanted_weights || is_text(file)) out.files.push_back(file);
  }
  if (has_weights) return out;
  if (!gguf_models(files).empty()) return one_gguf(files, wanted);
  if (out.pickles.empty()) {
    return absl::NotFoundError(absl::StrCat(wanted.repository, " has no weights: no *.safetensors, and no *.gguf"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat(wanted.repository,
                   " has its weights as pickle files alone, which can run code when they are read and "
                   "are refused: ",
                   some_of(out.pickles), "; take a repository with safetensors, or convert them"));
}

}  // namespace polymath::commands
