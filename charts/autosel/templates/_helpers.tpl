{{/* Short name of the chart's objects. */}}
{{- define "autosel.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Full name: the release, and the chart's name unless the release carries it already. */}}
{{- define "autosel.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "autosel.name" . -}}
{{- (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Labels that select; they never change over versions. */}}
{{- define "autosel.selectorLabels" -}}
app.kubernetes.io/name: {{ include "autosel.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{/* Labels of every object. */}}
{{- define "autosel.labels" -}}
{{- $common := dict
  "app.kubernetes.io/name" (include "autosel.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "autosel"
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $common .Values.commonLabels) -}}
{{- end }}

{{/* Image reference of (dict "image" IMAGE "root" $): by digest when one is given, else by tag. */}}
{{- define "autosel.image" -}}
{{- $tag := .image.tag | default .root.Chart.AppVersion -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository $tag -}}
{{- end -}}
{{- end }}

{{- define "autosel.serviceAccountName" -}}
{{- .Values.serviceAccount.create | ternary (.Values.serviceAccount.name | default (include "autosel.fullname" .)) (.Values.serviceAccount.name | default "default") -}}
{{- end }}

{{/* Namespaces that the controller works in, as a JSON list; empty when it works in all. */}}
{{- define "autosel.watchNamespaces" -}}
{{- if eq .Values.rbac.scope "Namespaced" -}}
{{- .Values.rbac.watchNamespaces | default (list .Release.Namespace) | uniq | toJson -}}
{{- else -}}
[]
{{- end -}}
{{- end }}

{{/* What the controller may do in a namespace whose searches it runs. It reads no Secret. */}}
{{- define "autosel.rules" -}}
- apiGroups: [autosel.dev]
  resources: [recipesearches]
  verbs: [get, list, watch]
- apiGroups: [autosel.dev]
  resources: [recipetrials]
  verbs: [get, list, watch, create]
- apiGroups: [autosel.dev]
  resources: [recipesearches/status, recipetrials/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps]  # the documents of steps
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [services]  # names of the pods of a train step over several nodes
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* The labels of Prometheus rules, monitors and dashboards of (dict "labels" LABELS "root" $). */}}
{{- define "autosel.labelsWith" -}}
{{- include "autosel.labels" .root }}
{{- with .labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Arguments of the controller. */}}
{{- define "autosel.arguments" -}}
{{- $images := list -}}
{{- range $kind := list "nvidia" "amd" "ascend" -}}
{{- with index $.Values.runtimeImages $kind -}}
{{- if .repository -}}
{{- $images = append $images (printf "%s=%s" $kind (include "autosel.image" (dict "image" . "root" $))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
- --image={{ include "autosel.image" (dict "image" .Values.runtimeImages.none "root" $) }}
- --accelerator-images={{ join "," $images }}
- --image-pull-policy={{ .Values.runtimeImages.pullPolicy }}
- --namespaces={{ include "autosel.watchNamespaces" . | fromJsonArray | join "," }}
- --lease-name={{ include "autosel.fullname" . }}
- --lease-namespace={{ .Release.Namespace }}
- --identity=$(POD_NAME)
- --port=8080
- --log-level={{ .Values.logLevel }}
- --job-ttl-seconds={{ int .Values.jobTtlSeconds }}
- --resync-seconds={{ int .Values.resyncSeconds }}
{{- with .Values.storage }}
{{- if .uri }}
- --storage-uri={{ .uri }}
- --storage-path-style={{ .pathStyle }}
{{- with .endpoint }}
- --storage-endpoint={{ . }}
{{- end }}
{{- with .region }}
- --storage-region={{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}
