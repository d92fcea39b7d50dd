{{/* dict "root" "name" (of the pods and their policy) "namespace" "containers" "selector" (unless by the name) "egress" */}}
{{- define "slackwater.networkPolicy" -}}
{{- $ports := list -}}
{{- range .containers }}{{ range .ports }}{{ $ports = append $ports .containerPort }}{{ end }}{{ end -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "slackwater.labels" .root | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- with .selector }}
      {{- toYaml . | nindent 6 }}
      {{- else }}
      app: {{ .name }}
      {{- include "slackwater.selectorLabels" .root | nindent 6 }}
      {{- end }}
  policyTypes:
  - Ingress
  {{- if .egress }}
  - Egress
  {{- end }}
  {{- with uniq $ports }}
  ingress:
  - ports:
    {{- range . }}
    - protocol: TCP
      port: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .egress }}
  egress:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
