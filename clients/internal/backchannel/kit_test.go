package backchannel_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidclab/oidclab/clients/internal/backchannel"
	"github.com/oidclab/oidclab/clients/internal/records"
)

const (
	issuer   = "http://op.example"
	clientID = "rp"
	event    = "http://schemas.openid.net/event/backchannel-logout"
)

type claims = map[string]any

// bench is a receiver, and the key of a provider that tells it of logouts.
type bench struct {
	*backchannel.Receiver
	t    *testing.T
	cfg  backchannel.Config
	path string
	db   *records.DB
	key  *ecdsa.PrivateKey
	log  bytes.Buffer
}

func newBench(t *testing.T, configure ...func(*backchannel.Config)) *bench {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, key: key, path: filepath.Join(t.TempDir(), "rp.db")}
	b.cfg = backchannel.Config{
		Issuer: issuer, ClientID: clientID, SignInLifetime: 8 * time.Hour,
		Keys: func(context.Context) (oidc.KeySet, error) {
			return &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{key.Public()}}, nil
		},
		Logger: slog.New(slog.NewTextHandler(&b.log, nil)),
	}
	for _, f := range configure {
		f(&b.cfg)
	}
	b.open()
	t.Cleanup(func() { b.db.Close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.db, err = records.Open(b.path); err != nil {
		b.t.Fatal(err)
	}
	if b.Receiver, err = backchannel.New(b.db, b.cfg); err != nil {
		b.t.Fatal(err)
	}
}

// token is a good logout token with changes: nil removes a claim.
func (b *bench) token(changes claims) string {
	b.t.Helper()
	return b.signed(jose.ES256, b.key, "logout+jwt", changes)
}

func (b *bench) signed(alg jose.SignatureAlgorithm, key any, typ jose.ContentType, changes claims) string {
	b.t.Helper()
	now := time.Now()
	c := claims{
		"iss": issuer, "aud": clientID, "sub": "alice", "sid": "s-1", "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "events": claims{event: claims{}},
	}
	for name, value := range changes {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	options := &jose.SignerOptions{}
	if typ != "" {
		options = options.WithType(typ)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		b.t.Fatal(err)
	}
	compact, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		b.t.Fatal(err)
	}
	return compact
}

// send posts a form.
func (b *bench) send(body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/backchannel-logout", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

func (b *bench) tell(token string) *httptest.ResponseRecorder {
	return b.send(url.Values{"logout_token": {token}}.Encode())
}

func (b *bench) wantDone(w *httptest.ResponseRecorder) {
	b.t.Helper()
	if w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Cache-Control") != "no-store" {
		b.t.Errorf("status %d %v: %s", w.Code, w.Header(), w.Body)
	}
}

// wantRefused checks a refusal, and that the sign-in of before still stands.
func (b *bench) wantRefused(w *httptest.ResponseRecorder, status int, code, part string) {
	b.t.Helper()
	var body map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		b.t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
	}
	if w.Code != status || body["error"] != code || !strings.Contains(body["error_description"], part) || w.Header().Get("Cache-Control") != "no-store" {
		b.t.Errorf("status %d %v, want %d %s with %q", w.Code, body, status, code, part)
	}
	if b.ended(alice) {
		b.t.Error("the sign-in has ended")
	}
	if strings.Contains(b.log.String(), "eyJ") {
		b.t.Errorf("a token is in the log: %s", b.log.String())
	}
}

// alice signed in within the session s-1, a while ago.
var alice = backchannel.SignIn{SID: "s-1", Subject: "alice", Began: time.Now().Add(-time.Minute)}

func (b *bench) ended(s backchannel.SignIn) bool {
	b.t.Helper()
	over, err := b.Ended(s)
	if err != nil {
		b.t.Fatal(err)
	}
	return over
}
