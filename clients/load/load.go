package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Operation is one kind of work that is measured.
type Operation string

// The operations, in the order in which they run.
const (
	// Flows are whole sign-ins: code and PKCE, a login form, an ID token.
	Flows Operation = "flows"
)

// Operations returns all of them, in the order in which they run.
func Operations() []Operation { return []Operation{Flows} }

// The ways for a client to authenticate at the token endpoint (RFC 6749 §2.3.1).
const (
	AuthBasic = "basic"
	AuthPost  = "post"
	AuthNone  = "none"
)

// Config says what to run and where. Issuer, ClientID, RedirectURI, Username,
// and Concurrency are required, and a positive Duration or Flows.
type Config struct {
	// Issuer is the provider's identifier.
	Issuer string
	// ClientID, ClientSecret and AuthMethod are the client's. A public client
	// has AuthNone and no secret.
	ClientID, ClientSecret, AuthMethod string
	// RedirectURI is registered for the client. Nothing needs to listen there.
	RedirectURI string
	// Username and Password are typed into the login form.
	Username, Password string
	// Scopes are asked for in every flow.
	Scopes []string

	// Operations to run; nil means all.
	Operations []Operation
	// Flows is how many flows to run; zero means as many as Duration allows.
	Flows int
	// Duration is how long each operation runs.
	Duration time.Duration
	// Warmup is how long each operation runs before it is measured.
	Warmup time.Duration
	// Concurrency is how many flows run at once.
	Concurrency int
	// Timeout bounds each exchange; zero means 10 s.
	Timeout time.Duration

	// TLS is for https; nil means the system's authorities.
	TLS *tls.Config
	// ServerPID is the process whose CPU time and memory are read; zero: none.
	ServerPID int
	// Progress is told how far the run is; nil means nobody. Terminal says that it
	// can write a line anew.
	Progress io.Writer
	Terminal bool
}

// The reasons for which nothing is run.
var (
	// ErrDiscovery says that the provider's metadata or keys are unusable.
	ErrDiscovery = errors.New("discovery")
	// ErrConfig says that the configuration is.
	ErrConfig = errors.New("the configuration is incomplete")
)

// Run measures each operation in turn. When ctx ends it returns what was measured
// until then. Operations that fail are counted in the report; the error is about
// the run as a whole.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	wire := newWire(&cfg)
	defer wire.close()
	// Who stops the run waits no longer than this for exchanges under way.
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, wire.close) })()

	// 1. Discovery and the keys, once. OIDC Discovery 1.0 §4.
	op, err := discover(ctx, wire, &cfg)
	if err != nil {
		return nil, err
	}

	// 2. What this machine can do, so that all else is a ratio to it.
	report := &Report{Issuer: cfg.Issuer, ClientID: cfg.ClientID}
	report.Limits = measureLimits(ctx, &cfg)

	// 3. The operations, one after the other.
	r := &runner{cfg: &cfg, op: op, wire: wire}
	for _, operation := range cfg.Operations {
		if ctx.Err() != nil {
			break
		}
		report.Results = append(report.Results, r.run(ctx, operation))
	}
	report.finish()
	return report, nil
}

func (cfg *Config) check() error {
	switch {
	case cfg.Issuer == "":
		return fmt.Errorf("%w: no issuer", ErrConfig)
	case cfg.ClientID == "":
		return fmt.Errorf("%w: no client", ErrConfig)
	case cfg.RedirectURI == "":
		return fmt.Errorf("%w: no redirect URI", ErrConfig)
	case cfg.Concurrency < 1:
		return fmt.Errorf("%w: the concurrency is at least 1", ErrConfig)
	case cfg.Duration <= 0 && cfg.Flows <= 0:
		return fmt.Errorf("%w: neither how long nor how many flows", ErrConfig)
	case !slices.Contains([]string{AuthBasic, AuthPost, AuthNone}, cfg.AuthMethod):
		return fmt.Errorf("%w: %q is no way for a client to authenticate: %s", ErrConfig, cfg.AuthMethod,
			strings.Join([]string{AuthBasic, AuthPost, AuthNone}, ", "))
	}
	if cfg.Operations == nil {
		cfg.Operations = Operations()
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	return nil
}
