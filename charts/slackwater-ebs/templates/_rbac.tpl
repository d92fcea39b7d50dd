{{/* The rules of a role as deploy/ has them, and where wanted those that upstream's programs use besides:
     dict "root" "file" "role" "extra". */}}
{{- define "slackwater.rules" -}}
{{- $rules := list -}}
{{- range splitList "\n---\n" (.root.Files.Get (printf "files/deploy/%s" .file)) -}}
{{- $object := fromYaml . -}}
{{- if $object.rules }}{{ if eq $object.metadata.name $.role }}{{ $rules = concat $rules $object.rules }}{{ end }}{{ end -}}
{{- end -}}
{{- if .root.Values.slackwater.upstreamRights -}}
{{- range (fromYaml (.root.Files.Get "files/deploy/ebs/components/upstream-rights/kustomization.yaml")).patches -}}
{{- if eq .target.name $.role }}{{ range fromYamlArray .patch }}{{ $rules = append $rules .value }}{{ end }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml (concat $rules (.extra | default list)) -}}
{{- end -}}

{{/* dict "root" "kind" (of the role) "binding" "role" "account" "accountNamespace" "namespace" (of both, if any) */}}
{{- define "slackwater.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .binding }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "slackwater.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .role }}
subjects:
- kind: ServiceAccount
  name: {{ .account }}
  namespace: {{ .accountNamespace }}
{{- end -}}

{{/* dict "root" "namespace" "account" (values) */}}
{{- define "slackwater.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .account.name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "slackwater.labels" .root | nindent 4 }}
  {{- with .account.annotations }}
  annotations:
    {{- include "slackwater.strings" . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Annotations of an object that is there while `helm test` runs: its weight. */}}
{{- define "slackwater.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end -}}
