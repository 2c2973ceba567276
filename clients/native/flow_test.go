package native_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/native"
)

func TestLogin(t *testing.T) {
	i := startIssuer(t)
	pages := make(chan seen, 1)
	var out strings.Builder
	r, err := native.Login(t.Context(), native.Config{Issuer: i.URL, Open: browse(t, pages), Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if r.Issuer != i.URL || r.ClientID != "native" || r.Subject != "alice-1" || r.Name() != "Alice Liddell" {
		t.Errorf("got %+v", r)
	}
	if r.Tokens.Access != "the-access-token" || r.Tokens.Refresh != "the-refresh-token" || r.Tokens.ID == "" || time.Until(r.Tokens.Expiry) < 9*time.Minute {
		t.Error("the tokens are not those of the issuer")
	}
	p := <-pages
	if p.status != http.StatusOK || !strings.Contains(p.body, "Signed in as Alice Liddell") {
		t.Errorf("page: %d %s", p.status, p.body)
	}
	for _, secret := range []string{code, "the-access-token", "the-refresh-token"} {
		if strings.Contains(p.body, secret) || strings.Contains(out.String(), secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	if csp := p.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") {
		t.Errorf("CSP: %s", csp)
	}
	if !strings.Contains(out.String(), i.URL+"/authorize?") {
		t.Errorf("the URL is not printed: %s", out.String())
	}
}

func TestAuthorizationRequest(t *testing.T) {
	i := startIssuer(t)
	i.metadata = func(m map[string]any) { m["authorization_endpoint"] = i.URL + "/authorize?tenant=a" }
	if _, err := native.Login(t.Context(), native.Config{Issuer: i.URL, Open: browse(t, make(chan seen, 1))}); err != nil {
		t.Fatal(err)
	}
	redirect, err := url.Parse(i.request.Get("redirect_uri"))
	if err != nil || redirect.Hostname() != "127.0.0.1" || redirect.Path != "/callback" || redirect.Scheme != "http" {
		t.Errorf("redirect_uri: %v %v", redirect, err)
	}
	got := map[string]string{}
	for name := range i.request {
		got[name] = i.request.Get(name)
	}
	for _, secret := range []string{"state", "nonce", "code_challenge", "redirect_uri"} {
		if got[secret] == "" {
			t.Errorf("%s is missing", secret)
		}
		delete(got, secret)
	}
	want := map[string]string{
		"tenant": "a", "response_type": "code", "client_id": "native", "scope": "openid profile email offline_access",
		"code_challenge_method": "S256", "prompt": "consent",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	want = map[string]string{"grant_type": "authorization_code", "code": code, "client_id": "native", "redirect_uri": redirect.String()}
	for name, value := range want {
		if i.posted.Get(name) != value {
			t.Errorf("token request: %s is %q", name, i.posted.Get(name))
		}
	}
}

// TestLoginRefuses takes one thing at a time from an honest login.
func TestLoginRefuses(t *testing.T) {
	future := float64(time.Now().Add(time.Hour).Unix())
	for _, tt := range []struct {
		name  string
		wrong func(*issuer)
		want  error
	}{
		{"iss missing", func(i *issuer) { i.callback = func(v url.Values) { v.Del("iss") } }, native.ErrIssuer},
		{"iss of another (mix-up)", func(i *issuer) { i.callback = func(v url.Values) { v.Set("iss", "https://evil.example") } }, native.ErrIssuer},
		{"iss of another, unannounced", func(i *issuer) {
			i.metadata = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
			i.callback = func(v url.Values) { v.Set("iss", "https://evil.example") }
		}, native.ErrIssuer},
		{"error of another issuer", func(i *issuer) {
			i.callback = func(v url.Values) { v.Set("iss", "https://evil.example"); v.Set("error", "access_denied") }
		}, native.ErrIssuer},
		{"no code", func(i *issuer) { i.callback = func(v url.Values) { v.Del("code") } }, native.ErrResponse},
		{"two codes", func(i *issuer) { i.callback = func(v url.Values) { v.Add("code", "other") } }, native.ErrResponse},
		{"no ID token", func(i *issuer) { i.token = func(m map[string]any) { delete(m, "id_token") } }, native.ErrIDToken},
		{"unsigned ID token", func(i *issuer) {
			i.token = func(m map[string]any) { m["id_token"] = m["id_token"].(string)[:40] + ".e30." }
		}, native.ErrIDToken},
		{"iss of the ID token", func(i *issuer) { i.idToken = func(m map[string]any) { m["iss"] = "https://evil.example" } }, native.ErrIDToken},
		{"aud", func(i *issuer) { i.idToken = func(m map[string]any) { m["aud"] = "another" } }, native.ErrIDToken},
		{"azp", func(i *issuer) { i.idToken = func(m map[string]any) { m["azp"] = "another" } }, native.ErrIDToken},
		{"exp", func(i *issuer) { i.idToken = func(m map[string]any) { m["exp"] = 1 } }, native.ErrIDToken},
		{"iat missing", func(i *issuer) { i.idToken = func(m map[string]any) { delete(m, "iat") } }, native.ErrIDToken},
		{"iat in the future", func(i *issuer) { i.idToken = func(m map[string]any) { m["iat"] = future } }, native.ErrIDToken},
		{"sub missing", func(i *issuer) { i.idToken = func(m map[string]any) { delete(m, "sub") } }, native.ErrIDToken},
		{"nonce missing", func(i *issuer) { i.idToken = func(m map[string]any) { delete(m, "nonce") } }, native.ErrIDToken},
		{"nonce of another login", func(i *issuer) { i.idToken = func(m map[string]any) { m["nonce"] = "another" } }, native.ErrIDToken},
		{"at_hash", func(i *issuer) { i.token = func(m map[string]any) { m["access_token"] = "another" } }, native.ErrIDToken},
		{"userinfo of another", func(i *issuer) { i.userInfo = func(m map[string]any) { m["sub"] = "bob-1" } }, native.ErrUserInfo},
		{"endpoint no web address", func(i *issuer) {
			i.metadata = func(m map[string]any) { m["authorization_endpoint"] = "file:///etc/passwd" }
		}, native.ErrInsecureURL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := startIssuer(t)
			tt.wrong(i)
			pages := make(chan seen, 1)
			r, err := native.Login(t.Context(), native.Config{Issuer: i.URL, Open: browse(t, pages)})
			if !errors.Is(err, tt.want) || r != nil {
				t.Fatalf("got %v, %v; want %v", r, err, tt.want)
			}
			if errors.Is(tt.want, native.ErrInsecureURL) {
				return // no browser was opened
			}
			if p := <-pages; p.status != http.StatusBadRequest || !strings.Contains(p.body, "Not signed in") {
				t.Errorf("page: %d %s", p.status, p.body)
			}
		})
	}
}

func TestIssuerThatAnnouncesNoIss(t *testing.T) {
	i := startIssuer(t)
	i.metadata = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
	i.callback = func(v url.Values) { v.Del("iss") }
	if _, err := native.Login(t.Context(), native.Config{Issuer: i.URL, Open: browse(t, make(chan seen, 1))}); err != nil {
		t.Error(err)
	}
}

func TestProviderRefuses(t *testing.T) {
	t.Run("access_denied", func(t *testing.T) {
		i := startIssuer(t)
		i.callback = func(v url.Values) {
			v.Del("code")
			v.Set("error", "access_denied")
			v.Set("error_description", "no\x1b[2J")
		}
		_, err := native.Login(t.Context(), native.Config{Issuer: i.URL, Open: browse(t, make(chan seen, 1))})
		refusal, ok := errors.AsType[*native.AuthorizationError](err)
		if !ok || refusal.Code != "access_denied" {
			t.Fatalf("got %v", err)
		}
		if strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Error("control characters reach the terminal")
		}
	})
	for name, status := range map[string]int{"invalid_grant": http.StatusBadRequest, "": http.StatusServiceUnavailable} {
		t.Run("token endpoint "+http.StatusText(status), func(t *testing.T) {
			i := startIssuer(t)
			i.status = status
			_, err := native.Login(t.Context(), native.Config{Issuer: i.URL, Open: browse(t, make(chan seen, 1))})
			refusal, ok := errors.AsType[*native.TokenError](err)
			if !ok || refusal.Code != name || refusal.Status != status {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %s", err)
			}
		})
	}
}

func TestDiscoveryOfAnotherIssuer(t *testing.T) {
	i := startIssuer(t)
	i.metadata = func(m map[string]any) { m["issuer"] = "https://evil.example" }
	if _, err := native.Login(t.Context(), native.Config{Issuer: i.URL}); err == nil || !strings.Contains(err.Error(), "evil.example") {
		t.Errorf("got %v", err)
	}
}

func TestInsecureIssuer(t *testing.T) {
	for _, issuer := range []string{"http://op.example", "ftp://localhost", "localhost:8080", ""} {
		if _, err := native.Login(t.Context(), native.Config{Issuer: issuer}); !errors.Is(err, native.ErrInsecureURL) {
			t.Errorf("%q: got %v", issuer, err)
		}
		if _, err := native.Login(t.Context(), native.Config{Via: issuer}); !errors.Is(err, native.ErrInsecureURL) {
			t.Errorf("via %q: got %v", issuer, err)
		}
	}
	// By name, it is allowed; this one does not exist (RFC 6761 §6.4).
	_, err := native.Login(t.Context(), native.Config{Issuer: "http://op.invalid", InsecureHTTP: true})
	if err == nil || errors.Is(err, native.ErrInsecureURL) {
		t.Errorf("got %v", err)
	}
}

func TestGivingUp(t *testing.T) {
	i := startIssuer(t)
	t.Run("Ctrl-C", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		open := func(context.Context, string) error { cancel(); return nil }
		if _, err := native.Login(ctx, native.Config{Issuer: i.URL, Open: open}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		// Nobody opens the URL: the wait can only end by the clock.
		if _, err := native.Login(t.Context(), native.Config{Issuer: i.URL, Timeout: 100 * time.Millisecond}); !errors.Is(err, native.ErrTimeout) {
			t.Errorf("got %v", err)
		}
	})
}

func TestBrowserThatDoesNotOpen(t *testing.T) {
	i := startIssuer(t)
	var out strings.Builder
	pages := make(chan seen, 1)
	open := func(ctx context.Context, target string) error {
		go func() { pages <- get(t, ctx, target, nil) }() // the person copies the URL
		return errors.New("no display")
	}
	if _, err := native.Login(t.Context(), native.Config{Issuer: i.URL, Open: open, Out: &out}); err != nil {
		t.Fatal(err)
	}
	<-pages
	if !strings.Contains(out.String(), "no display") {
		t.Errorf("got %q", out.String())
	}
}
