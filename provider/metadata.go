package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Paths of the provider's endpoints, below the issuer.
const (
	pathConfiguration = "/.well-known/openid-configuration"
	pathOAuthMetadata = "/.well-known/oauth-authorization-server"
	pathJWKS          = "/jwks"
	pathAuthorize     = "/authorize"
	pathResume        = "/authorize/resume"
	pathPushed        = "/par"
	pathToken         = "/token"
	pathUserInfo      = "/userinfo"
	pathIntrospect    = "/introspect"
	pathRevoke        = "/revoke"
	pathRegister      = "/register"
	pathDeviceAuth    = "/device_authorization"
	pathDevice        = "/device"
	pathLogin         = "/login"
	pathConsent       = "/consent"
	pathLogout        = "/logout"
	pathCheckSession  = "/session"
	pathStylesheet    = "/style.css"
	pathHealth        = "/healthz"
	pathReady         = "/readyz"
)

// Scopes of OpenID Connect with a meaning of their own.
const (
	scopeOpenID        = "openid"
	scopeOfflineAccess = "offline_access"
)

// What the provider supports, as its metadata says and its endpoints check.
var (
	// responseTypes have their values in alphabetical order.
	responseTypes = []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"}
	// responseModes: the signed ones are those of JARM §2.3.
	responseModes = []string{"query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt"}
	promptValues  = []string{"none", "login", "consent", "select_account"}
	authMethods   = []string{authBasic, authPost, authSecretJWT, authPrivateKey, authNone}
	// tokenClaims are those that the provider itself says; users' claims cannot
	// have their names.
	tokenClaims = []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "c_hash"}
	// userScopes are about a user; the rest are a resource server's.
	userScopes = []string{scopeOpenID, "profile", "email", "address", "phone", "groups", scopeOfflineAccess}
)

// documentMaxAge is how long whoever reads the documents may keep them.
const documentMaxAge = 5 * time.Minute

// staticDocument is served as it is, with an ETag.
type staticDocument struct {
	body []byte
	etag string
}

func newStaticDocument(body []byte) staticDocument {
	sum := sha256.Sum256(body)
	return staticDocument{body: body, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
}

// serve answers a JSON document that anybody may read and keep for a while.
func (d staticDocument) serve(w http.ResponseWriter, r *http.Request, contentType string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d, must-revalidate", int(documentMaxAge.Seconds())))
	h.Set("ETag", d.etag)
	if matchesETag(strings.Join(r.Header.Values("If-None-Match"), ","), d.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(d.body))) // else it would go in chunks
	w.Write(d.body)
}

// matchesETag implements If-None-Match, RFC 9110 §13.1.2.
func matchesETag(header, etag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
			return true
		}
	}
	return false
}

// handleMetadata serves GET of both well-known documents. They are one: RFC
// 8414 §5 lets OpenID Connect's members stand in the OAuth document.
func (p *Provider) handleMetadata(w http.ResponseWriter, r *http.Request) {
	p.document.serve(w, r, "application/json")
}

// handleJWKS serves GET /jwks (RFC 7517 §5).
func (p *Provider) handleJWKS(w http.ResponseWriter, r *http.Request) {
	if err := p.keys.wait(r.Context()); err != nil {
		p.tokenError(w, r, err)
		return
	}
	p.keys.refresh(r.Context())
	p.keys.current.Load().document.serve(w, r, "application/jwk-set+json")
}

// handleHealth serves GET /healthz: the process answers.
func (p *Provider) handleHealth(w http.ResponseWriter, _ *http.Request) {
	p.writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}
