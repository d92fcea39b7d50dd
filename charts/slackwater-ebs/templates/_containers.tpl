{{/* The containers of the drop-in: upstream's, each our program in the mode of that name. */}}
{{- define "slackwater.dropin" -}}
{{- $httpPort := include "slackwater.driverPort" . -}}
- name: ebs-plugin
  {{- include "slackwater.program" (dict "root" . "mode" "aws-ebs-csi-driver") | nindent 2 }}
  args:
  - controller
  - --endpoint=$(CSI_ENDPOINT)
  {{- $defaults := list (include "slackwater.args.driver" . | trim) }}
  {{- with .Values.controller.loggingFormat }}{{ $defaults = append $defaults (printf "- --logging-format=%s" .) }}{{ end }}
  {{- $defaults = append $defaults (printf "- --v=%v" (include "slackwater.verbosity" (dict "root" . "level" .Values.controller.logLevel))) }}
  {{- if $httpPort }}{{ $defaults = append $defaults (printf "- --http-endpoint=%s" (.Values.controller.httpEndpoint | default "0.0.0.0:3301")) }}{{ end }}
  {{- include "slackwater.merged" (dict "defaults" (join "\n" $defaults) "extra" .Values.controller.additionalArgs) | nindent 2 }}
  env:
  {{- include "slackwater.env" (concat (include "slackwater.controllerEnv" . | fromYamlArray) (.Values.controller.env | default list)) | nindent 2 }}
  {{- with .Values.controller.envFrom }}
  envFrom:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  ports:
  - name: healthz
    containerPort: 9808
  {{- if $httpPort }}
  - name: metrics
    containerPort: {{ $httpPort }}
  {{- end }}
  livenessProbe:
    httpGet:
      path: /healthz
      port: healthz
    initialDelaySeconds: 10
    periodSeconds: 10
    timeoutSeconds: 60
    failureThreshold: 10
  readinessProbe:
    httpGet:
      path: /healthz
      port: healthz
    initialDelaySeconds: 10
    periodSeconds: 10
    timeoutSeconds: 60
    failureThreshold: 5
  {{- include "slackwater.containerRest" (dict "resources" .Values.controller.resources "security" .Values.controller.containerSecurityContext "mounts" .Values.controller.volumeMounts) | nindent 2 }}
{{- range fromYamlArray (include "slackwater.running" .) }}
{{ include "slackwater.sidecar" (merge (dict "root" $) .) }}
{{- end }}
{{- if (.Values.controller.volumeModificationFeature).enabled }}
{{ include "slackwater.volumemodifier" . }}
{{- end }}
{{ include "slackwater.livenessProbe" (dict "root" . "args" (list "--csi-address=/csi/csi.sock" "--probe-timeout=60s") "volume" "socket-dir" "envFrom" .Values.controller.envFrom "metrics" .Values.controller.enableMetrics) }}
{{- end -}}

{{/* Where the driver serves metrics in the drop-in, or nothing. */}}
{{- define "slackwater.driverPort" -}}
{{- if or .Values.controller.enableMetrics .Values.controller.httpEndpoint -}}
{{- include "slackwater.port" (dict "address" .Values.controller.httpEndpoint "default" "3301") -}}
{{- end -}}
{{- end -}}

{{- define "slackwater.containerRest" -}}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .security }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
- name: socket-dir
  mountPath: /var/lib/csi/sockets/pluginproxy/
{{- with .mounts }}
{{ toYaml . }}
{{- end }}
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* A sidecar: what "slackwater.functions" says of it, and "root". */}}
{{- define "slackwater.sidecar" -}}
{{- $values := get .root.Values.sidecars .values -}}
{{- $defaults := list "- --csi-address=$(ADDRESS)" (printf "- --v=%v" (include "slackwater.verbosity" (dict "root" .root "level" $values.logLevel))) }}
{{- $defaults = append $defaults (include (printf "slackwater.args.%s" .name) .root) }}
{{- if .root.Values.controller.enableMetrics }}{{ $defaults = append $defaults (printf "- --http-endpoint=0.0.0.0:%v" .port) }}{{ end -}}
{{- /* Upstream's sidecars have no such flag. */}}
{{- $traces := list -}}
{{- with .root.Values.controller.otelTracing }}{{ if not ($values.image).repository }}
{{- $defaults = append $defaults "- --enable-otel-tracing=true" }}
{{- $traces = list (dict "name" "OTEL_EXPORTER_OTLP_ENDPOINT" "value" .otelExporterEndpoint) }}
{{- end }}{{ end }}
{{- $args := include "slackwater.merged" (dict "defaults" (join "\n" $defaults) "extra" $values.additionalArgs) -}}
- name: {{ .name }}
  {{- include "slackwater.program" (dict "root" .root "mode" .name "image" $values.image) | nindent 2 }}
  args:
  {{- $args | nindent 2 }}
  env:
  {{- $env := list (dict "name" "ADDRESS" "value" "/var/lib/csi/sockets/pluginproxy/csi.sock") }}
  {{- if has .name (list "csi-provisioner" "csi-resizer") }}{{ $env = append $env (dict "name" "ENABLE_VAC_FALLBACK" "value" "true") }}{{ end }}
  {{- $env = concat $env (include "slackwater.proxy" .root | fromYamlArray) $traces ($values.env | default list) }}
  {{- include "slackwater.env" $env | nindent 2 }}
  {{- with .root.Values.controller.envFrom }}
  envFrom:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if .root.Values.controller.enableMetrics }}
  ports:
  - name: {{ .portName }}
    containerPort: {{ include "slackwater.portOf" (dict "args" $values.additionalArgs "default" .port) }}
  {{- /* Without an election nothing answers there. */}}
  {{- if include "slackwater.elected" $args }}
  # It restarts when it can no longer renew its lease.
  livenessProbe:
    httpGet:
      path: /healthz/leader-election
      port: {{ .portName }}
    initialDelaySeconds: 10
    periodSeconds: 20
    timeoutSeconds: 10
    failureThreshold: 3
  {{- end }}
  {{- end }}
  {{- include "slackwater.containerRest" (dict "resources" (default .root.Values.controller.resources $values.resources) "security" $values.securityContext) | nindent 2 }}
{{- end -}}

{{/* The labeler of the nodes, which needs no socket. */}}
{{- define "slackwater.metadataLabeler" -}}
{{- $values := .Values.sidecars.metadataLabeler -}}
- name: metadata-labeler
  {{- include "slackwater.program" (dict "root" . "mode" "aws-ebs-csi-driver") | nindent 2 }}
  args:
  - metadataLabeler
  {{- include "slackwater.merged" (dict "defaults" (include "slackwater.args.labeler" . | trim) "extra" $values.additionalArgs) | nindent 2 }}
  env:
  {{- include "slackwater.env" (concat (include "slackwater.cloudEnv" . | fromYamlArray) ($values.env | default list)) | nindent 2 }}
  {{- with .Values.controller.envFrom }}
  envFrom:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with default .Values.controller.resources $values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* The sidecar of upstream's older way to change volumes, by annotations: upstream's program, which we have none of. */}}
{{- define "slackwater.volumemodifier" -}}
{{- $values := .Values.sidecars.volumemodifier -}}
{{- $defaults := list "- --timeout=60s" "- --csi-address=$(ADDRESS)" (printf "- --v=%v" (include "slackwater.verbosity" (dict "root" . "level" $values.logLevel))) }}
{{- $defaults = append $defaults (include "slackwater.election" $values.leaderElection) }}
{{- if .Values.controller.enableMetrics }}{{ $defaults = append $defaults "- --http-endpoint=0.0.0.0:3307" }}{{ end -}}
- name: volumemodifier
  {{- include "slackwater.program" (dict "root" . "mode" "volumemodifier" "image" $values.image) | nindent 2 }}
  args:
  {{- include "slackwater.merged" (dict "defaults" (join "\n" $defaults) "extra" $values.additionalArgs) | nindent 2 }}
  env:
  - name: ADDRESS
    value: /var/lib/csi/sockets/pluginproxy/csi.sock
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: POD_NAMESPACE
    valueFrom:
      fieldRef:
        fieldPath: metadata.namespace
  {{- with concat (include "slackwater.proxy" . | fromYamlArray) ($values.env | default list) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .Values.controller.envFrom }}
  envFrom:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if .Values.controller.enableMetrics }}
  ports:
  - name: metrics-volmod
    containerPort: {{ include "slackwater.portOf" (dict "args" $values.additionalArgs "default" 3307) }}
  {{- end }}
  {{- include "slackwater.containerRest" (dict "resources" (default .Values.controller.resources $values.resources) "security" $values.securityContext "mounts" $values.volumeMounts) | nindent 2 }}
{{- end -}}

{{/* dict "root" "args" (defaults, list) "volume" "envFrom" "metrics" */}}
{{- define "slackwater.livenessProbe" -}}
{{- $values := .root.Values.sidecars.livenessProbe -}}
{{- $given := include "slackwater.flags" $values.additionalArgs | fromYamlArray -}}
{{- $args := .args -}}
{{- if and .metrics (not (has "http-endpoint" $given)) }}{{ $args = append $args "--metrics-address=0.0.0.0:3305" }}{{ end -}}
- name: liveness-probe
  {{- include "slackwater.program" (dict "root" .root "mode" "livenessprobe" "image" $values.image) | nindent 2 }}
  args:
  {{- include "slackwater.merged" (dict "defaults" (toYaml $args) "extra" $values.additionalArgs) | nindent 2 }}
  {{- with .envFrom }}
  envFrom:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if .metrics }}
  ports:
  - name: metrics-lp
    containerPort: {{ include "slackwater.portOf" (dict "args" $values.additionalArgs "default" 3305) }}
  {{- end }}
  resources:
  {{- with $values.resources }}
    {{- toYaml . | nindent 4 }}
  {{- else }}
    requests:
      cpu: 10m
      memory: 32Mi
    limits:
      memory: 32Mi
  {{- end }}
  {{- with $values.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
  - name: {{ .volume }}
    mountPath: /csi
  terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* The one container of the other shape. The functions call the driver in memory; the socket is served besides. */}}
{{- define "slackwater.allInOne" -}}
{{- $running := fromYamlArray (include "slackwater.running" .) -}}
{{- $functions := list "driver" -}}
{{- range $running }}{{ $functions = append $functions .name }}{{ end -}}
{{- $driver := list "- --endpoint=$(CSI_ENDPOINT)" (include "slackwater.args.driver" . | trim) -}}
{{- with .Values.controller.httpEndpoint }}{{ $driver = append $driver (printf "- --http-endpoint=%s" .) }}{{ end -}}
{{- $driverArgs := include "slackwater.merged" (dict "defaults" (join "\n" $driver) "extra" .Values.controller.additionalArgs) -}}
- name: ebs-plugin
  image: {{ include "slackwater.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [slackwater, controller]
  args:
  - --functions={{ join "," $functions }}
  {{- with .Values.controller.loggingFormat }}
  - --logging-format={{ . }}
  {{- end }}
  - --v={{ include "slackwater.verbosity" (dict "root" . "level" .Values.controller.logLevel) }}
  {{- include "slackwater.prefixed" (dict "args" $driverArgs "function" "driver") | nindent 2 }}
  {{- range $running }}
  {{- $args := include "slackwater.merged" (dict "defaults" (include (printf "slackwater.args.%s" .name) $) "extra" (get $.Values.sidecars .values).additionalArgs) }}
  {{- include "slackwater.prefixed" (dict "args" $args "function" .name) | nindent 2 }}
  {{- end }}
  env:
  {{- $fallback := list (dict "name" "ENABLE_VAC_FALLBACK" "value" "true") }}
  {{- $env := concat (include "slackwater.controllerEnv" . | fromYamlArray) $fallback (.Values.controller.env | default list) }}
  {{- range $running }}{{ $env = concat $env ((get $.Values.sidecars .values).env | default list) }}{{ end }}
  {{- include "slackwater.env" $env | nindent 2 }}
  {{- with .Values.controller.envFrom }}
  envFrom:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  ports:
  - name: metrics
    containerPort: {{ include "slackwater.port" (dict "address" .Values.controller.httpEndpoint "default" "3301") }}
  {{- range $running }}
  - name: {{ .portName }}
    containerPort: {{ include "slackwater.portOf" (dict "args" (get $.Values.sidecars .values).additionalArgs "default" .port) }}
  {{- end }}
  livenessProbe:
    httpGet:
      path: /healthz
      port: metrics
    initialDelaySeconds: 10
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet:
      path: /readyz
      port: metrics
    periodSeconds: 5
    timeoutSeconds: 5
  {{- include "slackwater.containerRest" (dict "resources" .Values.slackwater.allInOne.resources "security" .Values.controller.containerSecurityContext "mounts" .Values.controller.volumeMounts) | nindent 2 }}
{{- end -}}
