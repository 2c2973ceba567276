package provider_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

const (
	aliceSubject = "248289761001" // alice's own "sub"
	bobSubject   = "248289761002" // and bob's
	// Clients of pairwise subjects, see startPairwise.
	onAHost       = "on-a-host"     // its sector is the host of its redirect URI
	onTheSameHost = "on-the-same"   // another port of that host
	inASector     = "in-a-sector"   // its sector is that of a sector_identifier_uri
	inTheSame     = "in-the-same"   // another host and path, the same sector
	withASecret   = "with-a-secret" // in a sector of its own, confidential
	pairwiseOther = "http://other.localhost:1/callback"
)

func startPairwise(t *testing.T) *providertest.Server {
	t.Helper()
	clients := moreClients()
	add := func(like int, id, redirectURI, sector string) {
		c := clients[like]
		c.ID, c.SubjectType, c.SectorIdentifierURI = id, "pairwise", sector
		c.RedirectURIs, c.Audience = []string{redirectURI}, []string{resourceAudience}
		clients = append(clients, c)
	}
	add(0, onAHost, providertest.RedirectURI, "")
	add(0, onTheSameHost, "http://RP.localhost:2/callback", "")
	add(0, inASector, providertest.RedirectURI, "https://sector.example/uris.json")
	add(0, inTheSame, pairwiseOther, "https://sector.example:8443/others.json")
	add(1, withASecret, providertest.RedirectURI, "https://of-its-own.example/uris.json")
	return providertest.Start(t, &providertest.Options{Clients: clients})
}

// pairwiseRequest asks for everything that names the user.
func pairwiseRequest(client, redirectURI string) params {
	return codeRequest().with(params{"client_id": client, "redirect_uri": redirectURI, "response_type": "code id_token token"})
}

// TestPairwiseSubjects: one name for each sector, OIDC Core §8.1.
func TestPairwiseSubjects(t *testing.T) {
	op := startPairwise(t)
	subject := func(client, redirectURI, username string) string {
		got := response(t, providertest.NewBrowser(t).SignIn(authorizeURL(op, pairwiseRequest(client, redirectURI)), username, username))
		sub, _ := claimsOf(t, got.Get("id_token"))["sub"].(string)
		if sub == "" {
			t.Fatalf("%s: no sub: %v", client, got)
		}
		return sub
	}
	host, sector := subject(onAHost, providertest.RedirectURI, "alice"), subject(inASector, providertest.RedirectURI, "alice")
	if again := subject(onAHost, providertest.RedirectURI, "alice"); again != host {
		t.Errorf("another sub at the second sign-in: %s, %s", host, again)
	}
	if got := subject(onTheSameHost, "http://RP.localhost:2/callback", "alice"); got != host {
		t.Errorf("one host, two names: %s, %s", host, got)
	}
	if got := subject(inTheSame, pairwiseOther, "alice"); got != sector {
		t.Errorf("one sector, two names: %s, %s", sector, got)
	}
	public, bob := subject(providertest.PublicClient, providertest.RedirectURI, "alice"), subject(onAHost, providertest.RedirectURI, "bob")
	names := []string{host, sector, public, bob}
	slices.Sort(names)
	if len(slices.Compact(names)) != 4 || public != aliceSubject {
		t.Errorf("host %s, sector %s, public %s, bob %s: all differ, and the public one is the user's own", host, sector, public, bob)
	}
}

// TestPairwiseEverywhere: whatever is told about a grant has the same sub.
func TestPairwiseEverywhere(t *testing.T) {
	op := startPairwise(t)
	got := signIn(t, op, pairwiseRequest(onAHost, providertest.RedirectURI))
	tokens := postForm(t, op.URL()+"/token", redeem(got.Get("code")).with(params{"client_id": onAHost}), nil)
	refreshed := postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")).with(params{"client_id": onAHost}), nil)
	want := claimsOf(t, got.Get("id_token"))["sub"]
	if want == aliceSubject {
		t.Fatal("the sub is the user's own")
	}
	for name, subject := range map[string]any{
		"front-channel access token": claimsOf(t, got.Get("access_token"))["sub"],
		"ID token":                   claimsOf(t, tokens.text("id_token"))["sub"],
		"access token":               claimsOf(t, tokens.text("access_token"))["sub"],
		"refreshed ID token":         claimsOf(t, refreshed.text("id_token"))["sub"],
		"refreshed access token":     claimsOf(t, refreshed.text("access_token"))["sub"],
		"userinfo":                   get(t, op.URL()+"/userinfo", bearer(refreshed.text("access_token"))).Body["sub"],
		"introspection":              introspect(t, op, refreshed.text("access_token"), asResourceServer).Body["sub"],
	} {
		if subject != want {
			t.Errorf("%s: sub %v, want %v", name, subject, want)
		}
	}
	if a := introspect(t, op, refreshed.text("access_token"), asResourceServer); a.Body["username"] != nil || a.Body["active"] != true {
		t.Errorf("introspection: %s", a.Raw)
	}
}

// TestPairwiseRefreshTokenIntrospection: its client alone may ask.
func TestPairwiseRefreshTokenIntrospection(t *testing.T) {
	op := startPairwise(t)
	auth := func(r *http.Request) { r.SetBasicAuth(withASecret, providertest.ConfidentialSecret) }
	code := signIn(t, op, codeRequest().with(params{"client_id": withASecret})).Get("code")
	tokens := postForm(t, op.URL()+"/token", redeem(code).with(params{"client_id": ""}), auth)
	a := introspect(t, op, tokens.text("refresh_token"), auth)
	if a.Body["active"] != true || a.Body["sub"] != claimsOf(t, tokens.text("id_token"))["sub"] || a.Body["username"] != nil {
		t.Errorf("introspection: %s", a.Raw)
	}
}

// TestPairwiseClientCredentials: a client that acts for itself goes by its own
// name (RFC 9068 §5).
func TestPairwiseClientCredentials(t *testing.T) {
	op := startPairwise(t)
	a := postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials"}, func(r *http.Request) {
		r.SetBasicAuth(withASecret, providertest.ConfidentialSecret)
	})
	if got := claimsOf(t, a.text("access_token"))["sub"]; got != withASecret {
		t.Errorf("sub %v", got)
	}
}

// TestPairwiseHint: id_token_hint carries the sub that the client knows.
func TestPairwiseHint(t *testing.T) {
	op := startPairwise(t)
	b := providertest.NewBrowser(t)
	request := pairwiseRequest(onAHost, providertest.RedirectURI)
	hint := response(t, b.SignIn(authorizeURL(op, request), "alice", "alice")).Get("id_token")
	silent := func(hint string) string {
		return response(t, b.Get(authorizeURL(op, request.with(params{"prompt": "none", "id_token_hint": hint}))).Callback).Get("error")
	}
	if got := silent(hint); got != "" {
		t.Errorf("with the own hint: %s", got)
	}
	// The name that another sector has for the same user is nobody's here.
	foreign := response(t, b.SignIn(authorizeURL(op, pairwiseRequest(inASector, providertest.RedirectURI)), "alice", "alice")).Get("id_token")
	public := response(t, b.SignIn(authorizeURL(op, codeRequest().with(params{"response_type": "code id_token"})), "alice", "alice")).Get("id_token")
	for name, hint := range map[string]string{"another sector": foreign, "public": public} {
		if got := silent(hint); got != "login_required" {
			t.Errorf("%s: error %q", name, got)
		}
	}
}

// TestPairwiseLogout: the hint proves that the session's own client asks.
func TestPairwiseLogout(t *testing.T) {
	op := startPairwise(t)
	b := providertest.NewBrowser(t)
	hint := response(t, b.SignIn(authorizeURL(op, pairwiseRequest(onAHost, providertest.RedirectURI)), "alice", "alice")).Get("id_token")
	page := b.Get(logoutURL(op, goodLogout(hint)))
	if page.Callback == nil {
		t.Fatalf("%d:\n%s", page.Status, page.Body)
	}
	wantSession(t, op, b, false)
}

// TestPairwiseSubjectsOutliveARestart: they are made with a key of the store.
func TestPairwiseSubjectsOutliveARestart(t *testing.T) {
	op := startPairwise(t)
	got := signIn(t, op, pairwiseRequest(onAHost, providertest.RedirectURI))
	c := provider.Client{
		ID: onAHost, TokenEndpointAuthMethod: "none", RedirectURIs: []string{providertest.RedirectURI}, SubjectType: "pairwise",
		GrantTypes: []string{"authorization_code"},
	}
	after := sameStore(t, op, []provider.Client{c}, nil)
	info := after.answer(t, http.MethodGet, "/userinfo", nil, bearer(got.Get("access_token")))
	if info.Status != http.StatusOK || info.Body["sub"] != claimsOf(t, got.Get("id_token"))["sub"] {
		t.Errorf("userinfo: %d %s", info.Status, info.Raw)
	}
}
