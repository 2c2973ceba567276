// Package webtest has what tests of the clients' pages need beside a browser: a
// small issuer that can be told to misbehave.
package webtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Lies change what the issuer is about to send. A nil field changes nothing.
type Lies struct {
	Metadata  func(document map[string]any)
	Authorize func(response url.Values)
	// Token sees what was asked; it may change the answer, and gives the status.
	Token    func(request url.Values, answer map[string]any) int
	Claims   func(claims map[string]any)
	UserInfo func(claims map[string]any)
	// Session is the script of the page at /session, which is what the metadata
	// name as check_session_iframe and session_state is for; "" = there is none.
	Session string
	// Nonce is what a DPoP proof must hold (RFC 9449 §8); "" asks for none.
	Nonce string
}

// Issuer is a provider, and a resource server at /api/me, that signs everybody
// in as alice at once: no password, no consent. It checks PKCE and uses each
// code and refresh token once.
type Issuer struct {
	URL string

	mu       sync.Mutex
	lies     Lies
	key      *rsa.PrivateKey
	subject  string // whose session the provider has; "" = nobody's
	codes    map[string]url.Values
	refresh  map[string]bool
	requests []Request
}

// Request is one request that the issuer got.
type Request struct {
	Path string
	Form url.Values
	// Authorization and Proof are the headers Authorization and DPoP.
	Authorization, Proof string
	// Location is where an answer redirected to.
	Location string
}

// signingKey is one for all issuers of a process: to make one takes long.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// StartIssuer starts an issuer, which ends with the test.
func StartIssuer(tb testing.TB) *Issuer {
	tb.Helper()
	key, err := signingKey()
	if err != nil {
		tb.Fatal(err)
	}
	issuer := &Issuer{key: key, codes: map[string]url.Values{}, refresh: map[string]bool{}}
	server := httptest.NewServer(issuer)
	tb.Cleanup(server.Close)
	issuer.URL = server.URL
	return issuer
}

// Tell sets the lies from here on, forgets the requests so far, and gives the
// provider a session of the subject ("" = none).
func (i *Issuer) Tell(lies Lies, subject string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lies, i.subject, i.requests = lies, subject, nil
}

// Requests returns the requests to a path since the last Tell.
func (i *Issuer) Requests(path string) []Request {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(i.requests), func(r Request) bool { return r.Path != path })
}

func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
	w.Header().Set("Access-Control-Expose-Headers", "DPoP-Nonce")
	if r.Method == http.MethodOptions {
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	entry := Request{Path: r.URL.Path, Form: r.Form, Authorization: r.Header.Get("Authorization"), Proof: r.Header.Get("DPoP")}
	if i.asksForNonce(w, entry) {
		return
	}
	i.answer(w, r, &entry)
	i.requests = append(i.requests, entry)
	if entry.Location != "" {
		http.Redirect(w, r, entry.Location, http.StatusSeeOther)
	}
}

// answer is what each path has to say.
func (i *Issuer) answer(w http.ResponseWriter, r *http.Request, entry *Request) {
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		writeJSON(w, http.StatusOK, changed(i.metadata(), i.lies.Metadata))
	case "/authorize":
		entry.Location = i.authorize(r.Form)
	case "/token":
		i.token(w, *entry)
	case "/jwks":
		writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "1", Use: "sig", Algorithm: "RS256"}}})
	case "/userinfo":
		writeJSON(w, http.StatusOK, changed(map[string]any{"sub": i.subject, "name": "Alice Liddell", "preferred_username": "alice"}, i.lies.UserInfo))
	case "/api/me":
		writeJSON(w, http.StatusOK, map[string]string{"authorization": r.Header.Get("Authorization")})
	case "/session":
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>Session</title><script>" + i.lies.Session + "</script>"))
	case "/revoke":
	case "/logout":
		i.subject = ""
		entry.Location = r.Form.Get("post_logout_redirect_uri") + "?" + url.Values{"state": {r.Form.Get("state")}}.Encode()
	default:
		http.NotFound(w, r)
	}
}

// asksForNonce refuses a proof without the nonce that there has to be.
func (i *Issuer) asksForNonce(w http.ResponseWriter, asked Request) bool {
	if asked.Proof == "" || i.lies.Nonce == "" || claim(asked.Proof, "nonce") == i.lies.Nonce {
		return false
	}
	w.Header().Set("DPoP-Nonce", i.lies.Nonce)
	writeJSON(w, http.StatusBadRequest, map[string]any{"error": "use_dpop_nonce"})
	i.requests = append(i.requests, asked)
	return true
}

func (i *Issuer) metadata() map[string]any {
	document := map[string]any{
		"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/jwks",
		"userinfo_endpoint": i.URL + "/userinfo", "revocation_endpoint": i.URL + "/revoke", "end_session_endpoint": i.URL + "/logout",
		"authorization_response_iss_parameter_supported": true,
	}
	if i.lies.Session != "" {
		document["check_session_iframe"] = i.URL + "/session"
	}
	return document
}

// authorize returns where the browser goes with the answer.
func (i *Issuer) authorize(request url.Values) string {
	response := url.Values{"state": {request.Get("state")}, "iss": {i.URL}}
	separator := "?"
	if request.Get("response_type") != "code" {
		separator = "#"
	}
	switch {
	case request.Get("prompt") == "none" && i.subject == "":
		response.Set("error", "login_required")
	case separator == "#":
		i.signIn()
		access := rand.Text()
		response.Set("access_token", access)
		response.Set("token_type", "bearer")
		response.Set("expires_in", "600")
		response.Set("id_token", i.idToken(request, access))
	default:
		i.signIn()
		code := rand.Text()
		i.codes[code] = request
		response.Set("code", code)
		if i.lies.Session != "" {
			response.Set("session_state", rand.Text()+".salt")
		}
	}
	if i.lies.Authorize != nil {
		i.lies.Authorize(response)
	}
	return request.Get("redirect_uri") + separator + response.Encode()
}

func (i *Issuer) signIn() {
	if i.subject == "" {
		i.subject = "alice-0001"
	}
}

func (i *Issuer) token(w http.ResponseWriter, asked Request) {
	form := asked.Form
	request, ok := i.codes[form.Get("code")]
	delete(i.codes, form.Get("code"))
	if form.Get("grant_type") == "refresh_token" {
		ok = i.refresh[form.Get("refresh_token")]
		delete(i.refresh, form.Get("refresh_token"))
		request = form
	} else if ok {
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		ok = request.Get("code_challenge_method") == "S256" && request.Get("code_challenge") == b64(sum[:]) &&
			request.Get("redirect_uri") == form.Get("redirect_uri")
	}
	status, answer := http.StatusBadRequest, map[string]any{"error": "invalid_grant"}
	if ok {
		access, next := rand.Text(), rand.Text()
		i.refresh[next] = true
		status = http.StatusOK
		answer = map[string]any{
			"access_token": access, "token_type": "Bearer", "expires_in": 600, "refresh_token": next, "id_token": i.idToken(request, access),
		}
		if asked.Proof != "" {
			answer["token_type"] = "DPoP"
		}
	}
	if i.lies.Token != nil {
		status = i.lies.Token(form, answer)
	}
	writeJSON(w, status, answer)
}

func (i *Issuer) idToken(request url.Values, access string) string {
	now := time.Now().Unix()
	sum := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": i.URL, "sub": i.subject, "aud": request.Get("client_id"), "iat": now, "exp": now + 600, "at_hash": b64(sum[:16]),
	}
	if request.Has("nonce") {
		claims["nonce"] = request.Get("nonce")
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: i.key, KeyID: "1"}}, nil)
	if err != nil {
		panic(err) // the key is ours
	}
	payload, err := json.Marshal(changed(claims, i.lies.Claims))
	if err != nil {
		panic(err) // the claims are ours
	}
	token, err := signer.Sign(payload)
	if err != nil {
		panic(err) // as above
	}
	compact, err := token.CompactSerialize()
	if err != nil {
		panic(err) // as above
	}
	return compact
}

// claim reads a text claim of a JWT, and checks nothing.
func claim(jwt, name string) string {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return ""
	}
	text, _ := claims[name].(string)
	return text
}

func changed(document map[string]any, lie func(map[string]any)) map[string]any {
	if lie != nil {
		lie(document)
	}
	return document
}

func b64(data []byte) string { return strings.TrimRight(base64.URLEncoding.EncodeToString(data), "=") }

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the test sees what is missing
}
