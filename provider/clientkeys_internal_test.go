package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
)

// keyServer stands where jwks_uris lead: it answers with a document, or fails.
type keyServer struct {
	mu       sync.Mutex
	document []byte
	down     bool
	fetches  int
	accept   string
	wait     chan struct{} // if not nil, an answer waits for it
}

func (s *keyServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.fetches++
	s.accept = r.Header.Get("Accept")
	wait := s.wait
	s.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errors.New("down")
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(s.document))}, nil
}

func (s *keyServer) serve(keys ...map[string]any) { s.answer(encoded(jwksOf(keys...))) }

func (s *keyServer) answer(document []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.document = document
}

func (s *keyServer) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *keyServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// withKeyServer makes clientKeys that fetch from a keyServer.
func withKeyServer(t *testing.T) (*clientKeys, *keyServer) {
	t.Helper()
	o, server := newTestOutbound(t, Config{}), &keyServer{}
	o.transport = server
	return newClientKeys(o), server
}

var remoteClient = &client{Client: Client{ID: "rp", JWKSURI: "https://rp.example/jwks"}}

// expectation is what one verification comes to, and how often the server was
// asked until then.
func (s *keyServer) expect(t *testing.T, err, want error, fetches int) {
	t.Helper()
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Errorf("got %v, want %v", err, want)
	}
	if got := s.count(); got != fetches {
		t.Errorf("%d fetches, want %d", got, fetches)
	}
}

func TestClientKeysOfTheRegistration(t *testing.T) {
	k, server := withKeyServer(t)
	inline := &client{Client: Client{JWKS: jwksOf(publicJWK("RSA", nil))}}
	var claims struct {
		Iss string `json:"iss"`
	}
	var raw json.RawMessage
	server.expect(t, k.verify(t.Context(), inline, signedBy(t, "RSA", "RS256", ""), &claims, &raw), nil, 0)
	if claims.Iss != "rp" || string(raw) != `{"iss":"rp"}` {
		t.Errorf("claims %+v, %s", claims, raw)
	}
	var number struct {
		Iss int `json:"iss"`
	}
	server.expect(t, k.verify(t.Context(), inline, signedBy(t, "RSA", "RS256", ""), &number), errBadClaims, 0)

	var unread map[string]any
	server.expect(t, k.verify(t.Context(), inline, signedBy(t, "RSA 2", "RS256", ""), &unread), errBadSignature, 0)
	if unread != nil {
		t.Error("the claims of a bad token were handed out")
	}
	private := &client{Client: Client{JWKS: jwksOf(privateJWK("RSA"))}}
	server.expect(t, k.verify(t.Context(), private, signedBy(t, "RSA", "RS256", "")), errPrivateKey, 0)
	server.expect(t, k.verify(t.Context(), &client{}, signedBy(t, "RSA", "RS256", "")), errNoClientKeys, 0)
}

// TestClientKeysAreKept for as long as they are fresh.
func TestClientKeysAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, server := withKeyServer(t)
		server.serve(publicJWK("RSA", nil))
		token := signedBy(t, "RSA", "RS256", "")
		server.expect(t, k.verify(t.Context(), remoteClient, token), nil, 1)
		if server.accept != "application/jwk-set+json, application/json" {
			t.Errorf("Accept: %s", server.accept)
		}
		time.Sleep(keysFresh - 1)
		server.expect(t, k.verify(t.Context(), remoteClient, token), nil, 1)
		time.Sleep(time.Nanosecond)
		server.expect(t, k.verify(t.Context(), remoteClient, token), nil, 2)
	})
}

// TestClientKeysRotate: a new key works at once, with or without a kid.
func TestClientKeysRotate(t *testing.T) {
	for _, kid := range []string{"new", ""} {
		synctest.Test(t, func(t *testing.T) {
			k, server := withKeyServer(t)
			server.serve(publicJWK("RSA", nil))
			server.expect(t, k.verify(t.Context(), remoteClient, signedBy(t, "RSA", "RS256", "")), nil, 1)
			server.serve(publicJWK("RSA 2", map[string]any{"kid": kid}))
			server.expect(t, k.verify(t.Context(), remoteClient, signedBy(t, "RSA 2", "RS256", kid)), nil, 2)
			server.expect(t, k.verify(t.Context(), remoteClient, signedBy(t, "RSA 2", "RS256", kid)), nil, 2)
			server.expect(t, k.verify(t.Context(), remoteClient, signedBy(t, "RSA", "RS256", "")), errBadSignature, 3)
		})
	}
}

// TestForgedTokensFetchSeldom: whoever sends unknown keys makes the provider
// ask a few times, and then not before the window has passed.
func TestForgedTokensFetchSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, server := withKeyServer(t)
		server.serve(publicJWK("RSA", nil))
		good, forged := signedBy(t, "RSA", "RS256", ""), signedBy(t, "RSA 2", "RS256", "x")
		server.expect(t, k.verify(t.Context(), remoteClient, forged), errBadSignature, 2)
		for range 10 {
			server.expect(t, k.verify(t.Context(), remoteClient, forged), errBadSignature, refetchBurst)
		}
		server.expect(t, k.verify(t.Context(), remoteClient, good), nil, refetchBurst)
		time.Sleep(refetchWindow - 1)
		server.expect(t, k.verify(t.Context(), remoteClient, forged), errBadSignature, refetchBurst)
		time.Sleep(time.Nanosecond)
		server.expect(t, k.verify(t.Context(), remoteClient, forged), errBadSignature, refetchBurst+1)
	})
}

// TestClientKeysFetchOnce: however many wait, and whoever of them goes away.
func TestClientKeysFetchOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, server := withKeyServer(t)
		server.serve(publicJWK("RSA", nil))
		k.concurrently(t, server, signedBy(t, "RSA", "RS256", ""))
		server.expect(t, nil, nil, 1)
		server.serve(publicJWK("RSA 2", nil))
		k.concurrently(t, server, signedBy(t, "RSA 2", "RS256", ""))
		server.expect(t, nil, nil, 2)
	})
}

// concurrently verifies a token for many callers, the first of whom goes away
// while the server has not answered.
func (k *clientKeys) concurrently(t *testing.T, server *keyServer, token *jwt.JSONWebToken) {
	t.Helper()
	server.wait = make(chan struct{})
	gone, goAway := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { first <- k.verify(gone, remoteClient, token) }()
	synctest.Wait()
	var good atomic.Int64
	for range 20 {
		go func() {
			if k.verify(t.Context(), remoteClient, token) == nil {
				good.Add(1)
			}
		}()
	}
	synctest.Wait()
	goAway()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who went away: %v", err)
	}
	close(server.wait)
	synctest.Wait()
	if good.Load() != 20 {
		t.Errorf("%d of 20 verified", good.Load())
	}
}

// TestClientKeysOutliveFailures, but not for ever.
func TestClientKeysOutliveFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, server := withKeyServer(t)
		server.serve(publicJWK("RSA", nil))
		token, newToken := signedBy(t, "RSA", "RS256", ""), signedBy(t, "RSA 2", "RS256", "")
		server.expect(t, k.verify(t.Context(), remoteClient, token), nil, 1)
		server.setDown(true)
		server.expect(t, k.verify(t.Context(), remoteClient, newToken), errNotFetched, 2)
		server.expect(t, k.verify(t.Context(), remoteClient, newToken), errNotFetched, 2) // it is too soon
		server.expect(t, k.verify(t.Context(), remoteClient, token), nil, 2)
		time.Sleep(keysFresh)
		server.expect(t, k.verify(t.Context(), remoteClient, token), nil, 3)
		server.setDown(false)
		server.answer([]byte("<html>"))
		time.Sleep(keysRetry)
		server.expect(t, k.verify(t.Context(), remoteClient, token), nil, 4)
		time.Sleep(keysUsable)
		server.expect(t, k.verify(t.Context(), remoteClient, token), errNotFetched, 5)
		server.serve(publicJWK("RSA 2", nil))
		time.Sleep(keysRetry)
		server.expect(t, k.verify(t.Context(), remoteClient, newToken), nil, 6)
	})
}

// TestClientKeysRetry: a server that fails is not asked at every request.
func TestClientKeysRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, server := withKeyServer(t)
		server.setDown(true)
		token := signedBy(t, "RSA", "RS256", "")
		for range 3 {
			err := k.verify(t.Context(), remoteClient, token)
			server.expect(t, err, errNotFetched, 1)
			if fmt.Sprint(err) != "the client's jwks_uri gave no usable answer" {
				t.Errorf("it says: %v", err)
			}
		}
		server.setDown(false)
		server.serve(publicJWK("RSA", nil))
		time.Sleep(keysRetry - 1)
		server.expect(t, k.verify(t.Context(), remoteClient, token), errNotFetched, 1)
		time.Sleep(time.Nanosecond)
		server.expect(t, k.verify(t.Context(), remoteClient, token), nil, 2)
	})
}

// TestPrivateKeyInPublicEndsTheSet: what was kept may hold the same key.
func TestPrivateKeyInPublicEndsTheSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, server := withKeyServer(t)
		server.serve(publicJWK("RSA", nil))
		token := signedBy(t, "RSA", "RS256", "")
		server.expect(t, k.verify(t.Context(), remoteClient, token), nil, 1)
		server.serve(privateJWK("RSA"))
		time.Sleep(keysFresh)
		err := k.verify(t.Context(), remoteClient, token)
		server.expect(t, err, errPrivateKey, 2)
		if !strings.HasPrefix(err.Error(), "the client's jwks_uri holds a private key") {
			t.Errorf("it says: %v", err)
		}
		server.expect(t, k.verify(t.Context(), remoteClient, token), errPrivateKey, 2)
	})
}

// TestUnusableKeySets: what arrives and is no JWK Set reads as what does not
// arrive.
func TestUnusableKeySets(t *testing.T) {
	tooLong := append(encoded(jwksOf(publicJWK("RSA", nil))), bytes.Repeat([]byte(" "), maxDocumentBody)...)
	many := make([]map[string]any, maxKeys+1)
	for i := range many {
		many[i] = publicJWK("Ed25519", nil)
	}
	for name, document := range map[string][]byte{
		"no JSON": []byte("<html>"), "another document": []byte("{}"), "too long": tooLong, "too many keys": encoded(jwksOf(many...)),
	} {
		t.Run(name, func(t *testing.T) {
			k, server := withKeyServer(t)
			server.answer(document)
			err := k.verify(t.Context(), remoteClient, signedBy(t, "RSA", "RS256", ""))
			if fmt.Sprint(err) != "the client's jwks_uri gave no usable answer" {
				t.Errorf("got %v", err)
			}
		})
	}
	k, server := withKeyServer(t)
	local := &client{Client: Client{JWKSURI: "https://127.0.0.1/jwks"}}
	server.expect(t, k.verify(t.Context(), local, signedBy(t, "RSA", "RS256", "")), errAddressNotAllowed, 0)
}

// TestClientKeysAreBounded: the set that was not used for longest goes.
func TestClientKeysAreBounded(t *testing.T) {
	k, server := withKeyServer(t)
	server.serve(publicJWK("RSA", nil))
	token := signedBy(t, "RSA", "RS256", "")
	at := func(i int) *client { return &client{Client: Client{JWKSURI: fmt.Sprintf("https://rp.example/%d", i)}} }
	for i := range maxKeySets {
		server.expect(t, k.verify(t.Context(), at(i), token), nil, i+1)
	}
	server.expect(t, k.verify(t.Context(), at(0), token), nil, maxKeySets)
	server.expect(t, k.verify(t.Context(), at(maxKeySets), token), nil, maxKeySets+1)
	if len(k.sets) != maxKeySets {
		t.Errorf("%d sets", len(k.sets))
	}
	server.expect(t, k.verify(t.Context(), at(0), token), nil, maxKeySets+1)
	server.expect(t, k.verify(t.Context(), at(1), token), nil, maxKeySets+2)
}
