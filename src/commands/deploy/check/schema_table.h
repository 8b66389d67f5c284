#pragma once

// Types of manifests: `field:type`, `field!:type` where it is required, `[type]` for a list.
// Scalars: string, int, bool, quantity, duration, any. A port is a number or a name, an amount a number or a share.
// strings is a mapping of texts, quantities one of quantities.
// Sources: Kubernetes 1.31, Gateway API 1.2, Gateway API Inference Extension 1.0, KEDA 2.15, Prometheus Operator 0.79,
// LeaderWorkerSet 0.5.

namespace polymath::commands {

struct TypeRow {
  const char* name;
  const char* fields;
};

struct KindRow {
  const char* version;
  const char* kind;
  const char* type;  // of the members beside apiVersion, kind and metadata
};

inline constexpr KindRow kKindRows[] = {
    {"apps/v1", "Deployment", "Deployment"},
    {"batch/v1", "Job", "Job"},
    {"v1", "Service", "Service"},
    {"v1", "PersistentVolumeClaim", "Claim"},
    {"v1", "ConfigMap", "ConfigMap"},
    {"v1", "Secret", "Secret"},
    {"v1", "Namespace", "Namespace"},
    {"policy/v1", "PodDisruptionBudget", "Budget"},
    {"autoscaling/v2", "HorizontalPodAutoscaler", "Autoscaler"},
    {"keda.sh/v1alpha1", "ScaledObject", "ScaledObject"},
    {"gateway.networking.k8s.io/v1", "HTTPRoute", "Route"},
    {"inference.networking.k8s.io/v1", "InferencePool", "Pool"},
    {"monitoring.coreos.com/v1", "ServiceMonitor", "Monitor"},
    {"monitoring.coreos.com/v1", "PrometheusRule", "Rules"},
    {"leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "LeaderWorkers"},
};

inline constexpr TypeRow kTypeRows[] = {
    {"Meta", "name!:string namespace:string labels:strings annotations:strings"},
    {"Selector", "matchLabels:strings matchExpressions:[any]"},
    {"Deployment", "spec!:DeploymentSpec"},
    {"DeploymentSpec",
     "replicas:int selector!:Selector template!:Template strategy:Strategy minReadySeconds:int "
     "revisionHistoryLimit:int paused:bool progressDeadlineSeconds:int"},
    {"Strategy", "type:string rollingUpdate:RollingUpdate"},
    {"RollingUpdate", "maxSurge:amount maxUnavailable:amount"},
    {"Template", "metadata:TemplateMeta spec!:Pod"},
    {"TemplateMeta", "name:string labels:strings annotations:strings"},
    {"Pod",
     "containers!:[Container] initContainers:[Container] volumes:[Volume] nodeSelector:strings affinity:any "
     "tolerations:[Toleration] terminationGracePeriodSeconds:int automountServiceAccountToken:bool "
     "serviceAccountName:string securityContext:PodSecurity restartPolicy:string priorityClassName:string "
     "runtimeClassName:string schedulerName:string imagePullSecrets:[any] hostNetwork:bool hostIPC:bool hostPID:bool "
     "dnsPolicy:string dnsConfig:any topologySpreadConstraints:[any] activeDeadlineSeconds:int nodeName:string "
     "shareProcessNamespace:bool hostname:string subdomain:string enableServiceLinks:bool readinessGates:[any]"},
    {"PodSecurity",
     "runAsNonRoot:bool runAsUser:int runAsGroup:int fsGroup:int fsGroupChangePolicy:string supplementalGroups:[int] "
     "seccompProfile:Seccomp sysctls:[any] seLinuxOptions:any"},
    {"Seccomp", "type!:string localhostProfile:string"},
    {"Toleration", "key:string operator:string value:string effect:string tolerationSeconds:int"},
    {"Container",
     "name!:string image!:string imagePullPolicy:string command:[string] args:[string] workingDir:string env:[Env] "
     "envFrom:[any] ports:[ContainerPort] resources:Resources volumeMounts:[Mount] startupProbe:Probe "
     "readinessProbe:Probe livenessProbe:Probe lifecycle:Lifecycle securityContext:Security stdin:bool tty:bool "
     "terminationMessagePath:string terminationMessagePolicy:string restartPolicy:string volumeDevices:[any]"},
    {"Env", "name!:string value:string valueFrom:EnvSource"},
    {"EnvSource", "secretKeyRef:KeyRef configMapKeyRef:KeyRef fieldRef:any resourceFieldRef:any"},
    {"KeyRef", "name!:string key!:string optional:bool"},
    {"ContainerPort", "name:string containerPort!:int protocol:string hostPort:int hostIP:string"},
    {"Resources", "requests:quantities limits:quantities claims:[any]"},
    {"Mount", "name!:string mountPath!:string readOnly:bool subPath:string subPathExpr:string mountPropagation:string"},
    {"Probe",
     "httpGet:HttpGet exec:Exec tcpSocket:TcpSocket grpc:any initialDelaySeconds:int periodSeconds:int "
     "timeoutSeconds:int successThreshold:int failureThreshold:int terminationGracePeriodSeconds:int"},
    {"HttpGet", "path:string port!:port scheme:string host:string httpHeaders:[any]"},
    {"TcpSocket", "port!:port host:string"},
    {"Exec", "command!:[string]"},
    {"Sleep", "seconds!:int"},
    {"Handler", "exec:Exec sleep:Sleep httpGet:HttpGet"},
    {"Lifecycle", "preStop:Handler postStart:Handler"},
    {"Security",
     "allowPrivilegeEscalation:bool readOnlyRootFilesystem:bool privileged:bool capabilities:Capabilities "
     "runAsNonRoot:bool runAsUser:int runAsGroup:int seccompProfile:Seccomp procMount:string seLinuxOptions:any"},
    {"Capabilities", "add:[string] drop:[string]"},
    {"Volume",
     "name!:string emptyDir:EmptyDir persistentVolumeClaim:ClaimRef secret:SecretRef configMap:any hostPath:any "
     "projected:any downwardAPI:any csi:any ephemeral:any nfs:any"},
    {"EmptyDir", "medium:string sizeLimit:quantity"},
    {"ClaimRef", "claimName!:string readOnly:bool"},
    {"SecretRef", "secretName!:string items:[any] defaultMode:int optional:bool"},
    {"Job", "spec!:JobSpec"},
    {"JobSpec",
     "template!:Template backoffLimit:int completions:int parallelism:int activeDeadlineSeconds:int "
     "ttlSecondsAfterFinished:int suspend:bool completionMode:string podFailurePolicy:any"},
    {"Service", "spec!:ServiceSpec"},
    {"ServiceSpec",
     "type:string selector:strings ports:[ServicePort] clusterIP:string publishNotReadyAddresses:bool "
     "sessionAffinity:string externalTrafficPolicy:string internalTrafficPolicy:string ipFamilyPolicy:string "
     "loadBalancerClass:string externalName:string"},
    {"ServicePort", "name:string port!:int targetPort:port protocol:string appProtocol:string nodePort:int"},
    {"Claim", "spec!:ClaimSpec"},
    {"ClaimSpec",
     "accessModes!:[string] storageClassName:string resources!:Resources volumeMode:string volumeName:string "
     "selector:Selector dataSource:any dataSourceRef:any"},
    {"ConfigMap", "data:strings binaryData:strings immutable:bool"},
    {"Secret", "data:strings stringData:strings type:string immutable:bool"},
    {"Namespace", "spec:any"},
    {"Budget", "spec!:BudgetSpec"},
    {"BudgetSpec", "minAvailable:amount maxUnavailable:amount selector!:Selector unhealthyPodEvictionPolicy:string"},
    {"Autoscaler", "spec!:AutoscalerSpec"},
    {"AutoscalerSpec", "scaleTargetRef!:ScaleTarget minReplicas:int maxReplicas!:int metrics:[any] behavior:any"},
    {"ScaleTarget", "apiVersion:string kind:string name!:string envSourceContainerName:string"},
    {"ScaledObject", "spec!:ScaledSpec"},
    {"ScaledSpec",
     "scaleTargetRef!:ScaleTarget minReplicaCount:int maxReplicaCount:int pollingInterval:int cooldownPeriod:int "
     "initialCooldownPeriod:int idleReplicaCount:int fallback:any advanced:any triggers!:[Trigger]"},
    {"Trigger",
     "type!:string metadata!:strings name:string metricType:string authenticationRef:any useCachedMetrics:bool"},
    {"Route", "spec!:RouteSpec"},
    {"RouteSpec", "parentRefs:[ParentRef] hostnames:[string] rules:[RouteRule]"},
    {"ParentRef", "group:string kind:string name!:string namespace:string sectionName:string port:int"},
    {"RouteRule",
     "name:string matches:[Match] filters:[Filter] backendRefs:[BackendRef] timeouts:Timeouts retry:any "
     "sessionPersistence:any"},
    {"Match", "path:PathMatch headers:[any] queryParams:[any] method:string"},
    {"PathMatch", "type:string value:string"},
    {"Filter",
     "type!:string urlRewrite:UrlRewrite requestRedirect:Redirect requestHeaderModifier:any "
     "responseHeaderModifier:any requestMirror:any extensionRef:any"},
    {"UrlRewrite", "hostname:string path:PathModifier"},
    {"Redirect", "scheme:string hostname:string path:PathModifier port:int statusCode:int"},
    {"PathModifier", "type!:string replaceFullPath:string replacePrefixMatch:string"},
    {"BackendRef", "group:string kind:string name!:string namespace:string port:int weight:int filters:[Filter]"},
    {"Timeouts", "request:duration backendRequest:duration"},
    {"Pool", "spec!:PoolSpec"},
    {"PoolSpec", "selector!:Selector targetPorts!:[PortNumber] endpointPickerRef!:PickerRef appProtocol:string"},
    {"PortNumber", "number!:int"},
    {"PickerRef", "group:string kind:string name!:string port:PortNumber failureMode:string"},
    {"Monitor", "spec!:MonitorSpec"},
    {"MonitorSpec",
     "selector!:Selector endpoints!:[Endpoint] namespaceSelector:SpaceSelector jobLabel:string targetLabels:[string] "
     "podTargetLabels:[string] sampleLimit:int"},
    {"SpaceSelector", "any:bool matchNames:[string]"},
    {"Endpoint",
     "port:string targetPort:port path:string scheme:string interval:duration scrapeTimeout:duration "
     "honorLabels:bool relabelings:[any] metricRelabelings:[any] bearerTokenSecret:any authorization:any "
     "tlsConfig:any params:any"},
    {"Rules", "spec!:RulesSpec"},
    {"RulesSpec", "groups!:[RuleGroup]"},
    {"RuleGroup", "name!:string interval:duration rules:[Rule] limit:int labels:strings"},
    {"Rule",
     "alert:string record:string expr!:string for:duration keep_firing_for:duration labels:strings "
     "annotations:strings"},
    {"LeaderWorkers", "spec!:LeaderWorkersSpec"},
    {"LeaderWorkersSpec",
     "replicas:int leaderWorkerTemplate!:LeaderWorkerTemplate rolloutStrategy:any startupPolicy:string"},
    {"LeaderWorkerTemplate", "leaderTemplate:Template workerTemplate!:Template size:int restartPolicy:string"},
};

}  // namespace polymath::commands
