{{/* Name of everything that belongs to the operator. */}}
{{- define "raysmith.operator" -}}
{{- $release := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{- printf "%s-operator" ($release | trunc 54 | trimSuffix "-") -}}
{{- end -}}

{{/* The labels that tell the operator's pods from all others. */}}
{{- define "raysmith.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* The labels that Kubernetes recommends. */}}
{{- define "raysmith.labels" -}}
{{ include "raysmith.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "raysmith.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* What the "restricted" Pod Security Standard asks of a pod, */}}
{{- define "raysmith.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* and of a container. */}}
{{- define "raysmith.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
