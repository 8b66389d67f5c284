// polymath <verb> ...: the list of verbs.

#include <cstdio>
#include <exception>
#include <new>
#include <string_view>

#include "base/process/fatal.h"
#include "base/process/mapped_ranges.h"
#include "commands/flags/flags.h"
#include "commands/verbs.h"

namespace {

using polymath::commands::Arguments;

int version(const Arguments&) {
  std::printf("polymath %s\n", polymath::commands::kVersion);
  return 0;
}

int flags(const Arguments&) {
  std::fputs(polymath::commands::flags_markdown().c_str(), stdout);
  return 0;
}

struct VerbRow {
  std::string_view name;
  const char* help;
  int (*run)(const Arguments&);
};
constexpr VerbRow kVerbs[] = {
    {"serve", "serve MODEL [flags]     serve a model over HTTP, as OpenAI and vLLM do", polymath::commands::serve},
    {"tgi", "tgi --model-id MODEL    the same from the flags and variables of Text Generation Inference",
     polymath::commands::tgi},
    {"run", "run MODEL [flags]       answer a prompt, or chat, on the terminal", polymath::commands::run},
    {"inspect", "inspect MODEL [--json]  what a model is and what it needs", polymath::commands::inspect},
    {"bench", "bench offline MODEL     prefill and decode speed, beside the machine's limits; bench serve: load",
     polymath::commands::bench},
    {"quantize", "quantize IN OUT --to F  pack the weights of a model in another format", polymath::commands::quantize},
    {"plan", "plan MODEL [flags]      memory, GPUs, speed and price of a model, without a GPU",
     polymath::commands::plan},
    {"doctor", "doctor [URL | MODEL]    what is wrong with a server, this machine or a model's disk",
     polymath::commands::doctor},
    {"deploy", "deploy MODEL [flags]    Kubernetes manifests from the plan; deploy --check FILE: faults of manifests",
     polymath::commands::deploy},
    {"migrate", "migrate FILE            a TGI or vLLM Deployment as one of ours, and what changed",
     polymath::commands::migrate},
    {"pull", "pull NAME [flags]       download a model from the Hugging Face hub, verified, to where serve finds it",
     polymath::commands::pull},
    {"kernels", "kernels [MODEL] [flags] kernel variants, and which of them a model's shapes would run",
     polymath::commands::kernels},
    {"flags", "flags                   every flag, as a page of Markdown", flags},
    {"version", "version                 this build", version},
};

int usage(std::FILE* to, int code) {
  std::fputs("polymath: serves Mixture-of-Experts language models\n\n", to);
  for (const VerbRow& row : kVerbs) std::fprintf(to, "  polymath %s\n", row.help);
  std::fputs("\npolymath <verb> --help says more.\n", to);
  return code;
}

// The last catch: no memory, or a fault of a library.
int guarded(const VerbRow& row, const Arguments& arguments) {
  try {
    return row.run(arguments);
  } catch (const std::bad_alloc&) {
    polymath::base::fatal(row.name, "no memory is left; ending");
  } catch (const std::exception& error) {
    polymath::base::fatal(row.name, error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  polymath::base::explain_lost_pages();
  if (argc < 2) return usage(stderr, 2);
  std::string_view verb = argv[1];
  if (verb == "--help" || verb == "-h" || verb == "help") return usage(stdout, 0);
  if (verb == "--version") verb = "version";
  for (const VerbRow& row : kVerbs) {
    if (row.name == verb) return guarded(row, Arguments(argv + 2, argv + argc));
  }
  std::fprintf(stderr, "polymath: there is no verb %s\n\n", std::string(verb).c_str());
  return usage(stderr, 2);
}
