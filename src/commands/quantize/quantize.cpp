#include "commands/quantize/quantize.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "commands/flags/flags.h"
#include "commands/quantize/gguf_plan.h"
#include "commands/quantize/scheme_writer.h"
#include "commands/verbs.h"
#include "quant/weighted.h"
#include "weights/checkpoint.h"
#include "weights/model_files.h"

namespace polymath::commands {
namespace {

template <typename Row>
std::string names_of(std::span<const Row> rows, std::string_view Row::*name) {
  return absl::StrJoin(rows, ", ", [&](std::string* out, const Row& row) { out->append(row.*name); });
}

absl::Status no_such_format(const std::string& format) {
  return absl::InvalidArgumentError(absl::StrCat("--to ", format, ": is none of ",
                                                 names_of(pack_targets(), &PackTarget::format), " (of GGUF files) and ",
                                                 names_of(scheme_writers(), &SchemeWriter::name), " (of directories)"));
}

absl::Status check_calibration(const QuantizeOptions& o, bool used) {
  if (o.calibrate.empty() || used) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--calibrate: --to ", o.format, " does not profit from it"));
}

}  // namespace

absl::Status quantize_model(const Options& options) {
  const QuantizeOptions& o = options.quantize;
  const std::string& in = options.model.name;
  if (o.out.empty()) return absl::InvalidArgumentError("no output; name what to write after the model to read");
  if (o.format.empty()) return absl::InvalidArgumentError("no --to: name the format of the matrices");
  const bool gguf = absl::EndsWith(in, ".gguf");
  if (const SchemeWriter* writer = find_scheme_writer(o.format)) {
    RETURN_IF_ERROR(check_calibration(o, writer->uses_importance));
    if (gguf) {
      return absl::UnimplementedError(absl::StrCat(in, ": --to ", o.format, " takes a directory of safetensors"));
    }
    Options found = options;
    ASSIGN_OR_RETURN(found.model.name, weights::resolve_model(in, options.model.revision));
    return quantize_directory(found, *writer);
  }
  const PackTarget* target = find_pack_target(o.format);
  if (target == nullptr) return no_such_format(o.format);
  const quant::QuantFormat& format = *quant::find_format(target->format);
  RETURN_IF_ERROR(check_calibration(o, quant::find_weighted_packer(format) != nullptr));
  if (gguf) return quantize_gguf(options, *target);
  return absl::UnimplementedError(
      absl::StrCat(in, ": --to ", o.format, " takes a GGUF file; tools/make_gguf.py makes one of a directory"));
}

int quantize(const Arguments& arguments) {
  const auto options = parse_flags(kQuantize, arguments);
  if (!options.ok()) return fail_flags(options.status());
  const absl::Status status = quantize_model(*options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace polymath::commands
