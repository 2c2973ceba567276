package provider_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
)

// json sends a JSON body and reads the JSON in the answer.
func (op *inProcess) json(t *testing.T, method, target string, body any, change func(*http.Request)) answer {
	t.Helper()
	encoded, isRaw := body.(json.RawMessage) // it may be no JSON at all
	if !isRaw {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	return op.answer(t, method, target, nil, func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(encoded))), int64(len(encoded))
		if change != nil {
			change(r)
		}
	})
}

// inParallel calls send n times at once.
func inParallel(n int, send func(i int) answer) []answer {
	answers := make([]answer, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			answers[i] = send(i)
		})
	}
	close(start)
	all.Wait()
	return answers
}

// update is a PUT's document: what the client registered, without what RFC 7592
// §2.2 has left out.
func update(client answer, changes document) document {
	d := document(client.Body).with(document{
		"registration_access_token": nil, "registration_client_uri": nil, "client_secret_expires_at": nil, "client_id_issued_at": nil,
	})
	return d.with(changes)
}

// dynamicTokens signs alice in at a registered public client.
func dynamicTokens(t *testing.T, op *providertest.Server, client answer) answer {
	t.Helper()
	id := params{"client_id": client.text("client_id")}
	tokens := postForm(t, op.URL()+"/token", redeem(signIn(t, op, codeRequest().with(id)).Get("code")).with(id), nil)
	if tokens.Status != http.StatusOK || tokens.text("refresh_token") == "" {
		t.Fatalf("redeem: %d %s", tokens.Status, tokens.Raw)
	}
	return tokens
}

// TestReadRegisteredClient: RFC 7592 §2.1. The secret is told once.
func TestReadRegisteredClient(t *testing.T) {
	op := providertest.Start(t, nil)
	client := registered(t, op, smallest().with(document{"client_name": "Me"}))
	a := manage(t, http.MethodGet, client, nil)
	want := document(client.Body).with(document{"client_secret": nil})
	if diff := cmp.Diff(map[string]any(want), a.Body); diff != "" || a.Status != http.StatusOK {
		t.Errorf("%d (-want +got):\n%s", a.Status, diff)
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", a.Header)
	}
}

// TestRegistrationAccessToken: every method wants the client's own. RFC 7592 §2.
func TestRegistrationAccessToken(t *testing.T) {
	op := startWithRegistration(t, provider.Registration{InitialAccessToken: initialToken})
	make := func() answer {
		return sendJSON(t, http.MethodPost, op.URL()+"/register", publicDocument(), bearer(initialToken))
	}
	client, other := make(), make()
	user := dynamicTokens(t, op, client)
	uri, own := client.text("registration_client_uri"), client.text("registration_access_token")
	for _, tt := range []struct {
		name, uri string
		change    func(*http.Request)
		code      string
	}{
		{"none", uri, nil, ""},
		{"another scheme", uri, func(r *http.Request) { r.SetBasicAuth(client.text("client_id"), own) }, ""},
		{"in the query", uri + "?access_token=" + own, nil, ""},
		{"another client's", uri, bearer(other.text("registration_access_token")), "invalid_token"},
		{"the initial one", uri, bearer(initialToken), "invalid_token"},
		{"a user's", uri, bearer(user.text("access_token")), "invalid_token"},
		{"half", uri, bearer(own[:20]), "invalid_token"},
		{"for an unknown client", op.URL() + "/register/nobody", bearer(own), "invalid_token"},
		{"for a client of the configuration", op.URL() + "/register/" + providertest.PublicClient, bearer(own), "invalid_token"},
		{"for an id of other characters", op.URL() + "/register/%00%ff", bearer(own), "invalid_token"},
		{"for a long id", op.URL() + "/register/" + strings.Repeat("x", 5000), bearer(own), "invalid_token"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			t.Run(method+" "+tt.name, func(t *testing.T) {
				a := sendJSON(t, method, tt.uri, update(client, document{"client_name": "Stolen"}), tt.change)
				if a.Status != http.StatusUnauthorized || a.text("error") != tt.code {
					t.Errorf("answer %d %s", a.Status, a.Raw)
				}
				if got := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer ") || strings.Contains(got, "error=") != (tt.code != "") {
					t.Errorf("WWW-Authenticate %q", got)
				}
			})
		}
	}
	if a := manage(t, http.MethodGet, client, nil); a.Body["client_name"] != "Registered app" {
		t.Errorf("the client now: %d %s", a.Status, a.Raw)
	}
}

// TestReplaceRegistration: what a PUT leaves out is as if it had never been
// registered. RFC 7592 §2.2.
func TestReplaceRegistration(t *testing.T) {
	op := providertest.Start(t, nil)
	client := registered(t, op, everyMember())
	changed := manage(t, http.MethodPut, client, document{
		"client_id": client.text("client_id"), "client_secret": client.text("client_secret"), "client_name": "Anew",
		"redirect_uris": []string{"https://new.example/"}, "token_endpoint_auth_method": "client_secret_basic",
	})
	want := registrationDefaults().with(document{
		"client_id": client.Body["client_id"], "client_name": "Anew", "redirect_uris": []any{"https://new.example/"},
		"registration_access_token": client.Body["registration_access_token"], "registration_client_uri": client.Body["registration_client_uri"],
		"client_id_issued_at": client.Body["client_id_issued_at"], "client_secret_expires_at": 0.0,
	})
	if diff := cmp.Diff(map[string]any(want), changed.Body); diff != "" || changed.Status != http.StatusOK {
		t.Errorf("%d (-want +got):\n%s", changed.Status, diff)
	}
	if diff := cmp.Diff(map[string]any(want), manage(t, http.MethodGet, client, nil).Body); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	// It holds at once: for redirect URIs, and for the secret that stayed.
	page := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(params{"client_id": client.text("client_id"), "redirect_uri": "https://rp.example/callback?foo=bar"})))
	if page.Callback != nil || page.Status != http.StatusBadRequest {
		t.Errorf("the old redirect URI: %d %v", page.Status, page.Callback)
	}
	a := postForm(t, op.URL()+"/token", redeem("nonsense").with(params{"client_id": ""}), func(r *http.Request) {
		r.SetBasicAuth(client.text("client_id"), client.text("client_secret"))
	})
	wantError(t, a, 400, "invalid_grant")
}

// TestReplaceRegistrationRefuses: RFC 7592 §2.2, and what a registration may not
// hold either. What is refused changes nothing.
func TestReplaceRegistrationRefuses(t *testing.T) {
	op := providertest.Start(t, nil)
	client := registered(t, op, smallest().with(document{"client_name": "Before"}))
	public := registered(t, op, publicDocument())
	for _, tt := range []struct {
		name   string
		client answer
		body   any
		code   string
		want   string
	}{
		{"no client_id", client, update(client, document{"client_id": nil}), "invalid_request", "client_id must be in an update"},
		{"another's client_id", client, update(client, document{"client_id": public.text("client_id")}), "invalid_request", "client_id must be in an update"},
		{"a client_id that is a number", client, update(client, document{"client_id": 7}), "invalid_request", "client_id must be in an update"},
		{"another secret", client, update(client, document{"client_secret": "mine-mine-mine-mine"}), "invalid_request", "client_secret in an update is not the current one"},
		{"an empty secret", client, update(client, document{"client_secret": ""}), "invalid_request", "client_secret in an update is not the current one"},
		{"a secret that is a number", client, update(client, document{"client_secret": 7}), "invalid_request", "client_secret in an update is not the current one"},
		{"a secret of a public client", public, update(public, document{"client_secret": "mine"}), "invalid_request", "client_secret in an update is not the current one"},
		{"an empty secret of a public client", public, update(public, document{"client_secret": ""}), "invalid_request", "client_secret in an update is not the current one"},
		{"a registration token", client, update(client, document{"registration_access_token": client.text("registration_access_token")}), "invalid_request", "registration_access_token must not be in an update"},
		{"its own address", client, update(client, document{"registration_client_uri": client.text("registration_client_uri")}), "invalid_request", "registration_client_uri must not be in an update"},
		{"a time of expiry", client, update(client, document{"client_secret_expires_at": 0}), "invalid_request", "client_secret_expires_at must not be in an update"},
		{"a time of issue", client, update(client, document{"client_id_issued_at": 1}), "invalid_request", "client_id_issued_at must not be in an update"},
		{"no redirect URI", client, update(client, document{"redirect_uris": nil}), "invalid_redirect_uri", "redirect_uris is missing"},
		{"a fragment", client, update(client, document{"redirect_uris": []string{"https://rp.example/#x"}}), "invalid_redirect_uri", "has a fragment"},
		{"a wrong type", client, update(client, document{"client_name": 7}), "invalid_client_metadata", "client_name must be text"},
		{"a software statement", client, update(client, document{"software_statement": "x.y.z"}), "unapproved_software_statement", "not accepted"},
		{"no JSON", client, "x", "invalid_request", "not one JSON object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := manage(t, http.MethodGet, tt.client, nil)
			a := manage(t, http.MethodPut, tt.client, tt.body)
			wantError(t, a, http.StatusBadRequest, tt.code)
			if !strings.Contains(a.text("error_description"), tt.want) {
				t.Errorf("got  %s\nwant %s", a.text("error_description"), tt.want)
			}
			if diff := cmp.Diff(before.Body, manage(t, http.MethodGet, tt.client, nil).Body); diff != "" {
				t.Errorf("it changed (-before +after):\n%s", diff)
			}
		})
	}
}

// TestReplaceAuthenticationMethod: a secret comes with the method that needs
// one, stays with the next such method, and goes with the one that needs none.
func TestReplaceAuthenticationMethod(t *testing.T) {
	op := providertest.Start(t, nil)
	client := registered(t, op, publicDocument())
	change := func(method string) answer {
		a := manage(t, http.MethodPut, client, update(client, document{"token_endpoint_auth_method": method}))
		if a.Status != http.StatusOK || a.text("token_endpoint_auth_method") != method {
			t.Fatalf("%s: %d %s", method, a.Status, a.Raw)
		}
		return a
	}
	authenticated := func(secret string, want int) {
		t.Helper()
		a := postForm(t, op.URL()+"/revoke", params{"token": "x", "client_id": client.text("client_id"), "client_secret": secret}, nil)
		if a.Status != want {
			t.Errorf("with secret %q: %d %s, want %d", secret, a.Status, a.Raw, want)
		}
	}
	basic := change("client_secret_basic")
	if len(basic.text("client_secret")) < 43 || basic.Body["client_secret_expires_at"] != 0.0 {
		t.Errorf("none to basic: %s", basic.Raw)
	}
	post := change("client_secret_post")
	if post.Body["client_secret"] != nil || post.Body["client_secret_expires_at"] != 0.0 {
		t.Errorf("basic to post: %s", post.Raw)
	}
	authenticated(basic.text("client_secret"), 200)
	none := change("none")
	if none.Body["client_secret"] != nil || none.Body["client_secret_expires_at"] != nil {
		t.Errorf("post to none: %s", none.Raw)
	}
	authenticated(basic.text("client_secret"), 401)
	authenticated("", 200)
	again := change("client_secret_post")
	if again.text("client_secret") == "" || again.text("client_secret") == basic.text("client_secret") {
		t.Errorf("none to post: %s", again.Raw)
	}
	authenticated(basic.text("client_secret"), 401)
	authenticated(again.text("client_secret"), 200)
}

// TestReplaceKeepsTheGrant: tokens outlive an update, within what it allows.
func TestReplaceKeepsTheGrant(t *testing.T) {
	op := providertest.Start(t, nil)
	client := registered(t, op, publicDocument())
	tokens := dynamicTokens(t, op, client)
	if a := manage(t, http.MethodPut, client, update(client, document{"scope": "openid profile"})); a.Status != http.StatusOK {
		t.Fatalf("update: %d %s", a.Status, a.Raw)
	}
	info := get(t, op.URL()+"/userinfo", bearer(tokens.text("access_token")))
	if info.Status != http.StatusOK || info.Body["name"] == nil || info.Body["email"] != nil {
		t.Errorf("userinfo: %d %s", info.Status, info.Raw)
	}
	refresh := refreshRequest(tokens.text("refresh_token")).with(params{"client_id": client.text("client_id")})
	wantError(t, postForm(t, op.URL()+"/token", refresh, nil), 400, "invalid_grant") // offline_access is gone
}

// TestDeleteClient: all that was issued to it is dead at once. RFC 7592 §2.3.
func TestDeleteClient(t *testing.T) {
	op := startWithMore(t)
	client := registered(t, op, publicDocument())
	id := params{"client_id": client.text("client_id")}
	tokens := dynamicTokens(t, op, client)
	code := signIn(t, op, codeRequest().with(id)).Get("code")
	b := providertest.NewBrowser(t)
	login := b.Get(authorizeURL(op, codeRequest().with(id)))
	consent := func() error {
		_, err := op.Store.Consent(t.Context(), aliceSubject, client.text("client_id"))
		return err
	}
	if err := consent(); err != nil {
		t.Fatalf("consent: %v", err)
	}

	gone := manage(t, http.MethodDelete, client, nil)
	if gone.Status != http.StatusNoContent || gone.Raw != "" || gone.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("delete: %d %s", gone.Status, gone.Raw)
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		if a := manage(t, method, client, update(client, nil)); a.Status != http.StatusUnauthorized || a.text("error") != "invalid_token" {
			t.Errorf("%s: %d %s", method, a.Status, a.Raw)
		}
	}
	if a := get(t, op.URL()+"/userinfo", bearer(tokens.text("access_token"))); a.Status != http.StatusUnauthorized {
		t.Errorf("userinfo: %d %s", a.Status, a.Raw)
	}
	wantError(t, postForm(t, op.URL()+"/token", redeem(code).with(id), nil), 401, "invalid_client")
	wantError(t, postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")).with(id), nil), 401, "invalid_client")
	wantInactive(t, introspect(t, op, tokens.text("access_token"), asResourceServer))
	if err := consent(); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("consent: %v", err)
	}
	// A login that began before it ends at a page: nobody is sent to a stranger.
	page := b.Submit(login, "submit", map[string]string{"username": "alice", "password": "alice"})
	if page.Callback != nil || page.Status != http.StatusBadRequest || !strings.Contains(page.Body, "invalid_request") {
		t.Errorf("login: %d %v", page.Status, page.Callback)
	}
}
