package provider_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/storage"
)

// suiteSite is the suite's own web site, which the provider calls: documents to
// fetch, and the back-channel logout endpoint. Its connections are pipes, so
// that it lives in a synctest bubble.
type suiteSite struct {
	mu        sync.Mutex
	documents map[string]string // by path
	posted    []postedForm

	connections chan net.Conn
	closed      chan struct{}
}

// postedForm is a form that the provider posted.
type postedForm struct {
	path string
	form url.Values
}

func newSuiteSite(t *testing.T) *suiteSite {
	t.Helper()
	s := &suiteSite{documents: map[string]string{}, connections: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(s)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return s
}

// ServeHTTP serves the documents and notes what is posted.
func (s *suiteSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost {
		_ = r.ParseForm()
		s.posted = append(s.posted, postedForm{r.URL.Path, r.PostForm})
		return
	}
	document, ok := s.documents[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(document))
}

func (s *suiteSite) publish(path, document string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.documents[path] = document
}

func (s *suiteSite) received() []postedForm {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]postedForm(nil), s.posted...)
}

// dial is how the provider reaches every host.
func (s *suiteSite) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case s.connections <- server:
		return client, nil
	case <-s.closed:
		return nil, errors.New("the suite's site is closed")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept, Close and Addr make it a net.Listener.

func (s *suiteSite) Accept() (net.Conn, error) {
	select {
	case c := <-s.connections:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *suiteSite) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

func (s *suiteSite) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// storeKeys puts signing keys into an empty store, so that no run has to make
// its own. They rotate, as fixed ones would not.
func storeKeys(t *testing.T, store storage.Store) {
	t.Helper()
	changes := storage.Changes{At: time.Now().UTC()}
	for _, key := range fixedKeys() {
		der, err := x509.MarshalPKCS8PrivateKey(key.Key)
		if err != nil {
			t.Fatal(err)
		}
		changes.Keys = append(changes.Keys, storage.Key{
			ID: key.KeyID, Use: "sig", Algorithm: key.Algorithm, Material: der, CreatedAt: changes.At,
		})
	}
	if err := store.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// suiteKeys is a JWKS document of one RSA key.
func suiteKeys(kid string, key jose.JSONWebKey) string {
	key.KeyID, key.Use, key.Algorithm = kid, "sig", string(jose.RS256)
	encoded, err := key.MarshalJSON()
	if err != nil {
		panic(err)
	}
	return `{"keys":[` + string(encoded) + `]}`
}
