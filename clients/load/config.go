package load

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ConfigError says what is wrong with one field of a Config.
type ConfigError struct {
	Field   string // its name in Go
	Problem string // what follows the name in a sentence
}

func (e *ConfigError) Error() string { return ErrConfig.Error() + ": " + e.Field + " " + e.Problem }

// Unwrap says that it is an ErrConfig.
func (e *ConfigError) Unwrap() error { return ErrConfig }

// maxConcurrency bounds how many workers there are: each has a connection, and
// there are not many more ports to one address.
const maxConcurrency = 1 << 14

// check refuses what cannot be run, and fills in the defaults.
func (cfg *Config) check() error {
	const missing, negative = "is missing", "is negative"
	signsIn := cfg.Operations == nil || slices.Contains(cfg.Operations, Flows) || slices.Contains(cfg.Operations, Refresh)
	onlyFlows := slices.Equal(cfg.Operations, []Operation{Flows})
	methods := []string{AuthBasic, AuthPost, AuthNone}
	var unknown []Operation
	for _, o := range cfg.Operations {
		if !slices.Contains(Operations(), o) {
			unknown = append(unknown, o)
		}
	}
	for _, c := range []struct {
		wrong          bool
		field, problem string
	}{
		{cfg.Issuer == "", "Issuer", missing},
		{!isIssuer(cfg.Issuer), "Issuer", "must be an http or https URL without user, password, query and fragment"},
		{cfg.ClientID == "", "ClientID", missing},
		{!slices.Contains(methods, cfg.AuthMethod), "AuthMethod", fmt.Sprintf("must be one of %s, and not %q", strings.Join(methods, ", "), cfg.AuthMethod)},
		{cfg.RedirectURI == "", "RedirectURI", missing},
		{unknown != nil, "Operations", fmt.Sprintf("must be of %q, and not %q", Operations(), unknown)},
		{signsIn && cfg.Username == "", "Username", missing + ": the login form asks for it"},
		{signsIn && !slices.Contains(cfg.Scopes, "openid"), "Scopes", "must have openid: each flow has an ID token, which is verified"},
		{cfg.Flows < 0, "Flows", negative},
		{cfg.Duration < 0, "Duration", negative},
		{cfg.Duration == 0 && cfg.Flows == 0, "Duration", "must be more than 0, where there is no number of flows"},
		{cfg.Duration == 0 && !onlyFlows, "Duration", "must be more than 0, unless flows alone are measured"},
		{cfg.Warmup < 0, "Warmup", negative},
		{cfg.Timeout < 0, "Timeout", negative},
		{cfg.LimitTime < 0, "LimitTime", negative},
		{cfg.ProgressEvery < 0, "ProgressEvery", negative},
		{cfg.Concurrency < 1 || cfg.Concurrency > maxConcurrency, "Concurrency", fmt.Sprintf("must be from 1 to %d", maxConcurrency)},
		{cfg.TokenConcurrency < 0 || cfg.TokenConcurrency > maxConcurrency, "TokenConcurrency", fmt.Sprintf("must be from 1 to %d, or 0 for as many as flows", maxConcurrency)},
	} {
		if c.wrong {
			return &ConfigError{c.field, c.problem}
		}
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.ProgressEvery = cmp.Or(cfg.ProgressEvery, 5*time.Second)
	cfg.LimitTime = cmp.Or(cfg.LimitTime, 400*time.Millisecond)
	return nil
}

// isIssuer reports whether a provider can be called so. OIDC Discovery 1.0 §3, but for
// http, which is for this machine.
func isIssuer(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && u.User == nil && !strings.ContainsAny(s, "?#") && (u.Scheme == "http" || u.Scheme == "https")
}
