#!/bin/sh
# Checks the chart: lint, and what it renders. Needs helm: in PATH, or named by $HELM.
set -eu
cd "$(dirname "$0")"
helm=${HELM:-helm}
command -v "$helm" >/dev/null || { echo "charts/test.sh: helm is missing; install it or set HELM" >&2; exit 1; }
failed=0

render() { "$helm" template millpond millpond --namespace mq --kube-version 1.33.0 "$@"; }

# want NAME TEXT [helm arguments]: the rendered chart contains TEXT
want() {
  name=$1 text=$2; shift 2
  if render "$@" | grep -qF -- "$text"; then echo "ok   $name"; else echo "FAIL $name: no '$text'"; failed=1; fi
}

# without NAME TEXT [helm arguments]: it does not
without() {
  name=$1 text=$2; shift 2
  if render "$@" | grep -qF -- "$text"; then echo "FAIL $name: has '$text'"; failed=1; else echo "ok   $name"; fi
}

# refused NAME TEXT [helm arguments]: the values are refused with TEXT
refused() {
  name=$1 text=$2; shift 2
  if answer=$(render "$@" 2>&1); then echo "FAIL $name: was accepted"; failed=1
  elif echo "$answer" | grep -qF -- "$text"; then echo "ok   $name"
  else echo "FAIL $name: no '$text' in: $answer"; failed=1; fi
}

"$helm" lint --strict millpond
want "the definitions are part of the chart" "name: topics.millpond.io"
want "the definitions stay when the chart goes" "helm.sh/resource-policy: keep"
without "the definitions can be left out" "kind: CustomResourceDefinition" --set crds.install=false
want "brokers run the operator's image" "--broker-image=millpond:0.1.0"
want "the image can be chosen" "image: example.org/m:v7" --set image.repository=example.org/m --set image.tag=v7
want "a chosen image is the brokers' too" "--broker-image=example.org/m:v7" --set image.repository=example.org/m --set image.tag=v7
want "brokers can have their own" "--broker-image=b:v2" --set brokerImage.repository=b --set brokerImage.tag=v2
want "brokers are pulled as the operator is" "--broker-image-pull-policy=Never" --set image.pullPolicy=Never
want "the operator logs JSON" "- --log-json"
without "it can log text" "- --log-json" --set log.json=false
without "brokers log text" "--broker-log-json"
want "they can log JSON" "- --broker-log-json" --set log.brokersJson=true
want "rights are for all namespaces" "kind: ClusterRole"
want "leaders move away from nodes that are emptied" "resources: [nodes]"
without "or only for some" "kind: ClusterRole" --set 'watchNamespaces={a,b}'
want "which the operator is told" "--watch-namespaces=a,b" --set 'watchNamespaces={a,b}'
want "brokers' network policy lets the operator in" "app.kubernetes.io/name: millpond-operator"
want "the operator is not root" "runAsNonRoot: true"
without "no right is given for everything" 'verbs: ["*"]'
without "no secret may be read" "secrets"
without "alerts are asked for" "PrometheusRule"
want "alerts say what to do" "runbook_url: https://example.org/r/no-leader.md" --set alerts.enabled=true --set alerts.runbookUrl=https://example.org/r/
want "alerts name the group, not the chart's variables" 'Group {{ $labels.cluster }}/{{ $labels.group }} has no leader' --set alerts.enabled=true
want "numbers stay whole" "< 2147483648" --set alerts.enabled=true
want "Prometheus finds its rules" "release: prometheus" --set alerts.enabled=true --set alerts.labels.release=prometheus
for page in $(render --set alerts.enabled=true | sed -n 's|.*runbook_url: docs/runbook/||p'); do
  if [ -f "../docs/runbook/$page" ]; then echo "ok   runbook/$page"; else echo "FAIL runbook/$page is missing"; failed=1; fi
done
monitoring=--api-versions=monitoring.coreos.com/v1/PodMonitor
without "Prometheus is not told where its definitions are missing" "kind: PodMonitor"
want "it is told of brokers where they are there" "name: millpond-operator-brokers" "$monitoring"
want "which have these labels" "app.kubernetes.io/component: broker" "$monitoring"
want "and a port of this name" "- port: http" "$monitoring"
want "in every namespace" "any: true" "$monitoring"
without "or only in some" "any: true" "$monitoring" --set 'watchNamespaces={a,b}'
want "in those that the operator looks after" 'matchNames: ["a","b"]' "$monitoring" --set 'watchNamespaces={a,b}'
want "so often" "interval: 1m30s" "$monitoring" --set metrics.podMonitor.interval=1m30s
want "Prometheus finds its monitors" "release: prometheus" "$monitoring" --set metrics.podMonitor.labels.release=prometheus
without "they can be left out" "kind: PodMonitor" "$monitoring" --set metrics.podMonitor.enabled=false
want "or made without asking the cluster" "kind: PodMonitor" --set metrics.podMonitor.enabled=true
refused "nothing between" "podMonitor" --set metrics.podMonitor.enabled=perhaps
refused "an interval has a unit" "interval" --set-string metrics.podMonitor.interval=30
count() { render "$@" | grep -cF "kind: PodMonitor" || true; }
if [ "$(count "$monitoring")" = 2 ]; then echo "ok   brokers and the operator"; else echo "FAIL not 2 PodMonitors"; failed=1; fi
without "dashboards are asked for" "grafana_dashboard"
for board in millpond/dashboards/*.json; do
  name=$(basename "$board" .json)
  want "Grafana gets the dashboard $name" "name: millpond-operator-dashboard-$name" --set dashboards.enabled=true
  want "as it is" "$(grep -m1 '"expr"' "$board")" --set dashboards.enabled=true
done
want "its sidecar finds them" 'grafana_dashboard: "1"' --set dashboards.enabled=true
want "by more labels" "team: mq" --set dashboards.enabled=true --set dashboards.labels.team=mq
without "or by others" "grafana_dashboard" --set dashboards.enabled=true --set dashboards.labels.grafana_dashboard=null
want "in a folder" "grafana_folder: Millpond" --set dashboards.enabled=true --set dashboards.annotations.grafana_folder=Millpond
want "where it looks" "namespace: grafana" --set dashboards.enabled=true --set dashboards.namespace=grafana
refused "labels are texts" "dashboards" --set dashboards.enabled=true --set dashboards.labels.a=1
want "the API server guards records" "kind: ValidatingAdmissionPolicyBinding"
without "which can be left out" "millpond-operator-records" --set recordPolicy.enabled=false
want "and what may not be deleted" "name: millpond-operator-deletions"
without "which can be left out too" "millpond-operator-deletions" --set deletionProtection.enabled=false
want "the operator may write records" '["system:serviceaccount:mq:millpond-operator"]'
want "and others if they are named" '["system:serviceaccount:mq:millpond-operator","ada"]' --set 'recordPolicy.alsoAllow={ada}'
want "records of other namespaces are left to others" 'values: ["a","b"]' --set 'watchNamespaces={a,b}'
refused "an unknown value is refused" "imagee" --set imagee.tag=1
refused "three replicas are refused" "replicas" --set replicas=3
refused "a namespace is a name" "watchNamespaces" --set 'watchNamespaces={A B}'
exit $failed
