// Faults that are put into manifests without one, and the sentence for each.

#include "commands/deploy/check/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "commands/deploy/deploy.h"

namespace polymath::commands {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

struct Mutation {
  const char *from, *to;  // the first place
  const char* complaint;
};

constexpr Mutation kMutations[] = {
    {"  selector:\n    app.kubernetes.io/name: polymath\n    app.kubernetes.io/instance: m",
     "  selector:\n    app.kubernetes.io/name: polymath\n    app.kubernetes.io/instance: n",
     "Service/m: spec.selector: no pod"},
    {"targetPort: http", "targetPort: web", "targetPort web is no port"},
    {"    - name: metrics\n      port: 8001", "    - name: http\n      port: 8001", "the same name or number"},
    {"    - port: metrics\n", "    - port: http-metrics\n", "port http-metrics is the name of no port"},
    {"  endpoints:\n", "  namespaceSelector:\n    matchNames:\n      - other\n  endpoints:\n",
     "no Service of these namespaces"},
    {"terminationGracePeriodSeconds: 150", "terminationGracePeriodSeconds: 120", "must exceed preStop and drain, 135"},
    {"terminationGracePeriodSeconds: 150", "terminationGracePeriodSecond: 150",
     "the nearest is terminationGracePeriodSeconds"},
    {"apiVersion: apps/v1", "apiVersion: apps/v1beta1", "apiVersion: must be apps/v1"},
    {"    - matches:\n", "    - match:\n", "there is no such field"},
    {"    - matches:\n        - path:\n",
     "    - matches:\n        - path:\n            type: PathPrefix\n            value: /v1/other\n        - path:\n",
     "exactly one match"},
    {"type: PathPrefix", "type: Exact", "of type PathPrefix"},
    {"type: URLRewrite", "type: RequestRedirect", "urlRewrite must be set"},
    {"type: ReplacePrefixMatch", "type: ReplaceFullPath", "replaceFullPath must be set"},
    {"request: 0s", "request: 60s", "ends longer streams"},
    {"request: 0s", "request: never", "must be a duration"},
    {"        - name: m\n          port: 8000", "        - name: other\n          port: 8000",
     "the backend other is not in these files"},
    {"        - name: m\n          port: 8000", "        - name: m\n          port: 8080",
     "port 8080 is no port of the Service"},
    {"nvidia.com/gpu: 2\n            limits", "nvidia.com/gpu: 4\n            limits", "equal requests and limits"},
    {"- \"--tensor-parallel-size\"\n            - \"2\"", "- \"--tensor-parallel-size\"\n            - \"4\"",
     "but the command line uses 4"},
    {"- \"--tensor-parallel-size\"", "- \"--tensor-paralel-size\"", "there is no flag --tensor-paralel-size"},
    {"sizeLimit: 2Gi", "sizeLimit: 64Gi", "counts to the memory limit"},
    {"medium: Memory\n            sizeLimit: 2Gi", "medium: Memory", "memory without sizeLimit"},
    {"- ReadWriteMany", "- ReadWriteOnce", "several pods on several nodes cannot share"},
    {"claimName: m-models", "claimName: models", "the claim models is not in these files"},
    {"- name: shm\n              mountPath", "- name: memory\n              mountPath", "no volume is called memory"},
    {"failureThreshold: 30\n", "failureThreshold: 3\n", "kills the pod after 30 s"},
    {"              port: probes", "              port: probe", "startupProbe: probe is no port"},
    {"    kind: Deployment\n    name: m", "    kind: Deployment\n    name: o",
     "scaleTargetRef: o is not in these files"},
    {"minReplicas: 1", "minReplicas: 9", "the fewest replicas, 9, exceed the most, 3"},
    {"name: vllm_num_requests_waiting", "name: vllm:num_requests_waiting", "have no `:` in their names"},
    {"progressDeadlineSeconds:", "replicas: 1\n  progressDeadlineSeconds:", "would undo the autoscaler's number"},
    {"maxUnavailable: 1\n  selector", "maxUnavailable: 0\n  selector", "nodes cannot be drained"},
    {"restartPolicy: OnFailure", "restartPolicy: Always", "of a Job must be Never or OnFailure"},
    {"kind: PodDisruptionBudget\nmetadata:\n  name: m", "kind: Service\nmetadata:\n  name: m",
     "Service/m: is here twice"},
    {"(vllm:kv_cache_usage_perc", "(vllm:kv_cache_usage", "no metric vllm:kv_cache_usage: this"},
    {"alert: MoEModelKVCacheFull", "alert: MoEModelHighLatency", "MoEModelHighLatency is here twice"},
    {"for: 5m", "for: five", "must be a duration"},
    {"allowPrivilegeEscalation: false", "privileged: true", "needs no privileges"},
    {"value: /models", "value: 5", "must be a text"},
    {"          image: polymath:0.1.0-cuda\n", "", "containers[0].image: is missing"},
    {"  template:\n", "  templates:\n", "the nearest is template"},
    {"storage: ", "storage: x", "must be quantities"},
};

std::string manifests() {
  const auto text = deploy_text({"mixtral-8x7b", "--name", "m", "--instance", "p5.48xlarge", "--replicas-max", "3",
                                 "--route-host", "inference.example.com", "--load-seconds", "100"});
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}

CheckSettings settings() {
  return {.load_seconds = 100,
          .metrics = {"vllm:e2e_request_latency_seconds_bucket", "vllm:kv_cache_usage_perc",
                      "vllm:num_requests_waiting", "vllm:time_to_first_token_seconds_bucket",
                      "vllm:request_success_total", "vllm:admission_rejections_total", "vllm:num_preemptions_total",
                      "polymath:expert_imbalance", "polymath:gpu_memory_bytes", "polymath:gpu_memory_total_bytes",
                      "polymath:gpu_clock_limited", "polymath:gpu_ecc_errors_total", "polymath:gpu_row_remap"}};
}

TEST(DeployCheck, PassesWhatDeployRenders) {
  const auto report = check_manifests({{"m.yaml", manifests()}}, settings());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->n_objects, 9u);
  EXPECT_THAT(report->complaints, testing::IsEmpty());
}

TEST(DeployCheck, FindsEachFault) {
  const std::string good = manifests();
  for (const Mutation& mutation : kMutations) {
    SCOPED_TRACE(mutation.complaint);
    std::string text = good;
    const size_t at = text.find(mutation.from);
    if (at == std::string::npos) {
      ADD_FAILURE() << "not rendered: " << mutation.from;
      continue;
    }
    text.replace(at, std::string_view(mutation.from).size(), mutation.to);
    const auto report = check_manifests({{"m.yaml", text}}, settings());
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(report->complaints, testing::Contains(HasSubstr(mutation.complaint)));
  }
}

TEST(DeployCheck, RefusesWhatIsNoYaml) {
  EXPECT_EQ(check_manifests({{"x.yaml", "a: [1"}}, {}).status().message(), "x.yaml: line 1: a , or ] is missing");
  EXPECT_THAT(check_manifests({{"x.yaml", "just text"}}, {})->complaints,
              testing::ElementsAre(HasSubstr("apiVersion and kind are missing")));
}

TEST(DeployCheck, CountsUnknownKinds) {
  const auto report = check_manifests({{"x.yaml", "apiVersion: a/v1\nkind: Thing\nmetadata: {name: x}\n"}}, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->n_unknown, 1u);
  EXPECT_THAT(report->complaints, testing::IsEmpty());
}

TEST(DeployCheck, ReadsQuantities) {
  EXPECT_EQ(quantity("16Gi"), 16.0 * (1 << 30));
  EXPECT_EQ(quantity("250m"), 0.25);
  EXPECT_EQ(quantity("4"), 4);
  EXPECT_LT(quantity("4 Gi"), 0);
  EXPECT_LT(quantity("Gi"), 0);
}

}  // namespace
}  // namespace polymath::commands
