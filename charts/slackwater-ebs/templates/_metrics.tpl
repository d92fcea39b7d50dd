{{/* A Service, and where Prometheus' operator is there a ServiceMonitor: dict "root" "name" "app" "port" "of" (.Values.controller or
     the values of a set of nodes) "namespace" "local" "byPods": a PodMonitor is there instead. */}}
{{- define "slackwater.metrics" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    app: {{ .name }}
    app.kubernetes.io/part-of: slackwater
  {{- if .of.enablePrometheusAnnotations }}
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: {{ .port | quote }}
  {{- end }}
spec:
  type: ClusterIP
  {{- if .local }}
  internalTrafficPolicy: Local
  {{- end }}
  selector:
    app: {{ .app }}
    {{- /* Two releases in a namespace are told apart. */}}
    {{- if not (has .root.Release.Name (list "kustomize" "aws-ebs-csi-driver")) }}
    app.kubernetes.io/instance: {{ .root.Release.Name }}
    {{- end }}
  ports:
  - name: metrics
    port: {{ .port }}
    targetPort: {{ .port }}
{{- $byService := and (not .byPods) (.root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor") }}
{{- if or .of.serviceMonitor.forceEnable $byService }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    app: {{ .name }}
    app.kubernetes.io/part-of: slackwater
    {{- with .of.serviceMonitor.labels }}
    {{- include "slackwater.strings" . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      app: {{ .name }}
  namespaceSelector:
    matchNames:
    - {{ .namespace }}
  endpoints:
  - targetPort: {{ .port }}
    path: /metrics
    interval: {{ .of.serviceMonitor.interval | default "15s" }}
    {{- with .of.serviceMonitor.relabelings }}
    relabelings:
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end -}}

{{/* Whether an object for the operator is wanted and can be made: dict "root" "kind" "of" (its values). */}}
{{- define "slackwater.monitors" -}}
{{- $served := .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) -}}
{{- if and .of.enabled (or .of.forceEnable $served) }}yes{{ end -}}
{{- end -}}

{{/* What is wanted for the operator and cannot be made, for want of the kind: a list of values, as YAML. */}}
{{- define "slackwater.unmonitored" -}}
{{- $names := list -}}
{{- range $name, $kind := dict "prometheusRule" "PrometheusRule" "podMonitor" "PodMonitor" -}}
{{- $values := get $.Values.slackwater $name -}}
{{- if and $values.enabled (not (include "slackwater.monitors" (dict "root" $ "kind" $kind "of" $values))) -}}
{{- $names = append $names (printf "slackwater.%s" $name) -}}
{{- end -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{/* The names of all open ports of the controller's metrics, as YAML. */}}
{{- define "slackwater.metricsPorts" -}}
{{- $ports := list -}}
{{- range include (printf "slackwater.%s" .Values.slackwater.mode) . | fromYamlArray }}
{{- range .ports }}{{ if hasPrefix "metrics" .name }}{{ $ports = append $ports .name }}{{ end }}{{ end }}
{{- end -}}
{{- toYaml $ports -}}
{{- end -}}
