package provider

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// invalid says which value of the configuration cannot be used. New reports
// it as it is; ReadConfig adds the line on which the value stands.
type invalid struct {
	list   string // YAML name of the list: "clients", "users" or "scopes"; "" for a value at the top
	index  int    // in that list
	field  string // YAML name of the field; "" for the whole entry
	entry  string // what the entry is called in messages: `client "spa"`
	reason string
}

func (e *invalid) Error() string {
	var parts []string
	for _, part := range []string{e.entry, e.field, e.reason} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// problem is a reason to refuse one field of an entry.
type problem struct {
	field, reason string
	// unless is the switch of a configured client that allows it, "" if none does.
	unless string
}

func problemf(field, format string, args ...any) *problem {
	return &problem{field: field, reason: fmt.Sprintf(format, args...)}
}

// validate checks all that can be checked without a store.
func (cfg *Config) validate() error {
	if err := validateIssuer(cfg.Issuer); err != nil {
		return err
	}
	return cfg.validateSettings()
}

// validateSettings checks what a configuration file may hold beside the issuer.
func (cfg *Config) validateSettings() error {
	if p := cfg.Registration.check(); p != nil {
		return &invalid{field: p.field, reason: p.reason}
	}
	if p := cfg.Requests.check(); p != nil {
		return &invalid{field: p.field, reason: p.reason}
	}
	if cfg.MaxConcurrentRequests < 0 {
		return &invalid{field: "max_concurrent_requests", reason: fmt.Sprintf("%d is negative", cfg.MaxConcurrentRequests)}
	}
	if err := cfg.validateKeys(); err != nil {
		return err
	}
	if err := validateEntries(cfg.Clients, cfg.Users, cfg.Scopes, cfg.Lifetimes); err != nil {
		return err
	}
	if err := cfg.Requests.checkClients(cfg.Clients); err != nil {
		return err
	}
	return checkUnsignedClients(cfg.Clients, cfg.InsecureUnsignedIDTokens)
}

// validateEntries checks the lists, and the lifetimes.
func validateEntries(clients []Client, users []User, scopes []Scope, lifetimes Lifetimes) error {
	if p := lifetimes.check(); p != nil {
		return &invalid{field: "lifetimes", reason: p.reason}
	}
	known := slices.Clone(userScopes)
	for i, s := range scopes {
		p := s.check()
		if p == nil && slices.Contains(known, s.Name) {
			p = problemf("name", "this scope is there already")
		}
		if p != nil {
			return p.at("scopes", i, "scope", s.Name)
		}
		known = append(known, s.Name)
	}
	ids := map[string]bool{}
	for i, c := range clients {
		p := c.check(known)
		if p == nil && ids[c.ID] {
			p = problemf("client_id", "another client has it already")
		}
		if p != nil {
			return p.at("clients", i, "client", c.ID)
		}
		ids[c.ID] = true
	}
	names, subjects := map[string]bool{}, map[string]bool{}
	for i, u := range users {
		p := u.check()
		sub, _ := u.Claims["sub"].(string)
		switch {
		case p != nil:
		case names[u.Username]:
			p = problemf("username", "another user has it already")
		case subjects[sub]:
			p = problemf("claims", "sub %q: another user has it already", sub)
		case ids[sub]:
			// A client's own tokens have the client_id as "sub".
			p = problemf("claims", "sub %q: a client has it as its client_id (RFC 9068 §5)", sub)
		}
		if p != nil {
			return p.at("users", i, "user", u.Username)
		}
		names[u.Username], subjects[sub] = true, true
	}
	return nil
}

func (p *problem) at(list string, index int, kind, name string) *invalid {
	entry := fmt.Sprintf("%s %q", kind, name)
	if name == "" {
		entry = fmt.Sprintf("%s number %d", kind, index+1)
	}
	reason := p.reason
	if p.unless != "" {
		reason += ", or set " + p.unless + " for this client"
	}
	return &invalid{list: list, index: index, field: p.field, entry: entry, reason: reason}
}

// validateIssuer: OIDC Discovery §3, RFC 8414 §2. http is for laboratories.
func validateIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	reason := ""
	switch {
	case issuer == "":
		reason = "is missing"
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		reason = fmt.Sprintf("%q is no http or https URL", issuer)
	case u.RawQuery != "", u.ForceQuery, strings.Contains(issuer, "#"), u.User != nil:
		reason = fmt.Sprintf("%q must have no query, fragment or user", issuer)
	case strings.HasSuffix(issuer, "/"):
		reason = fmt.Sprintf("%q must not end with a slash", issuer)
	case !plainPath(u):
		reason = fmt.Sprintf("%q has a path that is not of letters, digits and -._~ between single slashes", issuer)
	default:
		return nil
	}
	return &invalid{field: "issuer", reason: reason}
}

// plainPath reports whether a URL's path reads the same however it is written:
// no escapes, no empty or dot segments, nothing that a router takes for a
// pattern.
func plainPath(u *url.URL) bool {
	const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
	return u.Path == "" || u.RawPath == "" && path.Clean(u.Path) == u.Path && strings.Trim(u.Path, "/"+unreserved) == ""
}

// check: RFC 6749 §3.3 for the name.
func (s *Scope) check() *problem {
	if s.Name == "" {
		return problemf("name", "is missing")
	}
	if strings.ContainsFunc(s.Name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return problemf("name", "a scope is printable ASCII without spaces, quotes and backslashes (RFC 6749 §3.3)")
	}
	return nil
}

func (u *User) check() *problem {
	sub, isText := u.Claims["sub"].(string)
	switch {
	case u.Username == "":
		return problemf("username", "is missing")
	case u.Password == "" && u.PasswordHash == "":
		return problemf("password", "is missing; give password or password_hash")
	case u.Password != "" && u.PasswordHash != "":
		return problemf("password", "give password or password_hash, not both")
	case u.Claims["sub"] == nil || sub == "" && isText:
		return problemf("claims", "sub is missing (OpenID Connect Core §2)")
	case !isText:
		return problemf("claims", "sub must be text: put it in quotes")
	case len(sub) > 255 || strings.ContainsFunc(sub, notVisible):
		return problemf("claims", "sub must be at most 255 visible ASCII characters (OpenID Connect Core §2)")
	}
	if u.PasswordHash != "" {
		if _, err := parsePasswordHash(u.PasswordHash); err != nil {
			return problemf("password_hash", "%v", err)
		}
	}
	return nil
}

// check refuses what has no lifetime left. Zero means "the default".
func (l *Lifetimes) check() *problem {
	for _, d := range []Duration{l.Code, l.AccessToken, l.IDToken, l.RefreshToken, l.Grant, l.Session, l.DeviceCode, l.PushedRequest} {
		if d < 0 {
			return problemf("lifetimes", "%s is negative", time.Duration(d))
		}
	}
	if l.Code > Duration(10*time.Minute) {
		return problemf("lifetimes", "code: %s is more than ten minutes (RFC 6749 §4.1.2)", time.Duration(l.Code))
	}
	if l.PushedRequest > Duration(10*time.Minute) {
		return problemf("lifetimes", "pushed_request: %s is more than ten minutes (RFC 9126 §2.2)", time.Duration(l.PushedRequest))
	}
	return nil
}

// notVisible: neither a visible ASCII character nor a space (RFC 6749 appendix A.1).
func notVisible(r rune) bool { return r < ' ' || r > '~' }
