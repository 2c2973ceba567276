package bff_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

const (
	issuerURL = "http://op.lab.localhost"
	apiURL    = "http://api.lab.localhost"
	clientID  = "bff"
	secret    = "the client's secret / with signs"
)

// network answers the backend's requests in memory, by host. So the tests need
// no port, and run on testing/synctest's clock.
type network map[string]http.Handler

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	h := n[r.URL.Host]
	if h == nil {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err // the caller left meanwhile
	}
	return w.Result(), nil
}

// interceptor stands before the provider; true means that it has answered.
type interceptor func(w http.ResponseWriter, r *http.Request) bool

// fakeOP is a small provider that keeps its promises: one use per code, PKCE,
// client_secret_basic, rotation. A test changes one answer by a hook.
type fakeOP struct {
	t   *testing.T
	mux *http.ServeMux

	mu        sync.Mutex
	key       *ecdsa.PrivateKey
	signer    *ecdsa.PrivateKey // another key than the published one, if a test wants it
	codes     map[string]url.Values
	refresh   map[string]bool // valid refresh tokens
	access    map[string]bool
	secrets   []string // every value that must not be logged
	refreshes int
	revoked   []string

	metadata func(map[string]any)
	claims   func(map[string]any) // of each ID token
	tokens   func(map[string]any) // each token response
	userinfo func(map[string]any) // each userinfo response
	override atomic.Pointer[interceptor]
	lifetime int // expires_in
}

func newFakeOP(t *testing.T) *fakeOP {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	op := &fakeOP{
		t: t, mux: http.NewServeMux(), key: key, signer: key, lifetime: 3600,
		codes: map[string]url.Values{}, refresh: map[string]bool{}, access: map[string]bool{},
	}
	op.mux.HandleFunc("GET /.well-known/openid-configuration", op.serveMetadata)
	op.mux.HandleFunc("GET /jwks", op.serveKeys)
	op.mux.HandleFunc("POST /token", op.serveToken)
	op.mux.HandleFunc("GET /userinfo", op.serveUserInfo)
	op.mux.HandleFunc("POST /revoke", op.serveRevoke)
	op.mux.HandleFunc("GET /authorize", op.serveAuthorize)
	op.mux.HandleFunc("GET /logout", op.serveLogout)
	return op
}

func (op *fakeOP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if before := op.override.Load(); before != nil && (*before)(w, r) {
		return
	}
	op.mux.ServeHTTP(w, r)
}

func (op *fakeOP) intercept(f interceptor) { op.override.Store(&f) }

func (op *fakeOP) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": issuerURL, "authorization_endpoint": issuerURL + "/authorize", "token_endpoint": issuerURL + "/token",
		"jwks_uri": issuerURL + "/jwks", "userinfo_endpoint": issuerURL + "/userinfo", "revocation_endpoint": issuerURL + "/revoke",
		"end_session_endpoint": issuerURL + "/logout", "authorization_response_iss_parameter_supported": true,
		"id_token_signing_alg_values_supported": []string{"ES256"},
	}
	change(op.metadata, m)
	answer(w, http.StatusOK, m)
}

func (op *fakeOP) serveKeys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: op.key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
}

// authorize is the person at the provider: it answers an authorization request.
func (op *fakeOP) authorize(request url.Values) url.Values {
	op.mu.Lock()
	defer op.mu.Unlock()
	code := op.mint()
	op.codes[code] = request
	op.secrets = append(op.secrets, request.Get("state"), request.Get("nonce"))
	return url.Values{"code": {code}, "state": request["state"], "iss": {issuerURL}}
}

// serveAuthorize is for a real browser: the person has agreed already.
func (op *fakeOP) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	response := op.authorize(r.URL.Query())
	http.Redirect(w, r, baseURL+"/callback?"+response.Encode(), http.StatusSeeOther)
}

func (op *fakeOP) serveLogout(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, baseURL+"/?state="+r.FormValue("state"), http.StatusSeeOther)
}

func (op *fakeOP) mint() string {
	v := rand.Text()
	op.secrets = append(op.secrets, v)
	return v
}

func (op *fakeOP) serveToken(w http.ResponseWriter, r *http.Request) {
	op.mu.Lock()
	defer op.mu.Unlock()
	id, pass, ok := r.BasicAuth()
	if !ok || id != clientID || pass != url.QueryEscape(secret) {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	nonce := ""
	switch r.FormValue("grant_type") {
	case "authorization_code":
		request, known := op.codes[r.FormValue("code")]
		delete(op.codes, r.FormValue("code"))
		op.secrets = append(op.secrets, r.FormValue("code_verifier"))
		if !known || request.Get("redirect_uri") != r.FormValue("redirect_uri") ||
			request.Get("code_challenge") != oauth2.S256ChallengeFromVerifier(r.FormValue("code_verifier")) {
			answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
			return
		}
		nonce = request.Get("nonce")
	case "refresh_token":
		op.refreshes++
		if !op.refresh[r.FormValue("refresh_token")] {
			answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
			return
		}
		delete(op.refresh, r.FormValue("refresh_token"))
	}
	answer(w, http.StatusOK, op.tokenResponse(nonce))
}

func (op *fakeOP) tokenResponse(nonce string) map[string]any {
	access, refresh := op.mint(), op.mint()
	op.access[access], op.refresh[refresh] = true, true
	hash := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": issuerURL, "aud": clientID, "sub": "s-1", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		"at_hash": base64.RawURLEncoding.EncodeToString(hash[:16]), "name": "Name from the ID token",
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	change(op.claims, claims)
	response := map[string]any{
		"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": op.lifetime,
		"scope": "openid profile", "id_token": op.sign(claims),
	}
	change(op.tokens, response)
	return response
}

func (op *fakeOP) sign(claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: op.signer, KeyID: "k"}}, nil)
	if err != nil {
		op.t.Error(err)
		return ""
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		op.t.Error(err)
		return ""
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		op.t.Error(err)
		return ""
	}
	jwt, err := jws.CompactSerialize()
	if err != nil {
		op.t.Error(err)
	}
	op.secrets = append(op.secrets, jwt)
	return jwt
}

func (op *fakeOP) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	if !op.accepts(r) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	info := map[string]any{"sub": "s-1", "name": "Alice Liddell", "preferred_username": "alice"}
	change(op.userinfo, info)
	answer(w, http.StatusOK, info)
}

func (op *fakeOP) serveRevoke(w http.ResponseWriter, r *http.Request) {
	op.mu.Lock()
	defer op.mu.Unlock()
	if id, pass, _ := r.BasicAuth(); id != clientID || pass != url.QueryEscape(secret) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	token := r.FormValue("token")
	delete(op.refresh, token)
	op.revoked = append(op.revoked, r.FormValue("token_type_hint"))
}

// accepts is a resource server's view of the access token in a request.
func (op *fakeOP) accepts(r *http.Request) bool {
	op.mu.Lock()
	defer op.mu.Unlock()
	scheme, token := "Bearer ", r.Header.Get("Authorization")
	return len(token) > len(scheme) && op.access[token[len(scheme):]]
}

// forgetAccess makes every access token so far invalid, as a revocation does.
func (op *fakeOP) forgetAccess() {
	op.mu.Lock()
	defer op.mu.Unlock()
	clear(op.access)
}

// forgetRefresh makes every refresh token so far invalid.
func (op *fakeOP) forgetRefresh() {
	op.mu.Lock()
	defer op.mu.Unlock()
	clear(op.refresh)
}

func (op *fakeOP) counted() (refreshes int, validRefresh int, revoked []string) {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.refreshes, len(slices.Collect(maps.Keys(op.refresh))), slices.Clone(op.revoked)
}

func change(hook func(map[string]any), m map[string]any) {
	if hook != nil {
		hook(m)
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
