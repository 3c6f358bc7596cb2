{{/* Name of everything the chart makes: the release's, so that two releases may live side by side. */}}
{{- define "millpond.name" -}}
{{- if contains "millpond" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}-operator
{{- else -}}
{{- .Release.Name | trunc 41 | trimSuffix "-" }}-millpond-operator
{{- end -}}
{{- end -}}

{{/* Brokers let pods with this name in through their network policy: it is no matter of taste. */}}
{{- define "millpond.selector" -}}
app.kubernetes.io/name: millpond-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "millpond.labels" -}}
{{ include "millpond.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "millpond.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "millpond.brokerImage" -}}
{{ .Values.brokerImage.repository | default .Values.image.repository }}:{{ .Values.brokerImage.tag | default .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* What the operator may do where it looks after objects, and nothing else. */}}
{{- define "millpond.rules" -}}
# What users write. Patch: finalizers; the specs are theirs.
- apiGroups: [millpond.io]
  resources: [brokerclusters, topics, consumergroups]
  verbs: [get, list, watch, patch]
- apiGroups: [millpond.io]
  resources: [brokerclusters/status, topics/status, consumergroups/status]
  verbs: [patch]
# To be named as an owner that blocks its own deletion.
- apiGroups: [millpond.io]
  resources: [brokerclusters/finalizers]
  verbs: [update]
# What clusters consist of. It goes with its owner; deleted is only what a group leaves behind when there are to be fewer of them,
# and budgets when the number of copies changes.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Who leads a group and who has its data. Brokers get the same for their own groups, and nobody can give more rights
# than they have.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, patch, delete]
# The way of clients to the leader of a group, which brokers write: the same holds.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
# Restarts, one at a time. Patch: an annotation, so that a node brings a changed configuration at once.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch, delete]
# Disks grow, and those of copies that are no longer kept go where the cluster's deletionPolicy says so.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
