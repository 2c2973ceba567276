package load

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"runtime"
	"time"
)

// Operation is one kind of work that is measured.
type Operation string

// The operations, in the order in which they run.
const (
	// Flows are whole sign-ins: code and PKCE, a login form, an ID token.
	Flows Operation = "flows"
	// Refresh redeems a refresh token, each worker the one that it got last.
	Refresh Operation = "refresh"
	// ClientCredentials is the grant without a user.
	ClientCredentials Operation = "client-credentials"
	// Introspection asks about an access token that is good.
	Introspection Operation = "introspection"
)

// Operations returns all of them, in the order in which they run.
func Operations() []Operation {
	return []Operation{Flows, Refresh, ClientCredentials, Introspection}
}

// The ways for a client to authenticate at the token endpoint (RFC 6749 §2.3.1).
const (
	AuthBasic = "basic"
	AuthPost  = "post"
	AuthNone  = "none"
)

// Config says what to run and where. Issuer, ClientID, RedirectURI and Concurrency are
// required, and a positive Duration or Flows. Where users sign in, Username is, too, and
// "openid" among the Scopes.
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

	// Operations to run; nil means all that the provider offers.
	Operations []Operation
	// Flows is how many flows to run; zero means as many as Duration allows.
	Flows int
	// Duration is how long each operation runs.
	Duration time.Duration
	// Warmup is how long each operation runs before it is measured.
	Warmup time.Duration
	// Concurrency is how many flows run at once, TokenConcurrency how many of the
	// other operations; zero means as many.
	Concurrency, TokenConcurrency int
	// Timeout bounds each exchange; zero means 10 s. Where nothing has succeeded for as
	// long, the operation ends.
	Timeout time.Duration

	// TLS is for https; nil means the system's authorities.
	TLS *tls.Config
	// Processors is how many this process may use at once while it measures; zero
	// means all. Where the server is on the same machine, one is enough, and the
	// cheapest: nothing waits for another processor.
	Processors int
	// LimitTime is how long each limit is measured; zero means 400 ms.
	LimitTime time.Duration
	// Dir is where the time of a synced write is measured; empty means the
	// directory for temporary files.
	Dir string
	// ServerPID is the process whose CPU time and memory are read; zero: none.
	ServerPID int
	// Progress is told how far the run is, every so often; nil means nobody, zero
	// every five seconds. Terminal says that it can write a line anew.
	Progress      io.Writer
	ProgressEvery time.Duration
	Terminal      bool
}

// The reasons for which nothing is run.
var (
	// ErrDiscovery says that the provider's metadata or keys are unusable.
	ErrDiscovery = errors.New("discovery")
	// ErrConfig says that the configuration is. Each such error is a ConfigError.
	ErrConfig = errors.New("configuration")
	// ErrStopped says that the run ended before there was anything to report.
	ErrStopped = errors.New("stopped before anything was measured")
	// ErrNotOffered says that the provider does not do what was asked for by name.
	ErrNotOffered = errors.New("the provider does not offer it")
)

// Run measures each operation in turn. When ctx ends it returns what was measured
// until then, or ErrStopped if that is nothing. Operations that fail are counted in the report; the error is about
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
	if ctx.Err() != nil {
		return nil, ErrStopped // which is also why the provider did not answer
	}
	if err != nil {
		return nil, err
	}

	report := &Report{Issuer: cfg.Issuer, ClientID: cfg.ClientID, ServerMemory: serverUsage(cfg.ServerPID).resident}
	if err := op.choose(&cfg, report); err != nil {
		return nil, err
	}

	// 2. What this machine can do, so that all else is a ratio to it.
	if report.Limits, err = measureLimits(ctx, &cfg); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ErrStopped
	}

	// 3. The operations, one after the other.
	if cfg.Processors > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cfg.Processors))
	}
	r := &runner{cfg: &cfg, op: op, wire: wire, sign: report.Limits.sign}
	for _, operation := range cfg.Operations {
		if ctx.Err() != nil {
			break
		}
		result := r.run(ctx, operation)
		result.compare(report.Limits)
		report.Results = append(report.Results, result)
	}
	report.Stopped = ctx.Err() != nil
	return report, nil
}

// atOnce is how many workers an operation has.
func (cfg *Config) atOnce(operation Operation) int {
	if operation == Flows || cfg.TokenConcurrency == 0 {
		return cfg.Concurrency
	}
	return cfg.TokenConcurrency
}
