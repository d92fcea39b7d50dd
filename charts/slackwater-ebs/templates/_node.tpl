{{/* A DaemonSet of the node service: dict "root" "name" "node" (its values). */}}
{{- define "slackwater.node" -}}
{{- $kubelet := trimSuffix "/" .node.kubeletPath -}}
{{- $plugin := printf "%s/plugins/ebs.csi.aws.com/" $kubelet -}}
{{- $registrar := .root.Values.sidecars.nodeDriverRegistrar -}}
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {{ .name }}
  namespace: {{ include "slackwater.nodeNamespace" .root }}
  labels:
    {{- include "slackwater.labels" .root | nindent 4 }}
  {{- with .node.daemonSetAnnotations }}
  annotations:
    {{- include "slackwater.strings" . | nindent 4 }}
  {{- end }}
spec:
  revisionHistoryLimit: {{ .node.revisionHistoryLimit }}
  {{- with .node.updateStrategy }}
  updateStrategy:
    {{- include "slackwater.updateStrategy" . | nindent 4 }}
  {{- end }}
  selector:
    matchLabels:
      app: {{ .name }}
      {{- include "slackwater.selectorLabels" .root | nindent 6 }}
  template:
    metadata:
      labels:
        app: {{ .name }}
        {{- include "slackwater.labels" .root | nindent 8 }}
        {{- with .node.podLabels }}
        {{- include "slackwater.strings" . | nindent 8 }}
        {{- end }}
      {{- with .node.podAnnotations }}
      annotations:
        {{- include "slackwater.strings" . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ .node.serviceAccount.name }}
      priorityClassName: {{ .node.priorityClassName | default "system-node-critical" }}
      terminationGracePeriodSeconds: {{ .node.terminationGracePeriodSeconds }}
      {{- if .node.hostNetwork }}
      hostNetwork: true
      {{- end }}
      nodeSelector:
        kubernetes.io/os: linux
        {{- with .node.nodeSelector }}
        {{- include "slackwater.strings" . | nindent 8 }}
        {{- end }}
      tolerations:
      {{- if .node.tolerateAllTaints }}
      - operator: Exists
      {{- else }}
      {{- with .node.tolerations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      # Taken away by this very pod, and taints of nodes that still have volumes to give up.
      {{- range list "ebs.csi.aws.com/agent-not-ready" "ToBeDeletedByClusterAutoscaler" "karpenter.sh/disrupted" "karpenter.sh/disruption" }}
      - key: {{ . }}
        operator: Exists
      {{- end }}
      {{- end }}
      {{- with .node.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .node.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "slackwater.pullSecrets" .root | nindent 6 }}
      {{- with .node.dnsConfig }}
      dnsConfig:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .node.initContainers }}
      initContainers:
      {{- toYaml . | nindent 6 }}
      {{- end }}
      containers:
      - name: ebs-plugin
        image: {{ include "slackwater.nodeImage" .root }}
        imagePullPolicy: {{ .root.Values.image.pullPolicy }}
        command: [slackwater, aws-ebs-csi-driver]
        args:
        - node
        {{- include "slackwater.merged" (dict "defaults" (include "slackwater.args.node" .) "extra" .node.additionalArgs) | nindent 8 }}
        env:
        {{- $env := list (dict "name" "CSI_ENDPOINT" "value" "unix:/csi/csi.sock") }}
        {{- $env = append $env (dict "name" "CSI_NODE_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "spec.nodeName"))) }}
        {{- $env = concat $env (include "slackwater.driverEnv" (dict "root" .root "of" .node) | fromYamlArray) }}
        {{- if .node.serviceAccount.disableMutation }}{{ $env = append $env (dict "name" "DISABLE_TAINT_WATCHER" "value" "true") }}{{ end }}
        {{- include "slackwater.env" (concat $env (.node.env | default list)) | nindent 8 }}
        {{- include "slackwater.nodeEnvFrom" . | nindent 8 }}
        ports:
        - name: healthz
          containerPort: {{ include "slackwater.port" (include "slackwater.probeHealth" .root) }}
        {{- $port := include "slackwater.portOf" (dict "args" .node.additionalArgs "default" 3302) }}
        {{- if and .node.enableMetrics $port }}
        - name: metrics
          containerPort: {{ $port }}
        {{- end }}
        livenessProbe:
          httpGet:
            path: /healthz
            port: healthz
          initialDelaySeconds: 10
          periodSeconds: 10
          timeoutSeconds: 3
          failureThreshold: 5
        readinessProbe:
          httpGet:
            path: /healthz
            port: healthz
          periodSeconds: 5
          timeoutSeconds: 3
          failureThreshold: 3
        lifecycle:
          preStop:
            exec:
              command: [/bin/aws-ebs-csi-driver, pre-stop-hook]
        {{- with .node.resources }}
        resources:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with .node.containerSecurityContext }}
        securityContext:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        volumeMounts:
        - name: kubelet-dir
          mountPath: {{ $kubelet }}
          mountPropagation: Bidirectional
        - name: plugin-dir
          mountPath: /csi
        - name: device-dir
          mountPath: /dev
        {{- if .node.selinux }}
        - name: selinux-sysfs
          mountPath: /sys/fs/selinux
        - name: selinux-config
          mountPath: /etc/selinux/config
          readOnly: true
        {{- end }}
        {{- with .node.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        terminationMessagePolicy: FallbackToLogsOnError
      - name: node-driver-registrar
        {{- include "slackwater.program" (dict "root" .root "mode" "node-driver-registrar" "image" $registrar.image) | nindent 8 }}
        args:
        {{- $defaults := list "--csi-address=$(ADDRESS)" "--kubelet-registration-path=$(DRIVER_REG_SOCK_PATH)" }}
        {{- $defaults = append $defaults (printf "--http-endpoint=0.0.0.0:%v" $registrar.healthPort) }}
        {{- $defaults = append $defaults (printf "--v=%v" (include "slackwater.verbosity" (dict "root" .root "level" $registrar.logLevel))) }}
        {{- include "slackwater.merged" (dict "defaults" (toYaml $defaults) "extra" $registrar.additionalArgs) | nindent 8 }}
        env:
        {{- $env := list (dict "name" "ADDRESS" "value" "/csi/csi.sock") (dict "name" "DRIVER_REG_SOCK_PATH" "value" (printf "%scsi.sock" $plugin)) }}
        {{- include "slackwater.env" (concat $env (include "slackwater.proxy" .root | fromYamlArray) ($registrar.env | default list)) | nindent 8 }}
        {{- include "slackwater.nodeEnvFrom" . | nindent 8 }}
        {{- $health := include "slackwater.portOf" (dict "args" $registrar.additionalArgs "default" $registrar.healthPort) }}
        {{- with $health }}
        ports:
        - name: healthz-ndr
          containerPort: {{ . }}
        {{- end }}
        {{- with $registrar.livenessProbe }}
        {{- if or $health (not .httpGet) }}
        livenessProbe:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- end }}
        resources:
        {{- with $registrar.resources }}
          {{- toYaml . | nindent 10 }}
        {{- else }}
          requests:
            cpu: 10m
            memory: 32Mi
          limits:
            memory: 32Mi
        {{- end }}
        {{- with $registrar.securityContext }}
        securityContext:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        volumeMounts:
        - name: plugin-dir
          mountPath: /csi
        - name: registration-dir
          mountPath: /registration
        - name: probe-dir
          mountPath: {{ $plugin }}
        terminationMessagePolicy: FallbackToLogsOnError
      {{- include "slackwater.livenessProbe" (dict "root" .root "args" (list "--csi-address=/csi/csi.sock") "volume" "plugin-dir" "envFrom" .node.envFrom "metrics" false) | nindent 6 }}
      volumes:
      - name: kubelet-dir
        hostPath:
          path: {{ $kubelet }}
          type: Directory
      - name: plugin-dir
        hostPath:
          path: {{ $plugin }}
          type: DirectoryOrCreate
      - name: registration-dir
        hostPath:
          path: {{ $kubelet }}/plugins_registry/
          type: Directory
      - name: device-dir
        hostPath:
          path: /dev
          type: Directory
      {{- if .node.selinux }}
      - name: selinux-sysfs
        hostPath:
          path: /sys/fs/selinux
          type: Directory
      - name: selinux-config
        hostPath:
          path: /etc/selinux/config
          type: File
      {{- end }}
      - name: probe-dir
        {{- .node.probeDirVolume | default (dict "emptyDir" dict) | toYaml | nindent 8 }}
      {{- with .node.volumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- end -}}

{{- define "slackwater.nodeEnvFrom" -}}
{{- with .node.envFrom }}
envFrom:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{/* A number may be 0, which a template takes for no value. */}}
{{- define "slackwater.args.node" -}}
- --endpoint=$(CSI_ENDPOINT)
{{- if not (kindIs "invalid" .node.reservedVolumeAttachments) }}
- --reserved-volume-attachments={{ int .node.reservedVolumeAttachments }}
{{- end }}
{{- if not (kindIs "invalid" .node.volumeAttachLimit) }}
- --volume-attach-limit={{ int .node.volumeAttachLimit }}
{{- end }}
- {{ printf "--csi-mount-point-prefix=%s/plugins/kubernetes.io/csi/" (trimSuffix "/" .node.kubeletPath) | quote }}
{{- with .node.metadataSources }}
- {{ printf "--metadata-sources=%s" . | quote }}
{{- end }}
{{- if .node.legacyXFS }}
- --legacy-xfs=true
{{- end }}
{{- with .node.loggingFormat }}
- --logging-format={{ . }}
{{- end }}
- --v={{ include "slackwater.verbosity" (dict "root" .root "level" .node.logLevel) }}
{{- if .node.otelTracing }}
- --enable-otel-tracing=true
{{- end }}
{{- if .node.enableMetrics }}
- --http-endpoint=0.0.0.0:3302
{{- end }}
{{- end -}}

{{/* Every set of nodes: name and values, as YAML. Of the two limits a set has the one that is named for it. */}}
{{- define "slackwater.nodeSets" -}}
{{- $sets := list (dict "name" "ebs-csi-node" "node" .Values.node) -}}
{{- range $name, $values := .Values.additionalDaemonSets }}
{{- $node := deepCopy $.Values.node }}
{{- if or (hasKey $values "volumeAttachLimit") (hasKey $values "reservedVolumeAttachments") }}
{{- $node = omit $node "volumeAttachLimit" "reservedVolumeAttachments" }}
{{- end }}
{{- $node = mergeOverwrite $node (deepCopy $values) }}
{{- $sets = append $sets (dict "name" (printf "ebs-csi-node-%s" $name) "node" $node) }}
{{- end -}}
{{- toYaml $sets -}}
{{- end -}}
