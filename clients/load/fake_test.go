package load_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/clients/load"
)

// fake is a provider whose pages look unlike ours, and which can misbehave.
type fake struct {
	*httptest.Server
	key jose.SigningKey
	// tokens counts the answers of the token endpoint.
	tokens atomic.Int64

	// What it does wrong. They change what it would have sent.
	metadata func(map[string]any)
	response func(url.Values)
	claims   func(map[string]any)
	token    func(map[string]any)
	// intercept answers a request itself if it returns true.
	intercept func(http.ResponseWriter, *http.Request) bool

	mu     sync.Mutex
	logins map[string]url.Values // authorization requests by the code that they got
}

// startFake runs the provider. misbehave may be nil.
func startFake(t *testing.T, misbehave func(*fake)) *fake {
	t.Helper()
	f := newFake(t, misbehave)
	f.Start()
	return f
}

func newFake(t *testing.T, misbehave func(*fake)) *fake {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{logins: map[string]url.Values{}}
	f.key = jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "one", Algorithm: "ES256"}}
	if misbehave != nil {
		misbehave(f)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", f.serveMetadata)
	mux.HandleFunc("GET /keys", f.serveKeys)
	mux.HandleFunc("GET /auth", f.serveAuthorize)
	mux.HandleFunc("GET /interaction/{id}", f.serveLogin)
	mux.HandleFunc("POST /interaction/{id}/login", f.takeLogin)
	mux.HandleFunc("GET /interaction/{id}/consent", f.serveConsent)
	mux.HandleFunc("POST /interaction/{id}/consent", f.takeConsent)
	mux.HandleFunc("POST /token", f.serveToken)
	mux.HandleFunc("POST /introspect", f.serveIntrospection)
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.intercept == nil || !f.intercept(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

// config fits the fake.
func (f *fake) config() load.Config {
	return load.Config{
		Issuer: f.URL, ClientID: "app", ClientSecret: "s3cret/+", AuthMethod: load.AuthPost, RedirectURI: "com.example.app:/back",
		Username: "carol@example.com", Password: "p&ss=word", Scopes: []string{"openid", "offline_access"},
		Operations: []load.Operation{load.Flows}, Flows: 4, Concurrency: 2, LimitTime: time.Millisecond, Timeout: 5 * time.Second,
	}
}

func (f *fake) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": f.URL, "authorization_endpoint": f.URL + "/auth?tenant=a", "token_endpoint": f.URL + "/token", "jwks_uri": f.URL + "/keys",
		"introspection_endpoint": f.URL + "/introspect", "authorization_response_iss_parameter_supported": true,
		"id_token_signing_alg_values_supported": []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"},
		"grant_types_supported":                 []string{"authorization_code", "refresh_token", "client_credentials"},
	}
	if f.metadata != nil {
		f.metadata(m)
	}
	writeJSON(w, 200, m)
}

func (f *fake) serveKeys(w http.ResponseWriter, _ *http.Request) {
	key := f.key.Key.(jose.JSONWebKey)
	public := jose.JSONWebKey{Key: key.Key.(crypto.Signer).Public(), KeyID: key.KeyID, Use: "sig"}
	writeJSON(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
}

func (f *fake) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("tenant") != "a" || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("scope") != "openid offline_access" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	if _, err := r.Cookie("session"); err == nil {
		http.Error(w, "signed in already", http.StatusConflict)
		return
	}
	// One cookie for each page, as some providers have them, and one to be deleted.
	http.SetCookie(w, &http.Cookie{Name: "interaction", Value: q.Get("state"), Path: "/interaction/" + q.Get("state"), Secure: true})
	http.SetCookie(w, &http.Cookie{Name: "gone", Value: "", MaxAge: -1})
	f.remember(q.Get("state"), q)
	http.Redirect(w, r, "/interaction/"+q.Get("state"), http.StatusSeeOther)
}

func (f *fake) remember(id string, q url.Values) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logins[id] = q
}

func (f *fake) recall(id string) url.Values {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logins[id]
}

// known refuses browsers without the interaction's cookie.
func known(w http.ResponseWriter, r *http.Request) bool {
	c, err := r.Cookie("interaction")
	if _, gone := r.Cookie("gone"); err != nil || c.Value != r.PathValue("id") || gone == nil {
		http.Error(w, "no such interaction", http.StatusBadRequest)
		return false
	}
	return true
}

const loginPage = `<!DOCTYPE html><html><head><script>var a = "<form"</script></head><body>
<form action="/search" method="GET"><input name="q" type="search"><button>Search</button></form>
<FORM METHOD="POST" ACTION="%s/login">%s
 <input type="hidden" name="csrf" value="a&amp;b=&quot;c">
 <input type="EMAIL" name="login" value=""><input type=password name="passwd">
 <input type="checkbox" name="remember">
 <input type="submit" name="op" value="Cancel"><button name="op" value="sign-in">Sign in</button>
</FORM></body></html>`

func (f *fake) serveLogin(w http.ResponseWriter, r *http.Request) {
	if known(w, r) {
		fmt.Fprintf(w, loginPage, r.PathValue("id"), "")
	}
}

func (f *fake) takeLogin(w http.ResponseWriter, r *http.Request) {
	if !known(w, r) {
		return
	}
	if r.FormValue("login") != "carol@example.com" || r.FormValue("passwd") != "p&ss=word" {
		fmt.Fprintf(w, loginPage, r.PathValue("id"), "<p>Wrong password.</p>")
		return
	}
	if r.FormValue("csrf") != `a&b="c` || r.FormValue("op") != "sign-in" || r.Form.Has("remember") {
		http.Error(w, "bad form", http.StatusBadRequest)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "session", Value: "carol", Path: "/"})
	http.Redirect(w, r, "consent", http.StatusFound) // relative to …/login
}

// serveConsent asks in two forms: the first one denies.
func (f *fake) serveConsent(w http.ResponseWriter, r *http.Request) {
	if known(w, r) {
		fmt.Fprint(w, `<html><form method="post"><input type="hidden" name="decision" value="rejected"><button>Go on without</button></form>
			<form method="post"><input type="hidden" name="decision" value="approve"><input type="checkbox" name="grant_scope" value="openid">
			<button name="how" value="deny">Deny</button><button name="how" value="allow">Allow</button></form></html>`)
	}
}

func (f *fake) takeConsent(w http.ResponseWriter, r *http.Request) {
	if !known(w, r) {
		return
	}
	if r.FormValue("decision") != "approve" || r.FormValue("how") != "allow" || r.FormValue("grant_scope") != "openid" {
		http.Error(w, "denied", http.StatusForbidden)
		return
	}
	q := f.recall(r.PathValue("id"))
	code := "code " + q.Get("state")
	f.remember(code, q)
	response := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {f.URL}}
	if f.response != nil {
		f.response(response)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+response.Encode(), http.StatusFound)
}

func (f *fake) serveToken(w http.ResponseWriter, r *http.Request) {
	f.tokens.Add(1)
	if r.FormValue("client_id") != "app" || r.FormValue("client_secret") != "s3cret/+" {
		writeJSON(w, 401, map[string]any{"error": "invalid_client"})
		return
	}
	answer := map[string]any{"access_token": "access", "token_type": "bearer", "expires_in": 60}
	switch r.FormValue("grant_type") {
	case "authorization_code":
		q := f.recall(r.FormValue("code"))
		if q == nil || q.Get("redirect_uri") != r.FormValue("redirect_uri") || q.Get("code_challenge") != challenge(r.FormValue("code_verifier")) {
			writeJSON(w, 400, map[string]any{"error": "invalid_grant", "error_description": "it is not good"})
			return
		}
		answer["id_token"] = f.idToken(q.Get("nonce"))
		answer["refresh_token"] = fmt.Sprint("refresh ", f.tokens.Load())
	case "refresh_token":
		answer["id_token"] = f.idToken("")
		answer["refresh_token"] = fmt.Sprint("refresh ", f.tokens.Load())
	}
	if f.token != nil {
		f.token(answer)
	}
	writeJSON(w, 200, answer)
}

func (f *fake) idToken(nonce string) string {
	now := time.Now().Unix()
	claims := map[string]any{"iss": f.URL, "sub": "carol", "aud": "app", "iat": now, "exp": now + 300}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if f.claims != nil {
		f.claims(claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return sign(f.key, payload)
}

func (f *fake) serveIntrospection(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, 200, map[string]any{"active": r.FormValue("token") == "access"})
}

func sign(key jose.SigningKey, payload []byte) string {
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return token
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}
