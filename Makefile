# make help   lists the targets
# make test   installs what the tests need and runs all of them

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

GO            ?= go
FUZZTIME      ?= 20s
BENCH         ?= .
COUNT         ?= 6
DURATION      ?= 10s
BENCHSTAT     := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# The settings are shared with neighbouring projects; a lone checkout has a copy.
LINT_CONFIG   ?= $(firstword $(wildcard ../shared/golangci.yml) .golangci.yml)

.PHONY: help test fuzz lint bench load demo build tools golden

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

test: tools ## install what the tests need, then run everything with the race detector
	$(GO) test -race -timeout 30m ./...

fuzz: ## run each fuzz target for 20 s, or for FUZZTIME=2m
	@for folder in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for target in $$($(GO) test -list '^Fuzz' "$$folder" | grep '^Fuzz'); do \
			echo "$$folder $$target"; \
			$(GO) test "$$folder" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME); \
		done; \
	done

lint: ## check formatting, style and the import rules
	$(GO) run $(GOLANGCI_LINT) run --config $(LINT_CONFIG) ./...

# With BASE both are measured in turn, so that a busy hour slows both.
bench: ## run the Go benchmarks (BENCH=Commit some of them); BASE=main compares with a commit
	@mkdir -p bin/bench; \
	head=bin/bench/$$(git describe --always --dirty --exclude '*').txt; base=; \
	if [ -n "$(BASE)" ]; then \
		base=bin/bench/base-$$(git rev-parse --short "$(BASE)").txt; tree=$$(mktemp -d); \
		trap 'git worktree remove --force "$$tree"' EXIT; \
		git worktree add --quiet --detach "$$tree" "$(BASE)"; \
	fi; \
	measure() { \
		$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem \
			$$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n1 dirname | sort -u); \
	}; \
	rm -f "$$head" $$base; \
	for round in $$(seq $(COUNT)); do \
		echo "round $$round of $(COUNT)"; \
		if [ -n "$$base" ]; then (cd "$$tree"; measure) >>"$$base"; fi; \
		measure >>"$$head"; \
	done; \
	$(GO) run $(BENCHSTAT) $$base "$$head"

# The disk that is measured is that of this directory.
load: build ## measure the provider under load and at its start, for DURATION=10s each
	@mkdir -p bin/load; folder=$$(mktemp -d bin/load/XXXXXX); \
	bin/oidclab serve --listen 127.0.0.1:0 --config testdata/bench.yaml --data "$$folder/data" \
		--ready-file "$$folder/ready.json" --log-level warn >"$$folder/serve.log" & \
	server=$$!; trap 'kill $$server; wait $$server || true; rm -r "$$folder"' EXIT; \
	until [ -s "$$folder/ready.json" ]; do kill -0 $$server; sleep 0.1; done; \
	issuer=$$(sed -E 's/.*"issuer":"([^"]+)".*/\1/' "$$folder/ready.json"); \
	measure() { bin/oidclab bench --issuer "$$issuer" --server-pid $$server --dir "$$folder" --duration $(DURATION) "$$@"; }; \
	echo "RS256"; echo; measure --only flows; echo; \
	echo "ES256"; echo; measure --client-id bench-es256
	@echo; $(GO) test ./cmd/oidclab -run '^$$' -bench '^BenchmarkStart$$'
	@$(GO) test ./cmd/oidclab -run '^$$' -bench '^BenchmarkBesideBare$$' -benchtime 5x

demo: ## start the lab from scratch, keeping nothing
	$(GO) run ./cmd/oidclab up --data "$$(mktemp -d)"

build: ## build bin/oidclab
	$(GO) build -trimpath -o bin/oidclab ./cmd/oidclab

golden: tools ## write testdata/wire and the pictures of the README anew
	$(GO) test -count=1 ./clients/lab -run 'TestTranscripts|TestCommandLine|TestPictures' -update

# What the tests need beside Go: Chromium, fonts to lay pages out with,
# PostgreSQL, of which they start servers of their own, and a C compiler for the
# race detector. On Debian they are installed here.
tools:
	@missing=(); \
	[ -n "$${OIDCLAB_CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null || \
		missing+=(chromium fonts-dejavu-core fonts-liberation); \
	[ -n "$${OIDCLAB_POSTGRES:-}" ] || command -v pg_ctl /usr/lib/postgresql/*/bin/pg_ctl >/dev/null || missing+=(postgresql); \
	command -v cc gcc clang >/dev/null || missing+=(gcc libc6-dev); \
	if [ $${#missing[@]} = 0 ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
		echo "The tests need $${missing[*]}: install them (or set OIDCLAB_CHROMIUM to the path of a Chromium or Chrome, OIDCLAB_POSTGRES to the URL of a PostgreSQL server)." >&2; exit 1; \
	fi; \
	as_root=; if [ "$$(id -u)" != 0 ]; then as_root=sudo; fi; \
	$$as_root apt-get update -qq; \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null
