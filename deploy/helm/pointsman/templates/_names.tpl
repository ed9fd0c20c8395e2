{{- define "pointsman.service" -}}
{{ .Values.service | default .Release.Name }}
{{- end }}

{{- define "pointsman.name" -}}
{{ include "pointsman.service" . }}-pointsman
{{- end }}

{{/* What selects the proxies of one service. */}}
{{- define "pointsman.selector" -}}
tier: proxy
app: {{ include "pointsman.service" . }}
app.kubernetes.io/name: pointsman
{{- end }}

{{- define "pointsman.labels" -}}
{{ include "pointsman.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "pointsman.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* The table: what the chart knows comes first. */}}
{{- define "pointsman.table" -}}
{{- $known := dict "service" (include "pointsman.service" .) "listen" "0.0.0.0:8080" "admin" "0.0.0.0:9901" -}}
{{- $_ := set $known "shutdown" (dict "delay" (printf "%vs" .Values.shutdown.delaySeconds) "timeout" (printf "%vs" .Values.shutdown.timeoutSeconds)) -}}
{{- toYaml (merge $known .Values.config) -}}
{{- end }}
