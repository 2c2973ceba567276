package provider_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
)

func readConfig(t *testing.T, path string) *provider.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file, err := provider.ReadConfig(f, path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestExampleConfigurations(t *testing.T) {
	paths, err := filepath.Glob("../testdata/config/*.yaml")
	if err != nil || len(paths) < 2 {
		t.Fatalf("got %v, %v", paths, err)
	}
	for _, path := range paths {
		if file := readConfig(t, path); len(file.Clients) == 0 || len(file.Users) == 0 {
			t.Errorf("%s: read as empty", path)
		}
	}
}

func TestReadFullConfig(t *testing.T) {
	file := readConfig(t, "../testdata/config/full.yaml")
	if file.Issuer != "https://localhost:9000" || file.Listen != "127.0.0.1:9000" || file.Data == "" || file.Durability != provider.Durable || file.Explain == nil || !*file.Explain ||
		!file.InsecurePrivateAddresses || !file.DPoPNonce || !file.InsecureUnsignedIDTokens {
		t.Errorf("got %+v", file)
	}
	if file.TLS || file.TLSCert != "/etc/oidclab/tls.pem" || file.TLSKey != "/etc/oidclab/tls-key.pem" {
		t.Errorf("TLS: %t, %q, %q", file.TLS, file.TLSCert, file.TLSKey)
	}
	if rotation, lead := time.Duration(file.KeyRotation), time.Duration(file.KeyLead); rotation != 720*time.Hour || lead != 10*time.Minute {
		t.Errorf("keys: %s, %s", rotation, lead)
	}
	if got := time.Duration(file.Lifetimes.Grant); got != 30*24*time.Hour {
		t.Errorf("grant: %s", got)
	}
	want := provider.Client{
		ID: "my-backend", Name: "My web application",
		ClientURI: "https://app.example/", LogoURI: "https://app.example/logo.png",
		PolicyURI: "https://app.example/privacy", TOSURI: "https://app.example/terms", Secret: "change-me", TokenEndpointAuthMethod: "client_secret_basic",
		RedirectURIs:          []string{"https://app.example/callback"},
		FrontchannelLogoutURI: "https://app.example/frame-logout", FrontchannelLogoutSessionRequired: true,
		BackchannelLogoutURI: "https://app.example/logout-token", BackchannelLogoutSessionRequired: true,
		GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"}, ResponseTypes: []string{"code"},
		IDTokenSignedResponseAlg: "ES256", UserInfoSignedResponseAlg: "ES256", AuthorizationSignedResponseAlg: "ES256",
		DPoPBoundAccessTokens: true,
		AccessTokenFormat:     "jwt", AccessTokenAlg: "ES256",
		InitiateLoginURI: "https://app.example/login", SubjectType: "pairwise", SectorIdentifierURI: "https://app.example/redirect_uris.json",
		Audience: []string{"https://api.example"}, SkipConsent: true,
		Lifetimes: &provider.Lifetimes{AccessToken: provider.Duration(30 * time.Second)},
	}
	if diff := cmp.Diff(want, file.Clients[1]); diff != "" {
		t.Error(diff)
	}
	carol := file.Users[0]
	if carol.Claims["birthdate"] != "1990-01-31" || carol.Claims["email_verified"] != true {
		t.Errorf("claims: %v", carol.Claims)
	}
	if _, ok := carol.Claims["address"].(map[string]any); !ok {
		t.Errorf("address is a %T", carol.Claims["address"])
	}
}

// TestConfigOfAFile: whatever a file may say arrives.
func TestConfigOfAFile(t *testing.T) {
	file := readConfig(t, "../testdata/config/full.yaml")
	from, to := reflect.ValueOf(*file), reflect.ValueOf(file.Config())
	programs := []string{"Issuer", "Explain", "Store"} // a flag may say otherwise
	for _, field := range reflect.VisibleFields(from.Type()) {
		got := to.FieldByName(field.Name)
		switch {
		case !got.IsValid() || slices.Contains(programs, field.Name): // not the provider's
		case from.FieldByIndex(field.Index).IsZero():
			t.Errorf("the example says nothing of %s", field.Name)
		case !reflect.DeepEqual(got.Interface(), from.FieldByIndex(field.Index).Interface()):
			t.Errorf("%s is %v", field.Name, got)
		}
	}
}

func TestReadConfigForms(t *testing.T) {
	const client = `{"client_id": "a", "redirect_uris": ["http://localhost/"]}`
	for _, tt := range []struct {
		name, text string
		clients    int
	}{
		{"empty", "", 0},
		{"only a comment", "# nothing\n", 0},
		{"null", "null\n", 0},
		{"empty document", "---\n", 0},
		{"a key without value", "clients:\n", 0},
		{"JSON", `{"clients": [` + client + `]}`, 1},
		{"JSON with tabs", "{\n\t\"clients\": [\n\t\t" + client + "\n\t]\n}", 1},
		{"YAML with document marker", "---\nclients: [" + client + "]\n", 1},
		{"YAML with anchors", "clients:\n  - &a\n    client_id: a\n    redirect_uris: [http://localhost/]\n  - <<: *a\n    client_id: b\n", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, err := provider.ReadConfig(strings.NewReader(tt.text), "f.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if len(file.Clients) != tt.clients {
				t.Errorf("got %d clients", len(file.Clients))
			}
		})
	}
}

// TestReadConfigRefuses has a file per thing that can be wrong with its form.
func TestReadConfigRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "issuer: http://localhost\nclient: []\n", `f.yaml:2: unknown key "client" in the configuration (did you mean clients?)`},
		{"unknown key in a client", "clients:\n  - client_id: a\n    redirect_uri: x\n", `f.yaml:3: unknown key "redirect_uri" in a client (did you mean redirect_uris?)`},
		{"another spelling", "clients:\n- clientId: a\n", `f.yaml:2: unknown key "clientId" in a client (did you mean client_id?)`},
		{"unknown key in a user", "users:\n- name: a\n", `f.yaml:2: unknown key "name" in a user`},
		{"unknown key in lifetimes", "lifetimes:\n  acces_token: 1m\n", `f.yaml:2: unknown key "acces_token" in lifetimes (did you mean access_token?)`},
		{"unknown key in JSON", "{\n  \"isuer\": \"x\"\n}", `f.yaml:2: unknown key "isuer" in the configuration (did you mean issuer?)`},
		{"unknown key behind a merge", "clients:\n- <<: {secret: x}\n", `f.yaml:2: unknown key "secret" in a client`},
		{"key twice", "issuer: http://a\nissuer: http://b\n", `f.yaml:2: mapping key "issuer" already defined at line 1`},
		{"claim twice", "users:\n- claims: {sub: a, sub: b}\n", `f.yaml:2: mapping key "sub" already defined at line 2`},
		{"two documents", "issuer: http://a\n---\nissuer: http://b\n", `f.yaml:2: a second document begins here; a configuration is one`},
		{"syntax", "clients:\n  - a: b: c\n", `f.yaml:2: mapping values are not allowed in this context`},
		{"syntax of a second document", "issuer: http://a\n---\n[", `f.yaml:3: did not find expected node content`},
		{"alias of itself", "users: &a\n- claims: {sub: *a}\n", `anchor 'a' value contains itself`},
		{"a list", "- issuer\n", `f.yaml:1: the configuration: want keys and values, got a list`},
		{"text", "issuer\n", `f.yaml:1: the configuration: want keys and values, got text`},
		{"no list", "clients: {client_id: a}\n", `f.yaml:1: clients: want a list, got keys and values`},
		{"text for a list", "clients:\n- redirect_uris: http://localhost/\n", `f.yaml:2: redirect_uris: want a list, got text`},
		{"text for a client", "clients:\n- spa\n", `f.yaml:2: a client: want keys and values, got text`},
		{"number for text", "clients:\n- client_id: 17\n", `f.yaml:2: client_id: want text, got a number: put it in quotes`},
		{"date for text", "users:\n- password: 2020-01-01\n", `f.yaml:2: password: want text, got a date: put it in quotes`},
		{"list for text", "issuer: [a]\n", `f.yaml:1: issuer: want text, got a list`},
		{"list for text in a list", "clients:\n- redirect_uris:\n  - [a]\n", `f.yaml:3: redirect_uris: want text, got a list`},
		{"text for a truth value", "explain: maybe\n", `f.yaml:1: explain: want true or false, got text`},
		{"text for a switch", "insecure_private_addresses: yes please\n", `f.yaml:1: insecure_private_addresses: want true or false, got text`},
		{"local and own certificate", "tls: true\ntls_cert: a\ntls_key: b\n", `f.yaml:1: tls: it is for a certificate of the local CA, tls_cert and tls_key for one of your own: choose one`},
		{"local and own key", "tls_key: b\ntls: true\n", `f.yaml:2: tls: it is for a certificate of the local CA`},
		{"certificate without key", "tls_cert: a\n", `f.yaml:1: tls_cert: it needs the certificate's private key in tls_key`},
		{"key without certificate", "tls_key: a\n", `f.yaml:1: tls_key: it needs the certificate that it belongs to in tls_cert`},
		{"text for tls", "tls: cert.pem\n", `f.yaml:1: tls: want true or false, got text`},
		{"no duration", "lifetimes:\n  code: soon\n", `f.yaml:2: code: "soon" is not a duration such as 30s, 10m or 24h`},
		{"number for a duration", "lifetimes:\n  code: 60\n", `f.yaml:2: code: "60" is not a duration such as 30s, 10m or 24h`},
		{"list for a duration", "lifetimes:\n  code: [1m]\n", `f.yaml:2: code: want text, got a list`},
		{"another durability", "durability: forever\n", `f.yaml:1: durability: "forever" is neither "durable" nor "ephemeral"`},
		{"claims a list", "users:\n- claims: [a]\n", `f.yaml:2: claims: want keys and values, got a list`},
		{"claim name a number", "users:\n- claims:\n    1: a\n", `f.yaml:3: claims: the name 1 must be text: put it in quotes`},
		{"claim name a number below", "users:\n- claims:\n    a: [{1: a}]\n", `f.yaml:3: claims: the name 1 must be text: put it in quotes`},
		{"claim not a JSON number", "users:\n- claims:\n    sub: a\n    x: .nan\n", `f.yaml:4: claims: JSON has no number .nan`},
		{"claim binary", "users:\n- claims:\n    x: !!binary aGk=\n", `f.yaml:3: claims: JSON has no binary values`},
	} {
		t.Run(tt.name, func(t *testing.T) { refuses(t, tt.text, tt.want) })
	}
}

func refuses(t *testing.T, text, want string) {
	t.Helper()
	file, err := provider.ReadConfig(strings.NewReader(text), "f.yaml")
	if err == nil || file != nil {
		t.Fatalf("got %+v, %v", file, err)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %s", err)
	}
}

func TestReadConfigFails(t *testing.T) {
	broken := errors.New("broken disk")
	if _, err := provider.ReadConfig(iotest.ErrReader(broken), "f.yaml"); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "f.yaml: ") {
		t.Errorf("got %v", err)
	}
}
