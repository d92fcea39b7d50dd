{{/* The containers of the drop-in: upstream's, each our program in the mode of that name. */}}
{{- define "slackwater.dropin" -}}
{{- $endpoint := include "slackwater.driverEndpoint" . -}}
{{- $httpPort := include "slackwater.driverPort" . -}}
- name: ebs-plugin
  {{- include "slackwater.program" (dict "root" . "mode" "aws-ebs-csi-driver") | nindent 2 }}
  args:
  - controller
  - --endpoint=$(CSI_ENDPOINT)
  {{- $defaults := list (include "slackwater.args.driver" . | trim) }}
  {{- with .Values.controller.loggingFormat }}{{ $defaults = append $defaults (printf "- --logging-format=%s" .) }}{{ end }}
  {{- $defaults = append $defaults (printf "- --v=%v" (include "slackwater.verbosity" (dict "root" . "level" .Values.controller.logLevel))) }}
  {{- with $endpoint }}{{ $defaults = append $defaults (printf "- --http-endpoint=%s" .) }}{{ end }}
  {{- include "slackwater.merged" (dict "defaults" (join "\n" $defaults) "extra" .Values.controller.additionalArgs) | nindent 2 }}
  env:
  {{- include "slackwater.env" (concat (include "slackwater.controllerEnv" . | fromYamlArray) (.Values.controller.env | default list)) | nindent 2 }}
  {{- with .Values.controller.envFrom }}
  envFrom:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  ports:
  - name: healthz
    containerPort: {{ include "slackwater.port" (include "slackwater.probeHealth" .) }}
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

{{/* Where the driver is told by the values to serve metrics, and in the other shape health, or nothing. */}}
{{- define "slackwater.driverEndpoint" -}}
{{- $default := or .Values.controller.enableMetrics (eq .Values.slackwater.mode "allInOne") | ternary "0.0.0.0:3301" "" -}}
{{- .Values.controller.httpEndpoint | default $default -}}
{{- end -}}

{{/* Its port that others reach, or nothing; the arguments may name another address. */}}
{{- define "slackwater.driverPort" -}}
{{- include "slackwater.portOf" (dict "args" .Values.controller.additionalArgs "default" (include "slackwater.driverEndpoint" .)) -}}
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
{{- $port := "" -}}
{{- if .root.Values.controller.enableMetrics }}{{ $port = include "slackwater.portOf" (dict "args" $values.additionalArgs "default" .port) }}{{ end -}}
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
  {{- if $port }}
  ports:
  - name: {{ .portName }}
    containerPort: {{ $port }}
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
{{- $port := "" -}}
{{- if .Values.controller.enableMetrics -}}
{{- $defaults = append $defaults "- --http-endpoint=0.0.0.0:3307" -}}
{{- $port = include "slackwater.portOf" (dict "args" $values.additionalArgs "default" 3307) -}}
{{- end -}}
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
  {{- with $port }}
  ports:
  - name: metrics-volmod
    containerPort: {{ . }}
  {{- end }}
  {{- include "slackwater.containerRest" (dict "resources" (default .Values.controller.resources $values.resources) "security" $values.securityContext "mounts" $values.volumeMounts) | nindent 2 }}
{{- end -}}

{{/* Where the liveness-probe answers for the driver. */}}
{{- define "slackwater.probeHealth" -}}
{{- $given := .Values.sidecars.livenessProbe.additionalArgs -}}
{{- $port := include "slackwater.valueOf" (dict "args" $given "flag" "health-port" "default" "9808") -}}
{{- include "slackwater.valueOf" (dict "args" $given "flag" "http-endpoint") | default (printf ":%s" $port) -}}
{{- end -}}

{{/* The port of the metrics of the liveness-probe, which are beside its health where --http-endpoint is there. */}}
{{- define "slackwater.probeMetricsPort" -}}
{{- $given := .Values.sidecars.livenessProbe.additionalArgs -}}
{{- $default := include "slackwater.valueOf" (dict "args" $given "flag" "metrics-address" "default" "0.0.0.0:3305") -}}
{{- include "slackwater.port" (include "slackwater.valueOf" (dict "args" $given "flag" "http-endpoint") | default $default) -}}
{{- end -}}

{{/* dict "root" "args" (defaults, list) "volume" "envFrom" "metrics" */}}
{{- define "slackwater.livenessProbe" -}}
{{- $values := .root.Values.sidecars.livenessProbe -}}
{{- $args := .args -}}
{{- $port := "" -}}
{{- if .metrics -}}
{{- if not (include "slackwater.valueOf" (dict "args" $values.additionalArgs "flag" "http-endpoint")) }}{{ $args = append $args "--metrics-address=0.0.0.0:3305" }}{{ end -}}
{{- $port = include "slackwater.probeMetricsPort" .root -}}
{{- end -}}
- name: liveness-probe
  {{- include "slackwater.program" (dict "root" .root "mode" "livenessprobe" "image" $values.image) | nindent 2 }}
  args:
  {{- include "slackwater.merged" (dict "defaults" (toYaml $args) "extra" $values.additionalArgs) | nindent 2 }}
  {{- with .envFrom }}
  envFrom:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with $port }}
  ports:
  - name: metrics-lp
    containerPort: {{ . }}
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
{{- /* With a certificate the listener of the metrics, and so of health, speaks TLS alone. */}}
{{- $certificate := include "slackwater.valueOf" (dict "args" .Values.controller.additionalArgs "flag" "metrics-cert-file") -}}
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
    containerPort: {{ include "slackwater.driverPort" . }}
  {{- range $running }}
  {{- $port := include "slackwater.portOf" (dict "args" (get $.Values.sidecars .values).additionalArgs "default" .port) }}
  {{- if $port }}
  - name: {{ .portName }}
    containerPort: {{ $port }}
  {{- end }}
  {{- end }}
  livenessProbe:
    httpGet:
      path: /healthz
      port: metrics
      {{- if $certificate }}
      scheme: HTTPS
      {{- end }}
    initialDelaySeconds: 10
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet:
      path: /readyz
      port: metrics
      {{- if $certificate }}
      scheme: HTTPS
      {{- end }}
    periodSeconds: 5
    timeoutSeconds: 5
  {{- include "slackwater.containerRest" (dict "resources" .Values.slackwater.allInOne.resources "security" .Values.controller.containerSecurityContext "mounts" .Values.controller.volumeMounts) | nindent 2 }}
{{- end -}}

{{/* The address of the metrics and health of the snapshot-controller. */}}
{{- define "slackwater.snapshotEndpoint" -}}
{{- include "slackwater.valueOf" (dict "args" .Values.slackwater.snapshotController.additionalArgs "flag" "http-endpoint" "default" ":8080") -}}
{{- end -}}
