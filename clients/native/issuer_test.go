package native_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is a provider that signs everybody in at once and does one thing
// wrong when it is told to.
type issuer struct {
	*httptest.Server
	key *ecdsa.PrivateKey

	// What goes wrong; the zero value is an honest provider.
	metadata  func(map[string]any) // changes discovery
	callback  func(url.Values)     // changes the authorization response
	idToken   func(map[string]any) // changes the ID token's claims
	token     func(map[string]any) // changes the token response
	userInfo  func(map[string]any) // changes the userinfo response
	status    int                  // of the token endpoint
	device    func(map[string]any) // changes the device authorization response
	waits     []string             // errors of the token endpoint before the tokens of a device
	undecided bool                 // nobody decides on the device

	request url.Values  // the authorization request, of a device or a browser
	posted  url.Values  // the token request
	asked   []time.Time // when a device asked for its tokens
}

const code = "the-code"

func startIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, status: http.StatusOK}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.redeem)
	mux.HandleFunc("POST /device_authorization", i.begin)
	mux.HandleFunc("GET /userinfo", i.info)
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
		"device_authorization_endpoint": i.URL + "/device_authorization",
		"userinfo_endpoint":             i.URL + "/userinfo", "jwks_uri": i.URL + "/jwks",
		"id_token_signing_alg_values_supported":          []string{"ES256"},
		"authorization_response_iss_parameter_supported": true,
	}
	if i.metadata != nil {
		i.metadata(m)
	}
	writeJSON(w, m)
}

func (i *issuer) authorize(w http.ResponseWriter, r *http.Request) {
	i.request = r.URL.Query()
	params := url.Values{"code": {code}, "state": {i.request.Get("state")}, "iss": {i.URL}}
	if i.callback != nil {
		i.callback(params)
	}
	http.Redirect(w, r, i.request.Get("redirect_uri")+"?"+params.Encode(), http.StatusSeeOther)
}

func (i *issuer) redeem(w http.ResponseWriter, r *http.Request) {
	r.ParseForm() //nolint:errcheck // a test's own request
	i.posted = r.PostForm
	if i.posted.Get("grant_type") == deviceGrant {
		i.poll(w)
		return
	}
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if i.status != http.StatusOK || base64.RawURLEncoding.EncodeToString(sum[:]) != i.request.Get("code_challenge") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(max(i.status, http.StatusBadRequest))
		if i.status < http.StatusInternalServerError {
			writeJSON(w, map[string]any{"error": "invalid_grant", "error_description": "no\nsuch code"})
		}
		return
	}
	i.giveTokens(w)
}

func (i *issuer) giveTokens(w http.ResponseWriter) {
	const accessToken = "the-access-token"
	atHash := sha256.Sum256([]byte(accessToken))
	claims := map[string]any{
		"iss": i.URL, "sub": "alice-1", "aud": i.request.Get("client_id"),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		"at_hash": base64.RawURLEncoding.EncodeToString(atHash[:16]),
	}
	if nonce := i.request.Get("nonce"); nonce != "" {
		claims["nonce"] = nonce
	}
	if i.idToken != nil {
		i.idToken(claims)
	}
	answer := map[string]any{
		"access_token": accessToken, "token_type": "Bearer", "expires_in": 600, "refresh_token": "the-refresh-token",
		"id_token": i.sign(claims), "scope": i.request.Get("scope"),
	}
	if i.token != nil {
		i.token(answer)
	}
	writeJSON(w, answer)
}

func (i *issuer) info(w http.ResponseWriter, _ *http.Request) {
	claims := map[string]any{"sub": "alice-1", "name": "Alice Liddell"}
	if i.userInfo != nil {
		i.userInfo(claims)
	}
	writeJSON(w, claims)
}

func (i *issuer) sign(claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: "k"}}, nil)
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return compact
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck,errchkjson // a test's own value
}

// seen is the last page that the browser showed.
type seen struct {
	status int
	header http.Header
	body   string
}

// browse is a browser that visits target and follows redirects. Login answers
// its callback only at the end, so it runs beside.
func browse(t *testing.T, pages chan<- seen) func(context.Context, string) error {
	t.Helper()
	return func(ctx context.Context, target string) error {
		go func() { pages <- get(t, ctx, target, nil) }()
		return nil
	}
}

func get(t *testing.T, ctx context.Context, target string, change func(*http.Request)) seen { //nolint:revive // t first, as in helpers
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, target, nil)
	if err != nil {
		t.Error(err)
		return seen{}
	}
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return seen{body: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return seen{status: resp.StatusCode, header: maps.Clone(resp.Header), body: string(body)}
}
