package provider_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// requestServer serves request objects by reference.
type requestServer struct {
	*httptest.Server
	mu      sync.Mutex
	content string
	fetches int
}

func newRequestServer(t *testing.T) *requestServer {
	t.Helper()
	s := &requestServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fetches++
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/object", http.StatusFound)
		case "/gone":
			http.NotFound(w, r)
		case "/endless":
			_, _ = io.WriteString(w, strings.Repeat("x", 65<<10))
		default:
			_, _ = io.WriteString(w, s.content+"\n")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *requestServer) serve(content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content = content
}

func (s *requestServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// OIDC Core §6.2: by reference.
func TestRequestURI(t *testing.T) {
	server := newRequestServer(t)
	clients := objectClients(t)
	// The fragment looks like a hash of the content and is none.
	uri := server.URL + "/object#" + challenge("something else")
	for i := range clients {
		clients[i].RequestURIs = []string{uri, server.URL + "/plain", server.URL + "/moved", server.URL + "/gone", server.URL + "/endless"}
	}
	op := providertest.Start(t, &providertest.Options{Clients: clients, Configure: func(c *provider.Config) { c.InsecurePrivateAddresses = true }})
	byReference := func(uri string) params { return params{"client_id": objectClient, "request_uri": uri} }
	server.serve(object(t, jose.RS256, objectMembers(op, objectClient)))

	signIn(t, op, byReference(uri))
	if got := server.count(); got != 1 {
		t.Errorf("fetched %d times on the way through the pages, want once", got)
	}
	signIn(t, op, byReference(server.URL+"/plain"))
	b := providertest.NewBrowser(t)
	for name, tt := range map[string]struct{ uri, want string }{
		"without the fragment":   {server.URL + "/object", "invalid_request_uri"},
		"another fragment":       {server.URL + "/object#" + challenge("x"), "invalid_request_uri"},
		"another path":           {server.URL + "/objects", "invalid_request_uri"},
		"another query":          {server.URL + "/plain?x", "invalid_request_uri"},
		"a path that leads back": {server.URL + "/x/../plain", "invalid_request_uri"},
		"another host":           {"https://rp.example/request", "invalid_request_uri"},
		"no URI":                 {"request", "invalid_request_uri"},
	} {
		before := server.count()
		wantRedirectError(t, op, b.Get(authorizeURL(op, codeRequest().with(byReference(tt.uri)))), "query", tt.want)
		if server.count() != before {
			t.Errorf("%s: fetched what is not registered", name)
		}
	}
	for _, path := range []string{"/moved", "/gone", "/endless"} {
		wantRedirectError(t, op, b.Get(authorizeURL(op, codeRequest().with(byReference(server.URL+path)))), "query", "invalid_request_uri")
		wantErrorPage(t, b.Get(authorizeURL(op, byReference(server.URL+path))), "invalid_request_uri", "request_uri")
	}
	both := codeRequest().with(byReference(uri)).with(params{"request": object(t, jose.RS256, objectMembers(op, objectClient))})
	wantRedirectError(t, op, b.Get(authorizeURL(op, both)), "query", "invalid_request")
	server.serve("nonsense")
	wantRedirectError(t, op, b.Get(authorizeURL(op, codeRequest().with(byReference(uri)))), "query", "invalid_request_object")
}

// Without the switch, the provider calls no private address for anybody.
func TestRequestURIIsGuarded(t *testing.T) {
	server := newRequestServer(t)
	clients := objectClients(t)
	clients[2].RequestURIs = []string{server.URL + "/object"}
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	request := codeRequest().with(params{"client_id": objectClient, "request_uri": server.URL + "/object"})
	wantRedirectError(t, op, providertest.NewBrowser(t).Get(authorizeURL(op, request)), "query", "invalid_request_uri")
	if server.count() != 0 {
		t.Error("a private address was called")
	}
}

// The switch insecure_unsigned_request_objects is for those who need no keys
// (fosite demands them), and says so.
func TestUnsignedRequestObjects(t *testing.T) {
	var log bytes.Buffer
	op := providertest.Start(t, &providertest.Options{Clients: objectClients(t), Configure: func(c *provider.Config) {
		c.Requests.InsecureUnsignedObjects = true
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}})
	if !strings.Contains(log.String(), "insecure_unsigned_request_objects is on") {
		t.Errorf("the start does not say that the switch is on: %s", &log)
	}
	algs, _ := get(t, op.URL()+openIDConfiguration, nil).Body["request_object_signing_alg_values_supported"].([]any)
	if len(algs) != 6 || algs[5] != "none" {
		t.Errorf("metadata: %v", algs)
	}
	payload := base64url(string(encode(t, objectMembers(op, bareClient).with(members{"iss": nil}))))
	login := providertest.NewBrowser(t).Get(authorizeURL(op, byValue(bareClient, unsigned(payload, "JWT"))))
	if login.URL.Path != "/login" || !strings.Contains(login.Body, "insecure_unsigned_request_objects") {
		t.Errorf("at %s, without a warning:\n%s", login.URL.Path, login.Body)
	}
	signIn(t, op, byValue(bareClient, unsigned(payload, "JWT")))
	signedPage := providertest.NewBrowser(t).Get(authorizeURL(op, byValue(objectClient, object(t, jose.ES256, objectMembers(op, objectClient)))))
	if strings.Contains(signedPage.Body, "insecure_unsigned_request_objects") {
		t.Error("a warning about a signed object")
	}
	b := providertest.NewBrowser(t)
	for name, request := range map[string]params{
		"a signature on it":             byValue(bareClient, unsigned(payload, "JWT")+"AAAA"),
		"another client's":              byValue(objectClient, unsigned(payload, "JWT")),
		"a client that must sign":       byValue(strictClient, unsigned(base64url(`{"response_type":"code"}`), "JWT")),
		"a client of another algorithm": byValue(rs256Client, unsigned(base64url(`{"response_type":"code"}`), "JWT")),
	} {
		t.Run(name, func(t *testing.T) {
			wantRedirectError(t, op, b.Get(authorizeURL(op, codeRequest().with(request))), "query", "invalid_request_object")
		})
	}
}

// What a client that registers itself may say of its request objects.
func TestRegisterRequestObjects(t *testing.T) {
	uri := "https://rp.example/request#x"
	signing := document{"jwks": publicKeys(t, rpKeys()[jose.ES256])}
	for name, tt := range map[string]struct {
		change   document
		unsigned bool // the switch is on
		status   int
	}{
		"all of it":                 {document{"request_object_signing_alg": "ES256", "require_signed_request_object": true, "request_uris": []string{uri}}, false, 201},
		"unsigned":                  {document{"request_object_signing_alg": "none"}, false, 400},
		"unsigned, with the switch": {document{"request_object_signing_alg": "none"}, true, 201},
		"a secret's algorithm":      {document{"request_object_signing_alg": "HS256"}, true, 400},
		"a private request_uri":     {document{"request_uris": []string{"https://127.0.0.1/request"}}, false, 400},
		"a plain http request_uri":  {document{"request_uris": []string{"http://rp.example/request"}}, false, 400},
	} {
		t.Run(name, func(t *testing.T) {
			op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) { c.Requests.InsecureUnsignedObjects = tt.unsigned }})
			a := register(t, op, smallest().with(signing).with(tt.change))
			if a.Status != tt.status || tt.status == 400 && a.text("error") != "invalid_client_metadata" {
				t.Errorf("%d %s", a.Status, a.Raw)
			}
		})
	}
}
