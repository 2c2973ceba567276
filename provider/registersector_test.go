package provider_test

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// sectorServer serves what a sector_identifier_uri leads to, over TLS, under
// any host name; and at sectorKeys the sector's key for ES256.
type sectorServer struct {
	body    atomic.Pointer[string]
	status  atomic.Int32
	fetches atomic.Int32
}

// startWithSector runs a provider that reaches a sector server, which serves
// goodSector, as https://example.com, the name in its certificate.
func startWithSector(t *testing.T) (*providertest.Server, *sectorServer) {
	t.Helper()
	sector := &sectorServer{}
	sector.answer(http.StatusOK, goodSector)
	keys := publicKeys(t, rpKeys()[jose.ES256])
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if "https://"+r.Host+r.URL.Path == sectorKeys {
			w.Write(encode(t, keys))
			return
		}
		sector.fetches.Add(1)
		w.Header().Set("Location", "https://example.com/elsewhere")
		w.WriteHeader(int(sector.status.Load()))
		w.Write([]byte(*sector.body.Load()))
	}))
	t.Cleanup(server.Close)
	op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) {
		c.InsecurePrivateAddresses = true // the server is on this machine
		c.RootCAs = func() *x509.CertPool { return server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs }
		c.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		}
	}})
	return op, sector
}

func (s *sectorServer) answer(status int32, body string) {
	s.status.Store(status)
	s.body.Store(&body)
}

// sectorDocument is a client of pairwise subjects whose redirect URIs have two
// hosts.
func sectorDocument() document {
	return publicDocument().with(document{
		"subject_type": "pairwise", "sector_identifier_uri": "https://example.com/sector.json",
		"redirect_uris": []string{providertest.RedirectURI, "https://other.example/callback"},
	})
}

const (
	goodSector = `["http://rp.localhost:1/callback", "https://unused.example/", "https://other.example/callback"]`
	sectorKeys = "https://example.com/keys.json"
)

// TestRegisterSector: OIDC Registration §5. The suite's oidcc-registration-sector-uri
// and -sector-bad.
func TestRegisterSector(t *testing.T) {
	op, sector := startWithSector(t)
	for _, tt := range []struct {
		name   string
		status int32
		body   string
		want   string // "": accepted
	}{
		{"every redirect URI", 200, goodSector, ""},
		{"one is missing", 200, `["http://rp.localhost:1/callback"]`, "does not list the redirect URI 'https://other.example/callback'"},
		{"one differs by a slash", 200, strings.Replace(goodSector, "other.example/callback", "other.example/callback/", 1), "does not list the redirect URI"},
		{"none", 200, `[]`, "does not list the redirect URI"},
		{"null", 200, `null`, "does not list the redirect URI"},
		{"an object", 200, `{"redirect_uris": ` + goodSector + `}`, "is not a JSON array of redirect URIs"},
		{"numbers", 200, `[1, 2]`, "is not a JSON array of redirect URIs"},
		{"lists", 200, `[` + goodSector + `]`, "is not a JSON array of redirect URIs"},
		{"HTML", 200, `<html>`, "is not a JSON array of redirect URIs"},
		{"nothing", 200, ``, "is not a JSON array of redirect URIs"},
		{"something after it", 200, goodSector + `x`, "is not a JSON array of redirect URIs"},
		{"too much", 200, `[` + strings.Repeat(" ", 65<<10) + goodSector[1:], "gave no usable answer"},
		{"an error", 404, goodSector, "gave no usable answer"},
		{"a fault", 500, goodSector, "gave no usable answer"},
		{"a redirect", 302, goodSector, "answers with a redirect, which is not followed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sector.answer(tt.status, tt.body)
			a := register(t, op, sectorDocument())
			if tt.want == "" {
				if a.Status != http.StatusCreated || a.text("sector_identifier_uri") != "https://example.com/sector.json" || a.text("subject_type") != "pairwise" {
					t.Errorf("answer %d %s", a.Status, a.Raw)
				}
				return
			}
			wantError(t, a, http.StatusBadRequest, "invalid_client_metadata")
			if !strings.Contains(a.text("error_description"), tt.want) {
				t.Errorf("got  %s\nwant %s", a.text("error_description"), tt.want)
			}
		})
	}
	// A public client's document is looked at, too: what is registered is true.
	sector.answer(200, `[]`)
	wantError(t, register(t, op, sectorDocument().with(document{"subject_type": "public"})), 400, "invalid_client_metadata")
}

// TestSectorIsFetchedLast: what is refused anyway makes the provider call nobody.
func TestSectorIsFetchedLast(t *testing.T) {
	op, sector := startWithSector(t)
	client := registered(t, op, sectorDocument())
	before := sector.fetches.Load()
	wantError(t, register(t, op, sectorDocument().with(document{"logo_uri": "x"})), 400, "invalid_client_metadata")
	stranger := sendJSON(t, http.MethodPut, client.text("registration_client_uri"), update(client, nil), bearer("x"))
	if stranger.Status != http.StatusUnauthorized || sector.fetches.Load() != before {
		t.Errorf("answer %d, %d fetches", stranger.Status, sector.fetches.Load()-before)
	}
}

// TestReplaceChecksTheSector: an update is checked as a registration is.
func TestReplaceChecksTheSector(t *testing.T) {
	op, sector := startWithSector(t)
	client := registered(t, op, sectorDocument())
	more := update(client, document{"redirect_uris": []string{"https://new.example/"}})
	wantError(t, manage(t, http.MethodPut, client, more), 400, "invalid_client_metadata")
	sector.answer(200, `["https://new.example/"]`)
	if a := manage(t, http.MethodPut, client, more); a.Status != http.StatusOK {
		t.Errorf("answer %d %s", a.Status, a.Raw)
	}
}

// TestRegisteredPairwiseSubject: the sector is the host of the document, so two
// clients of one sector know a user by one name, and another client by another.
func TestRegisteredPairwiseSubject(t *testing.T) {
	op, _ := startWithSector(t)
	subject := func(d document) any {
		return claimsOf(t, dynamicTokens(t, op, registered(t, op, d)).text("id_token"))["sub"]
	}
	one, same := subject(sectorDocument()), subject(sectorDocument().with(document{"sector_identifier_uri": "https://EXAMPLE.com:8443/other.json"}))
	other := subject(publicDocument().with(document{"subject_type": "pairwise"}))
	if one != same || one == other || one == aliceSubject || other == aliceSubject || subject(publicDocument()) != aliceSubject {
		t.Errorf("one %v, same %v, other %v", one, same, other)
	}
}

// TestSectorOfTheConfiguration: what the operator writes is believed, so that a
// start waits for nobody.
func TestSectorOfTheConfiguration(t *testing.T) {
	var dialled atomic.Int32
	serving(t, provider.Config{
		Clients: []provider.Client{{
			ID: "a", RedirectURIs: []string{"https://a.example/", "https://b.example/"},
			SubjectType: "pairwise", SectorIdentifierURI: "https://sector.example/uris.json",
		}},
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			dialled.Add(1)
			return nil, net.ErrClosed
		},
	})
	if dialled.Load() != 0 {
		t.Errorf("the sector's document was asked for %d times", dialled.Load())
	}
}
