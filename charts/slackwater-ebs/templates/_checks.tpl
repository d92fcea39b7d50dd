{{/* What cannot be followed: one message, which says what to do. */}}
{{- define "slackwater.checks" -}}
{{- $slackwater := .Values.slackwater -}}
{{- $controller := .Values.controller -}}
{{- if regexMatch "public\\.ecr\\.aws/ebs-csi-driver/aws-ebs-csi-driver$" .Values.image.repository -}}
{{- fail "image.repository names upstream's image, as the values of an upstream release do: set it to yours of Slackwater" -}}
{{- end -}}
{{- range fromYamlArray (include "slackwater.nodeSets" .) -}}
{{- $limit := .node.volumeAttachLimit | default 0 | int -}}
{{- $reserved := .node.reservedVolumeAttachments | default 0 | int -}}
{{- $both := not (or (kindIs "invalid" .node.volumeAttachLimit) (kindIs "invalid" .node.reservedVolumeAttachments)) -}}
{{- if and $both (ge $limit 0) (ge $reserved 0) -}}
{{- fail (printf "%s: volumeAttachLimit and reservedVolumeAttachments exclude each other: set one of them" .name) -}}
{{- end -}}
{{- end -}}
{{- $budget := $controller.podDisruptionBudget -}}
{{- if not (or (kindIs "invalid" $budget.maxUnavailable) (kindIs "invalid" $budget.minAvailable)) -}}
{{- fail "controller.podDisruptionBudget: maxUnavailable and minAvailable exclude each other: set one of them" -}}
{{- end -}}
{{- if ($controller.volumeModificationFeature).enabled -}}
{{- if ne $slackwater.mode "dropin" -}}
{{- fail "controller.volumeModificationFeature.enabled: there is no such container in slackwater.mode allInOne: take mode dropin, or change volumes by VolumeAttributesClass" -}}
{{- end -}}
{{- if not (.Values.sidecars.volumemodifier.image).repository -}}
{{- fail "controller.volumeModificationFeature.enabled: changes by annotation are made by upstream's volume-modifier-for-k8s: name its image in sidecars.volumemodifier.image, or change volumes by VolumeAttributesClass" -}}
{{- end -}}
{{- end -}}
{{- if eq $slackwater.mode "dropin" -}}
{{- if $slackwater.functions -}}
{{- fail "slackwater.functions is for slackwater.mode allInOne: the drop-in has a container a function" -}}
{{- end -}}
{{- else -}}
{{- range $name, $values := .Values.sidecars -}}
{{- $ofNode := has $name (list "nodeDriverRegistrar" "livenessProbe") -}}
{{- if and (not $ofNode) ($values.image).repository -}}
{{- fail (printf "sidecars.%s.image: there is no such container in slackwater.mode allInOne: leave it out, or take mode dropin" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq $slackwater.mode "allInOne") (not .Values.nodeComponentOnly) -}}
{{- $address := include "slackwater.valueOf" (dict "args" $controller.additionalArgs "flag" "http-endpoint" "default" (include "slackwater.driverEndpoint" .)) -}}
{{- if not (include "slackwater.port" $address) -}}
{{- fail (printf "controller.httpEndpoint, or --http-endpoint of controller.additionalArgs: in slackwater.mode allInOne kubelet asks there for the health of the pod, and does not reach %q: give :port" $address) -}}
{{- end -}}
{{- end -}}
{{- $snapshots := include "slackwater.snapshotEndpoint" . -}}
{{- if and $slackwater.snapshotController.enabled (not .Values.nodeComponentOnly) (not (include "slackwater.port" $snapshots)) -}}
{{- fail (printf "slackwater.snapshotController.additionalArgs: kubelet asks at --http-endpoint for the health of the pod, and does not reach %q: give :port" $snapshots) -}}
{{- end -}}
{{- $probe := include "slackwater.probeHealth" . -}}
{{- if not (include "slackwater.port" $probe) -}}
{{- fail (printf "sidecars.livenessProbe.additionalArgs: kubelet asks at --http-endpoint for the health of the driver, and does not reach %q: give :port" $probe) -}}
{{- end -}}
{{- if and .Values.volumeSnapshotClasses $slackwater.strict (not (include "slackwater.hasSnapshots" .)) -}}
{{- fail "volumeSnapshotClasses: the kind VolumeSnapshotClass (snapshot.storage.k8s.io/v1) is not there: install the definitions first (slackwater crds | kubectl apply --server-side -f -)" -}}
{{- end -}}
{{- $unmonitored := include "slackwater.unmonitored" . | fromYamlArray -}}
{{- if and $unmonitored $slackwater.strict -}}
{{- fail (printf "%s: the kinds of the Prometheus operator (monitoring.coreos.com/v1) are not there: install it, leave them off, or set forceEnable of each" (join ", " $unmonitored)) -}}
{{- end -}}
{{- if $slackwater.checkCluster }}{{ include "slackwater.checkCluster" . }}{{ end -}}
{{- end -}}

{{/* What the cluster has already. Nothing is looked up by `helm template`. */}}
{{- define "slackwater.checkCluster" -}}
{{- if and (ne .Release.Namespace "kube-system") (not .Values.nodeComponentOnly) -}}
{{- if lookup "apps/v1" "Deployment" "kube-system" "ebs-csi-controller" -}}
{{- fail (printf "kube-system has a Deployment ebs-csi-controller: leases are of a namespace, so that it and this one in %s would do everything twice; install into kube-system, or uninstall the other one first" .Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- with lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "volumesnapshots.snapshot.storage.k8s.io" -}}
{{- $served := list -}}
{{- range .spec.versions }}{{ if .served }}{{ $served = append $served .name }}{{ end }}{{ end -}}
{{- if not (has "v1" $served) -}}
{{- fail (printf "the definition of VolumeSnapshot serves %s, not v1: install the present ones first (slackwater crds | kubectl apply --server-side -f -)" (join ", " $served)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.slackwater.snapshotController.enabled (not .Values.nodeComponentOnly) -}}
{{- range (lookup "apps/v1" "Deployment" "" "").items -}}
{{- $annotations := .metadata.annotations | default dict -}}
{{- $owner := list (get $annotations "meta.helm.sh/release-namespace") (get $annotations "meta.helm.sh/release-name") -}}
{{- $isOurs := deepEqual $owner (list $.Release.Namespace $.Release.Name) -}}
{{- $isOne := eq .metadata.name "snapshot-controller" -}}
{{- range .spec.template.spec.containers }}{{ if eq .name "snapshot-controller" }}{{ $isOne = true }}{{ end }}{{ end -}}
{{- if and $isOne (not $isOurs) -}}
{{- fail (printf "slackwater.snapshotController.enabled: %s has a snapshot-controller already (Deployment %s), and leases are of a namespace, so that both would do all work; leave it off, or uninstall that one first" .metadata.namespace .metadata.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.node.enableWindows -}}
{{- range (lookup "v1" "Node" "" "").items -}}
{{- if eq (get (.metadata.labels | default dict) "kubernetes.io/os") "windows" -}}
{{- fail (printf "node %s runs Windows, for which there is no node service here: keep upstream's chart, or set node.enableWindows to false" .metadata.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What is followed but may surprise: a list, as YAML. */}}
{{- define "slackwater.remarks" -}}
{{- $all := list -}}
{{- $controller := .Values.controller -}}
{{- if and .Values.volumeSnapshotClasses (not (include "slackwater.hasSnapshots" .)) -}}
{{- $then := ternary "They come with this release: the next helm upgrade makes the classes." "slackwater.crds.install brings them." (.Values.slackwater.crds.install | default false) -}}
{{- $all = append $all (printf "volumeSnapshotClasses are left out: the snapshot definitions are not there. %s" $then) -}}
{{- end -}}
{{- if .Values.node.enableWindows -}}
{{- $all = append $all "node.enableWindows: there is no node service for Windows here, and no DaemonSet of it." -}}
{{- end -}}
{{- with include "slackwater.tightBudget" . -}}
{{- $all = append $all (printf "controller.podDisruptionBudget.%s: no node with a pod of the controller can be drained." .) -}}
{{- end -}}
{{- if ne .Values.slackwater.mode "dropin" -}}
{{- if ne (toJson $controller.resources) (include "slackwater.defaultResources" .) -}}
{{- $all = append $all "controller.resources: the one container of slackwater.mode allInOne has slackwater.allInOne.resources instead." -}}
{{- end -}}
{{- range $name, $values := .Values.sidecars -}}
{{- if and $values.resources (has $name (list "provisioner" "attacher" "snapshotter" "resizer")) -}}
{{- $all = append $all (printf "sidecars.%s.resources: there is no such container in slackwater.mode allInOne; see slackwater.allInOne.resources." $name) -}}
{{- end -}}
{{- $dropped := list -}}
{{- range fromYamlArray (include "slackwater.flags" $values.additionalArgs) }}{{ if has . (list "kube-api-qps" "kube-api-burst") }}{{ $dropped = append $dropped (printf "--%s" .) }}{{ end }}{{ end -}}
{{- if and $dropped (ne $name "metadataLabeler") -}}
{{- $all = append $all (printf "sidecars.%s.additionalArgs: %s are left out: the one process of slackwater.mode allInOne has no limit of requests." $name (join ", " $dropped)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $controller.enableMetrics (not .Values.nodeComponentOnly) -}}
{{- $closed := "nobody outside of the pod reaches it: no port, probe or Service leads there." -}}
{{- if not (include "slackwater.driverPort" .) -}}
{{- $all = append $all (printf "controller.httpEndpoint, or --http-endpoint of controller.additionalArgs: %s" $closed) -}}
{{- end -}}
{{- range fromYamlArray (include "slackwater.running" .) -}}
{{- $given := (get $.Values.sidecars .values).additionalArgs -}}
{{- if not (include "slackwater.portOf" (dict "args" $given "default" .port)) -}}
{{- $all = append $all (printf "sidecars.%s.additionalArgs, --http-endpoint: %s" .values $closed) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if gt (int $controller.replicaCount) 1 -}}
{{- range fromYamlArray (include "slackwater.running" .) -}}
{{- if not (get $.Values.sidecars .values).leaderElection.enabled -}}
{{- $all = append $all (printf "sidecars.%s.leaderElection.enabled is false with %v replicas: each of them does all of the work." .values (int $controller.replicaCount)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $controller.envFrom (not .Values.node.envFrom) -}}
{{- $all = append $all "controller.envFrom is for the controller's containers alone; upstream's chart gives it to those of every node too. For them there is node.envFrom." -}}
{{- end -}}
{{- $labeler := .Values.sidecars.metadataLabeler.enabled -}}
{{- $named := contains "metadata-labeler" (.Values.node.metadataSources | default "") -}}
{{- if and $labeler (not $named) -}}
{{- $all = append $all "sidecars.metadataLabeler.enabled: the labels are written, and no node goes by them: name metadata-labeler in node.metadataSources." -}}
{{- end -}}
{{- if and $named (not $labeler) -}}
{{- $all = append $all "node.metadataSources names metadata-labeler, and sidecars.metadataLabeler.enabled is false: nodes that have no labels yet go by the next source." -}}
{{- end -}}
{{- if and .Values.slackwater.networkPolicy.enabled .Values.node.hostNetwork -}}
{{- $all = append $all "slackwater.networkPolicy: with node.hostNetwork the pods of the nodes have the network of their node, which no NetworkPolicy is about." -}}
{{- end -}}
{{- if and .Values.helmTester.enabled .Values.helmTester.image -}}
{{- $all = append $all "helmTester.image is without effect: the test is a part of our program." -}}
{{- end -}}
{{- if .Values.fips -}}
{{- $all = append $all "fips: AWS's FIPS endpoints are used; the program's own cryptography is not validated (docs/deviations.md)." -}}
{{- end -}}
{{- with include "slackwater.unmonitored" . | fromYamlArray -}}
{{- $all = append $all (printf "%s: left out, since the kinds of the Prometheus operator are not there. The next helm upgrade makes them once they are; forceEnable of each makes them anyway." (join ", " .)) -}}
{{- end -}}
{{- if and .Values.slackwater.podMonitor.enabled (not .Values.nodeComponentOnly) (not (include "slackwater.metricsPorts" . | fromYamlArray)) -}}
{{- $all = append $all "slackwater.podMonitor: the controller has none, since no port of it is open: set controller.enableMetrics." -}}
{{- end -}}
{{- if ne .Release.Namespace "kube-system" -}}
{{- $all = append $all (printf "The leases are in %s: an EBS driver in another namespace would work beside this one." .Release.Namespace) -}}
{{- end -}}
{{- if and (eq .Values.slackwater.mode "dropin") (not .Values.slackwater.upstreamRights) .Release.IsUpgrade -}}
{{- $all = append $all "The rights are those of our programs. While pods of upstream's are in the same Deployment, set slackwater.upstreamRights." -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* What values.yaml has as controller.resources, which no template can read once it is replaced. */}}
{{- define "slackwater.defaultResources" -}}
{{- dict "limits" (dict "memory" "256Mi") "requests" (dict "cpu" "10m" "memory" "40Mi") | toJson -}}
{{- end -}}

{{/* What of the disruption budget lets no pod go, or nothing. */}}
{{- define "slackwater.tightBudget" -}}
{{- $budget := .Values.controller.podDisruptionBudget -}}
{{- $least := toString $budget.minAvailable -}}
{{- if $budget.enabled -}}
{{- if has (toString $budget.maxUnavailable) (list "0" "0%") -}}
maxUnavailable is {{ $budget.maxUnavailable }}
{{- else if kindIs "invalid" $budget.minAvailable -}}
{{- else if or (eq $least "100%") (and (not (hasSuffix "%" $least)) (ge (int $least) (int .Values.controller.replicaCount))) -}}
minAvailable is {{ $least }} of {{ int .Values.controller.replicaCount }} replicas
{{- end -}}
{{- end -}}
{{- end -}}
