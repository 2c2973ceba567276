package provider_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// A prover shows that what one member of the metadata says is true.
type prover struct {
	// works shows it for one value: a list's members come one by one.
	works func(p *proving, value string)
	// refused shows that what the member does not list does not work.
	refused func(p *proving)
	// open says why other values are not refused, where refused is nil.
	open string
}

// provers are those of every member, by its name.
func provers() map[string]prover {
	all := map[string]prover{}
	for _, part := range []map[string]prover{
		endpointProvers(), requestProvers(), objectProvers(), responseProvers(), clientProvers(), logoutProvers(),
	} {
		maps.Copy(all, part)
	}
	return all
}

// proving is one provider with a client for each thing to prove.
type proving struct {
	*testing.T
	op *providertest.Server
	// objects serves request objects; told receives logout tokens.
	objects *requestServer
	told    chan string
}

const (
	postClient     = "posts-its-secret"
	pairwiseClient = "pairwise"
	frontClient    = "front"
	backClient     = "back"
)

func startProving(t *testing.T, configure func(*provider.Config)) *proving {
	t.Helper()
	p := &proving{T: t, objects: newRequestServer(t), told: make(chan string, 1)}
	back := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { p.told <- r.FormValue("logout_token") }))
	t.Cleanup(back.Close)
	clients := append(assertionClients(t), framed(frontClient, "https://front.example", "/logout"))
	clients = append(clients, deviceClients()[2:3]...)
	add := func(id string, like int, change func(*provider.Client)) {
		c := clients[like]
		c.ID = id
		change(&c)
		clients = append(clients, c)
	}
	add(postClient, 1, func(c *provider.Client) { c.TokenEndpointAuthMethod = "client_secret_post" })
	add(pairwiseClient, 0, func(c *provider.Client) { c.SubjectType = "pairwise" })
	add(backClient, 0, func(c *provider.Client) { c.BackchannelLogoutURI = back.URL + "/logout" })
	add(objectClient, 0, func(c *provider.Client) {
		c.JWKS, c.RequestURIs = assertionClients(t)[2].JWKS, []string{p.objects.URL + "/object"}
	})
	for _, alg := range everyAlgorithm {
		add("signs-"+alg, 0, func(c *provider.Client) {
			c.IDTokenSignedResponseAlg, c.UserInfoSignedResponseAlg, c.AuthorizationSignedResponseAlg = alg, alg, alg
		})
	}
	p.op = providertest.Start(t, &providertest.Options{Clients: clients, Users: cheapUsers(), Configure: func(c *provider.Config) {
		c.InsecurePrivateAddresses = true
		c.Scopes = []provider.Scope{{Name: "notes:read", Description: "Read notes"}}
		c.Requests.ACRValues = []string{"gold", "silver"}
		if configure != nil {
			configure(c)
		}
	}})
	return p
}

// metadata is what the provider says of itself.
func (p *proving) metadata() map[string]any {
	p.Helper()
	return get(p.T, p.op.URL()+openIDConfiguration, nil).Body
}

// member is a member of the metadata that is text.
func (p *proving) member(name string) string {
	p.Helper()
	text, _ := p.metadata()[name].(string)
	return text
}

// TestMetadataIsProved walks the metadata document: each member is there for a
// prover, each prover for a member, each value works, and what a list leaves out
// is refused.
func TestMetadataIsProved(t *testing.T) {
	p := startProving(t, nil)
	metadata, proofs := p.metadata(), provers()
	for name := range proofs {
		if metadata[name] == nil {
			t.Errorf("the metadata has no %s", name)
		}
	}
	for name, value := range metadata {
		proof, ok := proofs[name]
		if !ok || (proof.refused == nil) == (proof.open == "") {
			t.Errorf("%s has no prover that shows what is refused, or says why nothing is", name)
			continue
		}
		values, isList := value.([]any)
		if !isList {
			values = []any{value}
		}
		for _, value := range values {
			t.Run(name+"/"+fmt.Sprint(value), func(t *testing.T) { proof.works(p.in(t), fmt.Sprint(value)) })
		}
		if proof.refused != nil {
			t.Run(name+"/not listed", func(t *testing.T) { proof.refused(p.in(t)) })
		}
	}
}

// in is the same for a subtest.
func (p *proving) in(t *testing.T) *proving {
	t.Helper()
	return &proving{T: t, op: p.op, objects: p.objects, told: p.told}
}

// TestMetadataFollowsTheConfiguration: switches change the document and what it
// is about.
func TestMetadataFollowsTheConfiguration(t *testing.T) {
	for name, tt := range map[string]struct {
		configure func(*provider.Config)
		check     func(p *proving)
	}{
		"registration off": {
			func(c *provider.Config) { c.Registration.Enabled = new(bool) },
			func(p *proving) {
				if p.metadata()["registration_endpoint"] != nil {
					p.Error("registration is announced")
				}
				if a := register(p.T, p.op, smallest()); a.Status < 400 || a.Status > 499 {
					p.Errorf("register: %d", a.Status)
				}
			},
		},
		"require_pushed_authorization_requests": {
			func(c *provider.Config) { c.Requests.RequirePushed = true },
			func(p *proving) {
				proof := requestProvers()["require_pushed_authorization_requests"]
				proof.works(p, fmt.Sprint(p.metadata()["require_pushed_authorization_requests"]))
				if p.metadata()["require_pushed_authorization_requests"] != true {
					p.Error("not announced")
				}
			},
		},
		"insecure_unsigned_request_objects": {
			func(c *provider.Config) { c.Requests.InsecureUnsignedObjects = true },
			func(p *proving) {
				if algs := p.metadata()["request_object_signing_alg_values_supported"]; !slices.Contains(algs.([]any), any("none")) {
					p.Errorf("announced: %v", algs)
				}
				signIn(p.T, p.op, byValue(objectClient, p.unsignedObject()))
			},
		},
	} {
		t.Run(name, func(t *testing.T) { tt.check(startProving(t, tt.configure)) })
	}
}

// TestRoutesAreAnnounced: what is there is in the metadata, or has a reason not
// to be.
func TestRoutesAreAnnounced(t *testing.T) {
	op := providertest.Start(t, nil)
	announced := map[string]string{
		openIDConfiguration:     "the document itself",
		oauthMetadata:           "the same by its other name",
		"/authorize/resume":     "where a page leads back into a request",
		"/login":                "a page of the authorization endpoint",
		"/consent":              "a page of the authorization endpoint",
		"/register/{client_id}": "a client hears of it when it registers (RFC 7592 §1)",
		"/device":               "a device hears of it with its codes (RFC 8628 §3.2)",
		"/style.css":            "for the pages",
		"/healthz":              "for who runs the provider",
		"/readyz":               "for who runs the provider",
		"/":                     "for a person who comes by",
	}
	for path := range announced {
		if _, ok := op.Provider.Routes()[path]; !ok {
			t.Errorf("%s has a reason and no route", path)
		}
	}
	for _, value := range get(t, op.URL()+openIDConfiguration, nil).Body {
		if target, _ := value.(string); strings.HasPrefix(target, op.URL()+"/") {
			path := strings.TrimPrefix(target, op.URL())
			if announced[path] != "" {
				t.Errorf("%s is announced and has a reason not to be", path)
			}
			announced[path] = "in the metadata"
		}
	}
	for path := range op.Provider.Routes() {
		if announced[path] == "" {
			t.Errorf("%s is not announced, for no reason", path)
		}
	}
}
