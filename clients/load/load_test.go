package load_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidclab/oidclab/clients/load"
)

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func run(t *testing.T, cfg load.Config) *load.Report {
	t.Helper()
	report, err := load.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestOtherForms signs in where neither the login nor the consent looks like ours.
func TestOtherForms(t *testing.T) {
	flows := run(t, startFake(t, nil).config()).Results[0]
	if flows.Done != 4 || flows.Failed != 0 || flows.Exchanges != 6 {
		t.Errorf("got %+v", flows)
	}
}

func TestOtherOperations(t *testing.T) {
	op := startFake(t, nil)
	cfg := op.config()
	cfg.Operations, cfg.TokenConcurrency, cfg.Duration, cfg.Flows = nil, 3, 50*time.Millisecond, 5
	report := run(t, cfg)
	if len(report.Results) != 4 {
		t.Fatalf("got %d results", len(report.Results))
	}
	for i, result := range report.Results {
		if result.Operation != load.Operations()[i] || result.Done == 0 || result.Failed != 0 || result.Ratios.HTTPLimit <= 0 {
			t.Errorf("got %+v", result)
		}
		if i > 0 && (result.Concurrency != 3 || result.Exchanges != 1) {
			t.Errorf("%s: %d at once with %v exchanges each", result.Operation, result.Concurrency, result.Exchanges)
		}
	}
	if report.Results[0].Done != 5 {
		t.Errorf("got %d flows", report.Results[0].Done)
	}
}

// TestFailures shows that each check is one: what a provider does wrong is counted
// under its name, and stops nothing.
func TestFailures(t *testing.T) {
	set := func(name string, value any) func(map[string]any) { return func(m map[string]any) { m[name] = value } }
	without := func(name string) func(map[string]any) { return func(m map[string]any) { delete(m, name) } }
	respond := func(name, value string) func(*fake) {
		return func(f *fake) { f.response = func(q url.Values) { q.Set(name, value) } }
	}
	claim := func(change func(map[string]any)) func(*fake) { return func(f *fake) { f.claims = change } }
	answer := func(change func(map[string]any)) func(*fake) { return func(f *fake) { f.token = change } }
	status := func(path string, code int) func(*fake) {
		return func(f *fake) {
			f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, path) {
					w.WriteHeader(code)
					return true
				}
				return false
			}
		}
	}
	now := time.Now().Unix()
	tests := []struct {
		kind      string
		misbehave func(*fake)
	}{
		{"authorization response: wrong state", respond("state", "another")},
		{"authorization response: wrong iss", respond("iss", "https://evil.example")},
		{"authorization response: no iss", func(f *fake) { f.response = func(q url.Values) { q.Del("iss") } }},
		{"authorization response: no code", respond("code", "")},
		{"authorization refused: access_denied", respond("error", "access_denied")},
		{"status 400 at token (code): invalid_grant", respond("code", "another")},
		{"no ID token", answer(without("id_token"))},
		{"malformed answer of token (code)", answer(without("access_token"))},
		{"malformed answer of token (code)", answer(set("token_type", "DPoP"))},
		{"malformed answer of token (code)", answer(set("token_type", 1))},
		{"ID token: wrong nonce", claim(set("nonce", "another"))},
		{"ID token: wrong nonce", claim(without("nonce"))},
		{"ID token: wrong iss", claim(set("iss", "https://evil.example"))},
		{"ID token: wrong aud", claim(set("aud", []string{"another"}))},
		{"ID token: wrong azp", claim(set("azp", "another"))},
		{"ID token: expired", claim(set("exp", now-120))},
		{"ID token: expired", claim(without("exp"))},
		{"ID token: wrong iat", claim(set("iat", now+120))},
		{"ID token: wrong iat", claim(without("iat"))},
		{"ID token: no sub", claim(without("sub"))},
		{"ID token: wrong at_hash", claim(set("at_hash", "another"))},
		{"ID token: malformed", claim(set("aud", 7))},
		{"ID token: malformed", answer(set("id_token", "a.b"))},
		{"ID token: malformed", answer(set("id_token", "a.b.c"))},
		{"status 500 at GET /auth", status("/auth", 500)},
		{"status 429 at GET /auth", status("/auth", 429)},
		{"status 503 at token (code)", status("/token", 503)},
		{"status 503 at POST /interaction/…/login", status("/login", 503)},
		{"status 429 at POST /interaction/…/login", func(f *fake) {
			f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/login") {
					return false
				}
				w.WriteHeader(http.StatusTooManyRequests) // with the form, to try again later
				fmt.Fprintf(w, loginPage, "1", "")
				return true
			}
		}},
		{"status 404 at GET /auth", status("/auth", 404)},
		{"no form at GET /auth", status("/auth", 200)},
		{"redirect to nowhere at GET /auth", status("/auth", 302)},
	}
	for _, test := range tests {
		t.Run(test.kind, func(t *testing.T) {
			flows := run(t, startFake(t, test.misbehave).config()).Results[0]
			if flows.Done != 0 || flows.Failed != 4 || len(flows.Failures) != 1 || flows.Failures[0].Kind != test.kind || flows.Failures[0].Count != 4 {
				t.Errorf("got %d done and %+v", flows.Done, flows.Failures)
			}
		})
	}
}

func TestRefreshesAreVerified(t *testing.T) {
	for kind, misbehave := range map[string]func(*fake){
		"ID token: wrong nonce": func(f *fake) {
			f.claims = func(c map[string]any) {
				if c["nonce"] == nil {
					c["nonce"] = "another"
				}
			}
		},
		"no refresh token": func(f *fake) { f.token = func(a map[string]any) { delete(a, "refresh_token") } },
	} {
		cfg := startFake(t, misbehave).config()
		cfg.Operations, cfg.Duration = []load.Operation{load.Refresh}, time.Hour
		refreshes := run(t, cfg).Results[0]
		if refreshes.Done != 0 || len(refreshes.Failures) != 1 || refreshes.Failures[0].Kind != kind {
			t.Errorf("%s: got %d done and %+v", kind, refreshes.Done, refreshes.Failures)
		}
	}
}

// TestNoRotation uses a refresh token again where the provider gives no other.
func TestNoRotation(t *testing.T) {
	cfg := startFake(t, func(f *fake) {
		f.token = func(a map[string]any) {
			if a["refresh_token"] != "refresh 1" {
				delete(a, "refresh_token")
			}
		}
	}).config()
	cfg.Operations, cfg.Concurrency, cfg.Duration = []load.Operation{load.Refresh}, 1, 100*time.Millisecond
	if refreshes := run(t, cfg).Results[0]; refreshes.Done < 2 || refreshes.Failed != 0 || refreshes.Exchanges != 1 {
		t.Errorf("got %+v", refreshes)
	}
}

func TestInactive(t *testing.T) {
	cfg := startFake(t, func(f *fake) { f.token = func(a map[string]any) { a["access_token"] = "another" } }).config()
	cfg.Operations, cfg.Duration = []load.Operation{load.Introspection}, time.Hour
	result := run(t, cfg).Results[0]
	if result.Done != 0 || len(result.Failures) != 1 || result.Failures[0].Kind != "introspection: inactive" {
		t.Errorf("got %d done and %+v", result.Done, result.Failures)
	}
}

// TestWrongPassword does not go on for the hour that it was asked to.
func TestWrongPassword(t *testing.T) {
	cfg := startFake(t, nil).config()
	cfg.Password, cfg.Flows, cfg.Duration = "wrong", 0, time.Hour
	report := run(t, cfg)
	flows := report.Results[0]
	if flows.Done != 0 || len(flows.Failures) != 1 || flows.Failures[0].Kind != "login refused" || !strings.Contains(flows.Failures[0].First, "is the password right?") {
		t.Errorf("got %d done and %+v", flows.Done, flows.Failures)
	}
	if report.Stopped || !flows.GaveUp {
		t.Errorf("somebody stopped it: %t; it gave up: %t", report.Stopped, flows.GaveUp)
	}
	var table strings.Builder
	if err := report.WriteTable(&table); err != nil || !strings.Contains(table.String(), ", because nothing succeeded\n") {
		t.Errorf("%v, table:\n%s", err, table.String())
	}
}

// TestSomeFail goes on while others succeed.
func TestSomeFail(t *testing.T) {
	var asked atomic.Int64
	cfg := startFake(t, func(f *fake) {
		f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" && asked.Add(1)%2 == 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		}
	}).config()
	cfg.Flows = 100
	flows := run(t, cfg).Results[0]
	if flows.Done+flows.Failed != 100 || flows.Done < 10 || flows.Failed < 10 {
		t.Errorf("got %d done, %d failed", flows.Done, flows.Failed)
	}
}

// TestNoAnswer counts what takes too long.
func TestNoAnswer(t *testing.T) {
	op := startFake(t, func(f *fake) {
		f.intercept = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				_ = r.ParseForm()    // a server notices the end only once it has read the body
				<-r.Context().Done() // until the client gives up
				return true
			}
			return false
		}
	})
	cfg := op.config()
	cfg.Timeout, cfg.Flows = 100*time.Millisecond, 1
	flows := run(t, cfg).Results[0]
	if flows.Failed != 1 || flows.Failures[0].Kind != "no answer in time at token (code)" || flows.Failures[0].First != "within 100ms" {
		t.Errorf("got %+v", flows.Failures)
	}
}

// TestStop gives what was measured, and waits for no answer that does not come.
func TestStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	op := startFake(t, func(f *fake) {
		f.intercept = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" && f.tokens.Load() >= 5 {
				stop()
				_ = r.ParseForm()
				<-r.Context().Done()
				return true
			}
			return false
		}
	})
	cfg := op.config()
	cfg.Flows, cfg.Duration, cfg.Timeout = 0, time.Hour, time.Hour
	cfg.Operations = []load.Operation{load.Flows, load.Refresh}
	report, err := load.Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Stopped || len(report.Results) != 1 || report.Results[0].Done < 4 || report.Results[0].Failed != 0 {
		t.Errorf("got %+v of %d", report.Results[0], len(report.Results))
	}
}

// TestStopEarly says so, and not that the provider or the machine is at fault.
func TestStopEarly(t *testing.T) {
	for _, where := range []string{"/.well-known/openid-configuration", "/keys"} {
		ctx, stop := context.WithCancel(t.Context())
		cfg := startFake(t, func(f *fake) {
			f.intercept = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == where {
					stop()
					<-r.Context().Done()
					return true
				}
				return false
			}
		}).config()
		cfg.Timeout = time.Hour
		if report, err := load.Run(ctx, cfg); report != nil || !errors.Is(err, load.ErrStopped) {
			t.Errorf("%s: got %+v, %v", where, report, err)
		}
	}

	ctx, stop := context.WithCancel(t.Context())
	cfg := startFake(t, func(f *fake) {
		f.metadata = func(map[string]any) { time.AfterFunc(50*time.Millisecond, stop) }
	}).config()
	cfg.LimitTime = time.Hour
	if report, err := load.Run(ctx, cfg); report != nil || !errors.Is(err, load.ErrStopped) {
		t.Errorf("limits: got %+v, %v", report, err)
	}
}

// TestProgress writes one line again and again on a terminal, and takes it away.
func TestProgress(t *testing.T) {
	var line strings.Builder
	cfg := startFake(t, nil).config()
	cfg.Flows, cfg.Duration, cfg.Progress, cfg.Terminal = 0, 700*time.Millisecond, &line, true
	run(t, cfg)
	if got := line.String(); strings.Contains(got, "\n") || !strings.HasPrefix(got, "\r\x1b[Kflows: ") || !strings.HasSuffix(got, "s\r\x1b[K") {
		t.Errorf("got %q", got)
	}
}

func TestTLS(t *testing.T) {
	op := newFake(t, nil)
	op.StartTLS()
	cfg := op.config()
	if _, err := load.Run(t.Context(), cfg); !errors.Is(err, load.ErrDiscovery) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a stranger is believed: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(op.Certificate())
	cfg.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if flows := run(t, cfg).Results[0]; flows.Done != 4 {
		t.Errorf("got %+v", flows)
	}
}

func TestNotOffered(t *testing.T) {
	op := startFake(t, func(f *fake) {
		f.metadata = func(m map[string]any) { delete(m, "introspection_endpoint"); delete(m, "grant_types_supported") }
	})
	cfg := op.config()
	cfg.Operations, cfg.Duration = nil, 20*time.Millisecond
	report := run(t, cfg)
	if len(report.Results) != 1 || len(report.Skipped) != 3 {
		t.Errorf("got %d results, skipped %q", len(report.Results), report.Skipped)
	}
	for _, operation := range load.Operations()[1:] {
		cfg.Operations = []load.Operation{operation}
		if _, err := load.Run(t.Context(), cfg); !errors.Is(err, load.ErrNotOffered) {
			t.Errorf("%s: %v", operation, err)
		}
	}
}

func TestDiscoveryIsChecked(t *testing.T) {
	for name, misbehave := range map[string]func(*fake){
		"another issuer":    func(f *fake) { f.metadata = func(m map[string]any) { m["issuer"] = "https://evil.example" } },
		"no token endpoint": func(f *fake) { f.metadata = func(m map[string]any) { delete(m, "token_endpoint") } },
		"no keys": func(f *fake) {
			f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/keys" {
					w.WriteHeader(http.StatusInternalServerError)
					return true
				}
				return false
			}
		},
		"no JSON": func(f *fake) {
			f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				_, err := w.Write([]byte("<html>"))
				return err == nil
			}
		},
	} {
		if _, err := load.Run(t.Context(), startFake(t, misbehave).config()); !errors.Is(err, load.ErrDiscovery) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := startFake(t, nil).config()
	cfg.Issuer = "http://127.0.0.1:1"
	if _, err := load.Run(t.Context(), cfg); !errors.Is(err, load.ErrDiscovery) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody there: %v", err)
	}
}
