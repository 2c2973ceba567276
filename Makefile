# make help   lists the targets
# make test   installs what the tests need and runs all of them

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

GO            ?= go
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# The settings are shared with neighbouring projects; a lone checkout has a copy.
LINT_CONFIG   ?= $(firstword $(wildcard ../shared/golangci.yml) .golangci.yml)

.PHONY: help test lint demo build chromium golden

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

test: chromium ## install what the tests need, then run everything with the race detector
	$(GO) test -race -timeout 30m ./...

lint: ## check formatting, style and the import rules
	$(GO) run $(GOLANGCI_LINT) run --config $(LINT_CONFIG) ./...

demo: ## start the lab from scratch, keeping nothing
	$(GO) run ./cmd/oidclab up --data "$$(mktemp -d)"

build: ## build bin/oidclab
	$(GO) build -trimpath -o bin/oidclab ./cmd/oidclab

golden: chromium ## write testdata/wire and the pictures of the README anew
	$(GO) test -count=1 ./clients/lab -run 'TestTranscripts|TestCommandLine|TestPictures' -update

# The browser tests need Chromium, and fonts to lay pages out with. On Debian
# they are installed here.
PACKAGES := chromium fonts-dejavu-core fonts-liberation
chromium:
	@if [ -n "$${OIDCLAB_CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null; then \
		exit 0; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null; \
	elif command -v apt-get >/dev/null && command -v sudo >/dev/null; then \
		sudo apt-get update -qq && sudo apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null; \
	else \
		echo "The browser tests need Chromium or Chrome: install it, or set OIDCLAB_CHROMIUM to its path." >&2; exit 1; \
	fi
