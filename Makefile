# The commands of this project; each one says what it does and how long it took. CARGO_TARGET_DIR is honoured.
.DEFAULT_GOAL := help
.PHONY: help up down test verify standalone cluster scenarios sdk image crds bench-peer bench-features bench bench-copies failover fuzz model sim soak rollout scale scaling convergence

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

up: ## a Kubernetes on this machine with Millpond in it, and messages passing through
	@e2e/up.sh
down: ## removes what `make up` started
	@e2e/down.sh

test: ## the whole suite: checks, unit tests, SDK matrix, Kubernetes (about 50 minutes on 2 cores)
	@e2e/test.sh
verify: ## formatting, clippy and the tests of every crate
	@e2e/test.sh verify
standalone: ## the official SDKs against a broker without Kubernetes
	@e2e/test.sh standalone
cluster: ## the tests on a real Kubernetes
	@e2e/test.sh cluster
scenarios: ## every feature with every SDK, standalone and in Kubernetes, while leaders are killed (about 25 minutes)
	@e2e/test.sh scenarios

sdk: ## the SDK matrix against any endpoint: make sdk ENDPOINT=host:8081 TOPIC=orders GROUP=billing
	@e2e/sdk/install.sh
	@cargo run -q -p e2e --bin sdk-matrix -- --endpoint $(or $(ENDPOINT),127.0.0.1:8081) --topic $(or $(TOPIC),orders) --group $(or $(GROUP),billing)
image: ## packs the release binaries into localhost/millpond:dev
	@cargo build --release -p operator -p broker -p cli
	@e2e/k8s/image.sh
crds: ## writes crds/generated, the chart's copy and docs/reference from the types
	@cargo run -q -p crds --bin crdgen crds/generated charts/millpond/templates/crds docs/reference

bench-peer: ## RocketMQ 5.5 and Millpond under the same load, into docs/benchmarks.md (about 25 minutes)
	@e2e/peer/compare.sh
bench-features: ## transactions, order, timers and batches beside RocketMQ 5.5, into docs/benchmarks-features.md (about 20 minutes)
	@cargo build --release -p broker -p cli
	@e2e/peer/features.py $(or $(ROUNDS),5)
bench: ## micro-benchmarks of append, read, order and delay; DIR is left behind
	@cargo run -q --release -p store --example log_bench -- $(or $(DIR),target/log-bench)
	@cargo run -q --release -p store --example index
	@cargo run -q --release -p engine --example engine_bench -- $(or $(DIR),target/engine-bench)
	@cargo run -q --release -p engine --example kinds_bench -- $(or $(DIR),target/kinds-bench)
bench-copies: ## 3 copies beside 1, a new copy, a start with 10 GiB of log, medians of ROUNDS (default 3); needs root
	@cargo build --release -p broker -p cli
	@for case in three_copies a_new_copy; do TMPDIR=$(or $(MEMORY),/dev/shm) E2E_BENCH_ROUNDS=$(or $(ROUNDS),3) cargo test -q -p e2e --test standalone copies_figures::$$case -- --ignored --nocapture || exit; done
	@E2E_BENCH_ROUNDS=$(or $(ROUNDS),3) cargo test -q -p e2e --test standalone copies_figures::a_start -- --ignored --nocapture
fuzz: ## every decoder's fuzz target, SECONDS each (default 600)
	@e2e/fuzz.sh $(or $(SECONDS),600)
model: ## the replication protocol under the model checker: every order of events and faults, and each rule taken away
	@cargo test -q -p replica --test model -- --nocapture --test-threads=1
sim: ## random workloads with power cuts on the simulated disk, SEEDS of them (default 200)
	@cargo run -q --release -p sim -- --seeds $(or $(SEEDS),200)
	@cargo run -q --release -p sim -- --cluster --seeds $(or $(SEEDS),20000)
soak: ## the Go SDK sends and receives for SECONDS (default 3600) while the broker is killed again and again
	@e2e/sdk/install.sh go
	@cargo build --release -p broker -p cli
	@E2E_SOAK_SECONDS=$(or $(SECONDS),3600) cargo test -q -p e2e --test standalone kill -- --nocapture
rollout: ## 3 groups of 3 copies get a new template again and again under load, ROUNDS (default 3); needs root
	@E2E_ROLLOUT_ROUNDS=$(or $(ROUNDS),3) e2e/test.sh rollout
scaling: ## 2 groups become 4 and 2 again under load of all SDKs; needs root
	@e2e/test.sh scaling
scale: ## one operator for 1,000 topics and 1,000 consumer groups in 20 clusters: what it costs, how soon a change is live
	@e2e/test.sh scale
convergence: ## operators that die after each change, two at once, every field of every spec changed, in the order of SEED; needs root
	@E2E_SEED=$(or $(SEED),1) e2e/test.sh convergence
failover: ## how long clients wait when members fail, ROUNDS (default 20) of each EVENT (default all: killed, hand-over, cut); needs root, ip and nft
	@e2e/sdk/install.sh java go
	@cargo build --release -p broker -p cli
	@E2E_FAILOVER_ROUNDS=$(or $(ROUNDS),20) E2E_FAILOVER_EVENT="$(EVENT)" cargo test -q -p e2e --test standalone failover_figures -- --ignored --nocapture
