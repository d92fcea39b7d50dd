{{/* The arguments of each function, without what depends on the shape of the pod (socket, address of the metrics, verbosity).
     Both shapes take them: as they are, or with the name of the function in front. */}}

{{/* The name of a flag. */}}
{{- define "slackwater.flag" -}}
{{- regexReplaceAll "^--?([^=]+)(=.*)?$" . "${1}" -}}
{{- end -}}

{{/* The names of the flags in a list, as YAML. */}}
{{- define "slackwater.flags" -}}
{{- $names := list -}}
{{- range . }}{{ if hasPrefix "-" (toString .) }}{{ $names = append $names (include "slackwater.flag" (toString .)) }}{{ end }}{{ end -}}
{{- toYaml $names -}}
{{- end -}}

{{/* Defaults, each unless the user gives that very flag, and what the user gives: dict "defaults" (YAML) "extra" (list). Gates
     and tags add up. */}}
{{- define "slackwater.merged" -}}
{{- $given := include "slackwater.flags" (.extra | default list) | fromYamlArray -}}
{{- $all := list -}}
{{- range fromYamlArray .defaults -}}
{{- $flag := include "slackwater.flag" . -}}
{{- if or (has $flag (list "feature-gates" "extra-tags")) (not (has $flag $given)) }}{{ $all = append $all . }}{{ end -}}
{{- end -}}
{{- range .extra }}{{ $all = append $all (toString .) }}{{ end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* With the name of the function in front of each flag, without what the process has once: dict "args" (YAML) "function". A value
     may be an item of its own, behind its flag. Behind a name there is no short flag with its value (-v5). */}}
{{- define "slackwater.prefixed" -}}
{{- $all := list -}}
{{- $isLeftOut := false -}}
{{- range fromYamlArray .args -}}
{{- if not (hasPrefix "-" .) -}}
{{- if not $isLeftOut }}{{ $all = append $all . }}{{ end -}}
{{- $isLeftOut = false -}}
{{- else -}}
{{- $isLeftOut = has (include "slackwater.flag" .) (list "kube-api-qps" "kube-api-burst") -}}
{{- $flag := regexReplaceAll "^-v([0-9]+)$" . "-v=${1}" -}}
{{- if not $isLeftOut }}{{ $all = append $all (regexReplaceAll "^--?" $flag (printf "--%s." $.function)) }}{{ end -}}
{{- $isLeftOut = and $isLeftOut (not (contains "=" .)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* What a flag says in a list of arguments, where it is there the last time: dict "args" (list) "flag" "default". */}}
{{- define "slackwater.valueOf" -}}
{{- $value := .default | default "" -}}
{{- $isNext := false -}}
{{- range .args -}}
{{- $arg := toString . -}}
{{- if $isNext -}}
{{- $value = $arg -}}
{{- $isNext = false -}}
{{- else if and (hasPrefix "-" $arg) (eq (include "slackwater.flag" $arg) $.flag) -}}
{{- if contains "=" $arg }}{{ $value = regexReplaceAll "^[^=]*=" $arg "" }}{{ else }}{{ $isNext = true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $value -}}
{{- end -}}

{{/* The port of an address that others reach. Nothing where the address is none, or of the pod's own network alone. */}}
{{- define "slackwater.port" -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" .) -}}
{{- if and . (not $port) }}{{ fail (printf "%q is no address with a port: give host:port or :port" .) }}{{ end -}}
{{- if not (regexMatch `(?i)^(localhost\.?|ip6-localhost|ip6-loopback|127(\.[0-9]+){3}|\[[0:]+:0*1\]|\[::ffff:127(\.[0-9]+){3}\]):` .) }}{{ $port }}{{ end -}}
{{- end -}}

{{/* The port of --http-endpoint in a list of arguments, as "slackwater.port" has it: dict "args" (list) "default" (an address, or the
     number of a port). */}}
{{- define "slackwater.portOf" -}}
{{- $default := toString (.default | default "") -}}
{{- if regexMatch "^[0-9]+$" $default }}{{ $default = printf ":%s" $default }}{{ end -}}
{{- include "slackwater.port" (include "slackwater.valueOf" (dict "args" .args "flag" "http-endpoint" "default" $default)) -}}
{{- end -}}

{{/* Whether a sidecar takes a lease, by its arguments (YAML). */}}
{{- define "slackwater.elected" -}}
{{- $elected := "" -}}
{{- range fromYamlArray . -}}
{{- if regexMatch "^--?leader-election(=.*)?$" . }}{{ $elected = regexMatch "^[^=]+(=(1|[tT]|true|TRUE|True))?$" . | ternary "yes" "" }}{{ end -}}
{{- end -}}
{{- $elected -}}
{{- end -}}

{{- define "slackwater.election" -}}
- --leader-election={{ .enabled }}
{{- if .enabled }}
{{- with .leaseDuration }}
- --leader-election-lease-duration={{ . }}
{{- end }}
{{- with .renewDeadline }}
- --leader-election-renew-deadline={{ . }}
{{- end }}
{{- with .retryPeriod }}
- --leader-election-retry-period={{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "slackwater.args.driver" -}}
{{- with .Values.controller.extraVolumeTags }}
{{- $tags := list }}
{{- range $key, $value := include "slackwater.strings" . | fromYaml }}{{ $tags = append $tags (printf "%s=%s" $key $value) }}{{ end }}
- {{ printf "--extra-tags=%s" (join "," $tags) | quote }}
{{- end }}
{{- with tpl (.Values.controller.k8sTagClusterId | default "") . }}
- {{ printf "--k8s-tag-cluster-id=%s" . | quote }}
{{- end }}
{{- if or .Values.controller.sdkDebugLog .Values.debugLogs }}
- --aws-sdk-debug-log=true
{{- end }}
- --batching={{ .Values.controller.batching | default false }}
{{- if .Values.controller.enableNodeLocalVolumes }}
- --enable-node-local-volumes=true
{{- end }}
{{- with .Values.controller.userAgentExtra }}
- {{ printf "--user-agent-extra=%s" . | quote }}
{{- end }}
{{- if .Values.controller.otelTracing }}
- --enable-otel-tracing=true
{{- end }}
{{- end -}}

{{/* Of the mode metadataLabeler, in a container of its own in both shapes. */}}
{{- define "slackwater.args.labeler" -}}
{{- if or .Values.controller.sdkDebugLog .Values.debugLogs }}
- --aws-sdk-debug-log=true
{{- end }}
{{- with .Values.controller.userAgentExtra }}
- {{ printf "--user-agent-extra=%s" . | quote }}
{{- end }}
{{- if .Values.controller.otelTracing }}
- --enable-otel-tracing=true
{{- end }}
{{- with .Values.controller.loggingFormat }}
- --logging-format={{ . }}
{{- end }}
- --v={{ include "slackwater.verbosity" (dict "root" . "level" .Values.sidecars.metadataLabeler.logLevel) }}
{{- end -}}

{{- define "slackwater.args.csi-provisioner" -}}
- --timeout=60s
- --feature-gates=Topology=true
{{- if .Values.controller.extraCreateMetadata }}
- --extra-create-metadata
{{- end }}
{{ include "slackwater.election" .Values.sidecars.provisioner.leaderElection }}
{{- with .Values.controller.defaultFsType }}
- {{ printf "--default-fstype=%s" . | quote }}
{{- end }}
- --kube-api-qps=20
- --kube-api-burst=100
- --worker-threads=100
- --retry-interval-max=30m
{{- end -}}

{{- define "slackwater.args.csi-attacher" -}}
- --timeout=6m
{{ include "slackwater.election" .Values.sidecars.attacher.leaderElection }}
- --kube-api-qps=20
- --kube-api-burst=100
- --worker-threads=100
- --retry-interval-max=5m
{{- if semverCompare ">=1.33.0-0" .Capabilities.KubeVersion.Version }}
- --feature-gates=MutableCSINodeAllocatableCount=true
{{- end }}
{{- end -}}

{{- define "slackwater.args.csi-snapshotter" -}}
{{ include "slackwater.election" .Values.sidecars.snapshotter.leaderElection }}
{{- if .Values.controller.extraCreateMetadata }}
- --extra-create-metadata
{{- end }}
- --kube-api-qps=20
- --kube-api-burst=100
- --worker-threads=100
- --retry-interval-max=30m
{{- end -}}

{{- define "slackwater.args.csi-resizer" -}}
{{- $given := include "slackwater.flags" .Values.sidecars.resizer.additionalArgs | fromYamlArray -}}
{{- if or (has "resize-timeout" $given) (has "modify-timeout" $given) -}}
- --resize-timeout=60s
- --modify-timeout=60s
{{- else -}}
- --timeout=60s
{{- end }}
{{- if .Values.controller.extraCreateMetadata }}
- --extra-modify-metadata
{{- end }}
- --handle-volume-inuse-error=false
{{ include "slackwater.election" .Values.sidecars.resizer.leaderElection }}
- --kube-api-qps=20
- --kube-api-burst=100
- --workers=100
- --retry-interval-max=30m
{{- end -}}

{{/* The sidecars that work against the Kubernetes API: function, values, port of upstream, name of the port, part of the name of
     the Service. */}}
{{- define "slackwater.functions" -}}
- {name: csi-provisioner, values: provisioner, port: 3302, portName: metrics-prov}
- {name: csi-attacher, values: attacher, port: 3303, portName: metrics-attach}
- {name: csi-snapshotter, values: snapshotter, port: 3306, portName: metrics-snap}
- {name: csi-resizer, values: resizer, port: 3304, portName: metrics-resizer}
{{- end -}}

{{/* Those of them that run here, as YAML. */}}
{{- define "slackwater.running" -}}
{{- $running := list -}}
{{- range fromYamlArray (include "slackwater.functions" .) -}}
{{- if and (eq $.Values.slackwater.mode "allInOne") $.Values.slackwater.functions }}
{{- if has .name $.Values.slackwater.functions }}{{ $running = append $running . }}{{ end }}
{{- else if or (ne .name "csi-snapshotter") $.Values.sidecars.snapshotter.enabled }}{{ $running = append $running . }}{{ end -}}
{{- end -}}
{{- toYaml $running -}}
{{- end -}}
