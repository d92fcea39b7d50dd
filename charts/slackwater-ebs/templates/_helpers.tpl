{{/* The name in the selectors. It is upstream's, which an upgrade from its chart cannot change. */}}
{{- define "slackwater.name" -}}
{{- default "aws-ebs-csi-driver" .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* A map whose values Kubernetes wants to be texts, as YAML. A number is written as it was given, not as 1e+06. */}}
{{- define "slackwater.strings" -}}
{{- $all := dict -}}
{{- range $name, $value := . }}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $all $name (kindIs "string" $value | ternary $value (toJson $value)) }}{{ end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{- define "slackwater.selectorLabels" -}}
app.kubernetes.io/name: {{ include "slackwater.name" . }}
{{- if ne .Release.Name "kustomize" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- end -}}

{{- define "slackwater.labels" -}}
{{ include "slackwater.selectorLabels" . }}
{{ include "slackwater.otherLabels" . }}
{{- end -}}

{{/* Labels that are no part of a selector. */}}
{{- define "slackwater.otherLabels" -}}
app.kubernetes.io/component: csi-driver
app.kubernetes.io/part-of: slackwater
{{- if ne .Release.Name "kustomize" }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- with .Values.customLabels }}
{{ include "slackwater.strings" . }}
{{- end }}
{{- end -}}

{{- define "slackwater.nodeNamespace" -}}
{{- .Values.node.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* An image: dict "root" "repository" "tag". */}}
{{- define "slackwater.imageOf" -}}
{{- $tag := .tag | default .root.Values.image.tag | default (printf "v%s" .root.Chart.AppVersion) -}}
{{- printf "%s%s:%s" (.root.Values.image.containerRegistry | default "") .repository ($tag | toString) -}}
{{- end -}}

{{/* The one image of the controller's containers. */}}
{{- define "slackwater.image" -}}
{{- include "slackwater.imageOf" (dict "root" . "repository" .Values.image.repository) -}}
{{- end -}}

{{/* The image of the node service, which mounts and formats. */}}
{{- define "slackwater.nodeImage" -}}
{{- $image := .Values.slackwater.node.image -}}
{{- $repository := $image.repository | default (printf "%s-node" .Values.image.repository) -}}
{{- include "slackwater.imageOf" (dict "root" . "repository" $repository "tag" $image.tag) -}}
{{- end -}}

{{/* Image and command of a container: dict "root" "image" "mode". An image that the user names for one sidecar is started by
     its entry point: it may be one of ours that has the name of the program, or upstream's. */}}
{{- define "slackwater.program" -}}
{{- if (.image).repository }}
image: {{ include "slackwater.imageOf" (dict "root" .root "repository" .image.repository "tag" .image.tag) }}
imagePullPolicy: {{ .image.pullPolicy | default .root.Values.image.pullPolicy }}
{{- else }}
image: {{ include "slackwater.image" .root }}
imagePullPolicy: {{ (.image).pullPolicy | default .root.Values.image.pullPolicy }}
command: [slackwater, {{ .mode }}]
{{- end }}
{{- end -}}

{{/* What has a name, once each, the last one counts: a list of environment variables. */}}
{{- define "slackwater.env" -}}
{{- $last := dict -}}
{{- range . }}{{ $_ := set $last .name . }}{{ end -}}
{{- $kept := list -}}
{{- range . }}
{{- with get $last .name }}{{ $kept = append $kept . }}{{ end -}}
{{- $_ := unset $last .name -}}
{{- end -}}
{{- toYaml $kept -}}
{{- end -}}

{{- define "slackwater.proxy" -}}
{{- with .Values.proxy.http_proxy }}
- name: HTTP_PROXY
  value: {{ . | quote }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
- name: NO_PROXY
  value: {{ $.Values.proxy.no_proxy | default "" | quote }}
{{- end }}
{{- end -}}

{{- define "slackwater.verbosity" -}}
{{- if .root.Values.debugLogs }}7{{ else }}{{ .level }}{{ end -}}
{{- end -}}

{{/* What the driver's process is told by its environment: dict "root" "of" (.Values.controller or .Values.node). */}}
{{- define "slackwater.driverEnv" -}}
{{- include "slackwater.proxy" .root }}
{{- with .of.otelTracing }}
- name: OTEL_SERVICE_NAME
  value: {{ .otelServiceName | quote }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .otelExporterEndpoint | quote }}
{{- end }}
{{- if .root.Values.fips }}
- name: AWS_USE_FIPS_ENDPOINT
  value: "true"
{{- end }}
{{- end -}}

{{- define "slackwater.controllerEnv" -}}
- name: CSI_ENDPOINT
  value: unix:///var/lib/csi/sockets/pluginproxy/csi.sock
{{ include "slackwater.cloudEnv" . }}
{{- end -}}

{{/* What each container of the controller's pod is told that asks AWS. */}}
{{- define "slackwater.cloudEnv" -}}
- name: CSI_NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- with .Values.awsAccessSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .keyId | quote }}
      optional: true
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .accessKey | quote }}
      optional: true
{{- end }}
- name: AWS_EC2_ENDPOINT
  valueFrom:
    configMapKeyRef:
      name: aws-meta
      key: endpoint
      optional: true
- name: AWS_SAGEMAKER_ENDPOINT
  valueFrom:
    configMapKeyRef:
      name: aws-meta
      key: sagemaker_endpoint
      optional: true
{{- with .Values.controller.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- include "slackwater.driverEnv" (dict "root" . "of" .Values.controller) }}
{{- end -}}

{{/* How pods are replaced. The API server refuses rollingUpdate, which the defaults bring, for another type. */}}
{{- define "slackwater.updateStrategy" -}}
{{- ternary . (omit . "rollingUpdate") (eq (.type | default "RollingUpdate") "RollingUpdate") | toYaml -}}
{{- end -}}

{{- define "slackwater.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether the definitions of the snapshot kinds can be seen, or are installed by this chart. */}}
{{- define "slackwater.hasSnapshots" -}}
{{- if or .Values.sidecars.snapshotter.forceEnable (.Capabilities.APIVersions.Has "snapshot.storage.k8s.io/v1") -}}
yes
{{- else if .Values.slackwater.crds.install -}}
{{- /* Helm looks up all kinds before it makes the first object; who renders without a cluster can apply the definitions first. */ -}}
{{- if .Values.slackwater.checkCluster }}{{ if not (lookup "v1" "Namespace" "" "kube-system") }}yes{{ end }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Name, annotations and labels of a class. */}}
{{- define "slackwater.classMetadata" -}}
name: {{ .name }}
{{- range $field := list "annotations" "labels" }}
{{- with get $ $field }}
{{ $field }}:
  {{- include "slackwater.strings" . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "slackwater.classParameters" -}}
{{- with .parameters }}
parameters:
  {{- include "slackwater.strings" . | nindent 2 }}
{{- end }}
{{- end -}}
