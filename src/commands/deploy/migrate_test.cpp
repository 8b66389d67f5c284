#include "commands/deploy/migrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "commands/deploy/check/check.h"

namespace polymath::commands {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kClaim = R"(---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: model-cache-pvc, namespace: inference}
spec:
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 200Gi}}
---
apiVersion: v1
kind: Service
metadata: {name: mixtral, namespace: inference}
spec:
  selector: {app: mixtral}
  ports:
  - {name: http, port: 8080, targetPort: http}
)";

// As the guide's TGI Deployments are.
constexpr const char* kTgi = R"(apiVersion: apps/v1
kind: Deployment
metadata:
  name: mixtral-tgi
  namespace: inference
spec:
  replicas: 1
  selector:
    matchLabels:
      app: mixtral
  template:
    metadata:
      labels:
        app: mixtral
    spec:
      nodeSelector:
        node.kubernetes.io/instance-type: p5.48xlarge
      containers:
      - name: tgi
        image: text-generation-inference:3.3.5
        ports:
        - name: http
          containerPort: 8080
        env:
        - name: HUGGING_FACE_HUB_TOKEN
          valueFrom:
            secretKeyRef:
              name: hf-token
              key: token
        - name: MODEL_ID
          value: "org/model"
        - name: NUM_SHARD
          value: "2"
        - name: MAX_INPUT_LENGTH
          value: "8192"
        - name: MAX_TOTAL_TOKENS
          value: "32768"
        - name: QUANTIZE
          value: "" # none
        - name: TRUST_REMOTE_CODE
          value: "true"
        resources:
          requests: {nvidia.com/gpu: 2, memory: "180Gi", cpu: "24"}
          limits: {nvidia.com/gpu: 2, memory: "200Gi", cpu: "32"}
        volumeMounts:
        - name: model-cache
          mountPath: /data
        - name: shm
          mountPath: /dev/shm
        livenessProbe:
          httpGet: {path: /health, port: 8080}
          initialDelaySeconds: 400
          periodSeconds: 30
      volumes:
      - name: model-cache
        persistentVolumeClaim:
          claimName: model-cache-pvc
      - name: shm
        emptyDir:
          medium: Memory
          sizeLimit: 16Gi
)";

constexpr const char* kVllm = R"(apiVersion: apps/v1
kind: Deployment
metadata: {name: m, namespace: inference}
spec:
  selector: {matchLabels: {app: mixtral}}
  template:
    metadata: {labels: {app: mixtral}}
    spec:
      containers:
      - name: vllm
        image: vllm/vllm-openai:v0.6.3
        ports: [{name: http, containerPort: 8000}]
        env:
        - {name: VLLM_ATTENTION_BACKEND, value: FLASH_ATTN}
        args: ["--model", "org/model", "--tensor-parallel-size", "2", "--max-model-len", "32768", "--kv-cache-dtype", "fp8",
               "--enable-chunked-prefill", "--trust-remote-code", "--distributed-executor-backend", "ray"]
        resources: {limits: {nvidia.com/gpu: 2}}
)";

std::string after(const Migrated& migrated) { return absl::StrJoin(migrated.changes, "\n"); }

TEST(Migrate, TurnsATgiDeployment) {
  const auto migrated = migrate_manifests(std::string(kTgi) + kClaim, "polymath:x");
  ASSERT_TRUE(migrated.ok()) << migrated.status();
  ASSERT_EQ(migrated->serve.size(), 1u);
  const std::string serve = absl::StrJoin(migrated->serve[0], " ");
  EXPECT_THAT(serve, HasSubstr("--model org/model"));
  EXPECT_THAT(serve, HasSubstr("--tensor-parallel-size 2"));
  EXPECT_THAT(serve, HasSubstr("--max-model-len 32768"));
  EXPECT_THAT(serve, HasSubstr("--max-input-tokens 8192"));
  EXPECT_THAT(serve, HasSubstr("--port 8080"));
  EXPECT_THAT(migrated->yaml, HasSubstr("image: polymath:x"));
  EXPECT_THAT(migrated->yaml, HasSubstr("mountPath: /models\n"));
  EXPECT_THAT(migrated->yaml, HasSubstr("node.kubernetes.io/instance-type: p5.48xlarge"));
  EXPECT_THAT(migrated->yaml, HasSubstr("HUGGING_FACE_HUB_TOKEN"));
  EXPECT_THAT(migrated->yaml, Not(HasSubstr("MAX_TOTAL_TOKENS")));
  EXPECT_THAT(migrated->yaml, HasSubstr("failureThreshold: 80\n"));  // twice the 400 s that the old probe waited
  EXPECT_THAT(after(*migrated), HasSubstr("NUM_SHARD=2 -> --tensor-parallel-size 2"));
  EXPECT_THAT(after(*migrated), HasSubstr("TRUST_REMOTE_CODE=true has no effect"));
  const auto report = check_manifests({{"x", migrated->yaml}}, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->complaints, testing::IsEmpty());
}

TEST(Migrate, KeepsVllmsFlags) {
  const auto migrated = migrate_manifests(kVllm, "polymath:x");
  ASSERT_TRUE(migrated.ok()) << migrated.status();
  const std::string serve = absl::StrJoin(migrated->serve[0], " ");
  EXPECT_THAT(serve,
              HasSubstr("--model org/model --tensor-parallel-size 2 --max-model-len 32768 --kv-cache-dtype fp8"));
  EXPECT_THAT(serve, Not(HasSubstr("ray")));
  EXPECT_THAT(after(*migrated), HasSubstr("left out: --distributed-executor-backend: there is one process"));
  EXPECT_THAT(after(*migrated), HasSubstr("VLLM_ATTENTION_BACKEND has no effect"));
  const auto report = check_manifests({{"x", migrated->yaml}}, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->complaints, testing::IsEmpty());
}

TEST(Migrate, RefusesWhatItCannotTurn) {
  EXPECT_THAT(std::string(migrate_manifests("a: 1\n", "x").status().message()), HasSubstr("no Deployment"));
  std::string wrong = kTgi;
  wrong.replace(wrong.find("\"8192\""), 6, "\"40000\"");
  EXPECT_THAT(std::string(migrate_manifests(wrong, "x").status().message()),
              HasSubstr("must be below MAX_TOTAL_TOKENS"));
}

}  // namespace
}  // namespace polymath::commands
