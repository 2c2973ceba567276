// Bare has the endpoints of an OpenID Provider and checks nothing: the least that a flow
// can cost in Go, on net/http and bbolt. It answers the same exchanges as the real one,
// hashes a password, signs an ID token, and stores one record for each login and each
// token response, durably and in shared transactions, before it answers. What the real
// one costs beyond that is what it does.
//
//	bare ADDR DIR RS256|ES256
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/crypto/argon2"
)

func main() {
	debug.SetGCPercent(400) // as the real one
	addr, dir, alg := os.Args[1], os.Args[2], os.Args[3]
	_, port, _ := strings.Cut(addr, ":")
	s := &bare{issuer: "http://localhost:" + port, alg: alg, store: openStore(filepath.Join(dir, "bare.db"))}
	s.makeKey()
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", s.metadata)
	mux.HandleFunc("/jwks", s.jwks)
	mux.HandleFunc("/authorize", s.authorize)
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("/token", s.token)
	mux.HandleFunc("/introspect", s.introspect)
	log.Fatal(http.ListenAndServe(addr, mux))
}

type bare struct {
	issuer, alg string
	store       *store
	key         crypto.Signer
	public      map[string]string // as a JWK
	header      string            // of ID tokens
	nonces      sync.Map          // by code
}

var b64 = base64.RawURLEncoding

func (s *bare) makeKey() {
	s.public = map[string]string{"kid": "bare", "use": "sig", "alg": s.alg}
	if s.alg == "RS256" {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		must(err)
		s.key, s.public["kty"] = key, "RSA"
		s.public["n"], s.public["e"] = b64.EncodeToString(key.N.Bytes()), b64.EncodeToString(big.NewInt(int64(key.E)).Bytes())
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		point, err := key.PublicKey.Bytes() // uncompressed: 4, x, y
		must(err)
		s.key, s.public["kty"], s.public["crv"] = key, "EC", "P-256"
		s.public["x"], s.public["y"] = b64.EncodeToString(point[1:33]), b64.EncodeToString(point[33:])
	}
	s.header = b64.EncodeToString([]byte(`{"alg":"`+s.alg+`","kid":"bare","typ":"JWT"}`)) + "."
}

func (s *bare) metadata(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"issuer": s.issuer, "authorization_endpoint": s.issuer + "/authorize", "token_endpoint": s.issuer + "/token",
		"jwks_uri": s.issuer + "/jwks", "introspection_endpoint": s.issuer + "/introspect",
		"grant_types_supported":                 []string{"authorization_code", "refresh_token", "client_credentials"},
		"id_token_signing_alg_values_supported": []string{s.alg},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
		"code_challenge_methods_supported":      []string{"S256"},
	})
}

func (s *bare) jwks(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"keys": []any{s.public}})
}

func (s *bare) authorize(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", "/login?request="+b64.EncodeToString([]byte(r.URL.RawQuery)))
	w.WriteHeader(http.StatusSeeOther)
}

// loginPage is about as long as the real one.
func (s *bare) loginPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	http.SetCookie(w, &http.Cookie{Name: "csrf", Value: rand.Text()})
	fmt.Fprintf(w, `<!doctype html><title>Sign in</title>%s<form method="post" action="/login">
<input type="hidden" name="request" value="%s"><input name="username"><input type="password" name="password"><button>Sign in</button></form>`,
		filler, r.URL.Query().Get("request"))
}

var filler = "<!--" + strings.Repeat(" as long as the real one ", 100) + "-->"

func (s *bare) login(w http.ResponseWriter, r *http.Request) {
	must(r.ParseForm())
	argon2.IDKey([]byte(r.PostForm.Get("password")), []byte("0123456789abcdef"), 1, 8, 1, 32) // the test cost of bench.yaml
	raw, err := b64.DecodeString(r.PostForm.Get("request"))
	must(err)
	query, err := url.ParseQuery(string(raw))
	must(err)
	code := rand.Text()
	s.nonces.Store(code, query.Get("nonce"))
	s.store.put()
	http.SetCookie(w, &http.Cookie{Name: "session", Value: rand.Text()})
	w.Header().Set("Location", query.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {query.Get("state")}}.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

func (s *bare) token(w http.ResponseWriter, r *http.Request) {
	must(r.ParseForm())
	clientID, _, _ := r.BasicAuth()
	response := map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 3600}
	if r.PostForm.Get("grant_type") != "client_credentials" {
		response["refresh_token"] = rand.Text()
		response["id_token"] = s.idToken(clientID, r.PostForm.Get("code"))
	}
	s.store.put()
	answer(w, response)
}

func (s *bare) idToken(clientID, code string) string {
	now := time.Now().Unix()
	claims := map[string]any{"iss": s.issuer, "sub": "alice-1", "aud": clientID, "iat": now, "exp": now + 3600}
	if nonce, ok := s.nonces.LoadAndDelete(code); ok {
		claims["nonce"] = nonce
	}
	payload, err := json.Marshal(claims)
	must(err)
	input := s.header + b64.EncodeToString(payload)
	digest := sha256.Sum256([]byte(input))
	var signature []byte
	if key, ok := s.key.(*ecdsa.PrivateKey); ok {
		signature = make([]byte, 64)
		x, y, err := ecdsa.Sign(rand.Reader, key, digest[:])
		must(err)
		x.FillBytes(signature[:32])
		y.FillBytes(signature[32:])
	} else {
		signature, err = s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
		must(err)
	}
	return input + "." + b64.EncodeToString(signature)
}

// introspect looks for one record, as the real one has to.
func (s *bare) introspect(w http.ResponseWriter, r *http.Request) {
	must(r.ParseForm())
	must(s.store.db.View(func(t *bbolt.Tx) error {
		t.Bucket(records).Get([]byte(r.PostForm.Get("token")))
		return nil
	}))
	answer(w, map[string]any{"active": true, "sub": "alice-1", "token_type": "Bearer"})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	must(json.NewEncoder(w).Encode(body))
}

// store puts what is waiting into one transaction.
type store struct {
	db    *bbolt.DB
	queue chan chan error
}

var records = []byte("records")

func openStore(file string) *store {
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	must(err)
	must(db.Update(func(t *bbolt.Tx) error { _, err := t.CreateBucketIfNotExists(records); return err }))
	s := &store{db: db, queue: make(chan chan error, 256)}
	go s.write()
	return s
}

// put stores a record of 500 bytes and waits until it is on the disk.
func (s *store) put() {
	done := make(chan error, 1)
	s.queue <- done
	must(<-done)
}

func (s *store) write() {
	value := make([]byte, 500)
	_, _ = io.ReadFull(rand.Reader, value)
	for first := range s.queue {
		waiting := []chan error{first}
		for range len(s.queue) {
			waiting = append(waiting, <-s.queue)
		}
		err := s.db.Update(func(t *bbolt.Tx) error {
			bucket := t.Bucket(records)
			bucket.FillPercent = 0.9
			for range waiting {
				next, err := bucket.NextSequence()
				if err != nil {
					return err
				}
				if err := bucket.Put(binary.BigEndian.AppendUint64(nil, next), value); err != nil {
					return err
				}
			}
			return nil
		})
		for _, done := range waiting {
			done <- err
		}
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
