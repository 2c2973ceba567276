package provider_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// TestRegisterKeys: what a client must register that authenticates by a JWT,
// and what nobody may. RFC 7591 §2, OIDC Core §9.
func TestRegisterKeys(t *testing.T) {
	op := providertest.Start(t, nil)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := publicKeys(t, rpKeys()[jose.ES256])
	unfit, elsewise := publicKeys(t, p384), publicKeys(t, rpKeys()[jose.RS256])
	elsewise["keys"].([]any)[0].(map[string]any)["alg"] = "RS384"
	private := map[string]any{"keys": []any{map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}}}
	for _, tt := range []struct {
		name   string
		change document
		want   string // "": accepted
	}{
		{"keys", document{"jwks": keys}, ""},
		{"an address of keys", document{"jwks_uri": "https://rp.example/jwks"}, ""},
		{"an algorithm", document{"jwks": keys, "token_endpoint_auth_signing_alg": "ES256"}, ""},
		{"an algorithm of one of two keys", document{"jwks": publicKeys(t, rpKeys()[jose.RS256], rpKeys()[jose.ES256]), "token_endpoint_auth_signing_alg": "PS256", "request_object_signing_alg": "ES256"}, ""},
		{"an algorithm of keys that are elsewhere", document{"jwks_uri": "https://rp.example/jwks", "token_endpoint_auth_signing_alg": "RS256", "request_object_signing_alg": "RS256"}, ""},
		{"a key for nothing, of a client that signs nothing", document{"token_endpoint_auth_method": "none", "jwks": unfit}, ""},
		{"keys that sign no assertion", document{"jwks": unfit}, "jwks holds no key that signs with one of"},
		{"a key that is for another algorithm", document{"jwks": elsewise}, "jwks holds no key that signs with one of"},
		{"an algorithm without its key", document{"jwks": keys, "token_endpoint_auth_signing_alg": "RS256"}, "token_endpoint_auth_signing_alg 'RS256' needs a key for it, and jwks holds none"},
		{"the same of request objects", document{"jwks": keys, "request_object_signing_alg": "RS256"}, "request_object_signing_alg 'RS256' needs a key for it, and jwks holds none"},
		{"the same of a client that has to sign requests", document{"token_endpoint_auth_method": "none", "jwks": unfit, "require_signed_request_object": true}, "jwks holds no key that signs with one of"},
		{"a secret to sign with", document{"token_endpoint_auth_method": "client_secret_jwt"}, ""},
		{"neither", nil, "jwks is missing"},
		{"both", document{"jwks": keys, "jwks_uri": "https://rp.example/jwks"}, "jwks_uri is there beside jwks"},
		{"a private key", document{"jwks": private}, "jwks "},
		{"no keys", document{"jwks": map[string]any{"keys": []any{}}}, "jwks holds no key"},
		{"no list", document{"jwks": map[string]any{"key": 1}}, "jwks is not a JWK Set"},
		{"an address that is none", document{"jwks_uri": "jwks"}, "jwks_uri 'jwks' is not an https URL"},
		{"an algorithm with a secret", document{"jwks": keys, "token_endpoint_auth_signing_alg": "HS256"}, "token_endpoint_auth_signing_alg 'HS256' is not one of"},
		{"no algorithm", document{"jwks": keys, "token_endpoint_auth_signing_alg": "none"}, "token_endpoint_auth_signing_alg 'none' is not one of"},
		{"an algorithm of a client that signs nothing", document{"token_endpoint_auth_method": "none", "token_endpoint_auth_signing_alg": "ES256"}, "token_endpoint_auth_signing_alg is for clients"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := register(t, op, smallest().with(document{"token_endpoint_auth_method": "private_key_jwt"}).with(tt.change))
			if tt.want == "" {
				if a.Status != http.StatusCreated || a.Body["jwks_uri"] != tt.change["jwks_uri"] || (a.Body["jwks"] != nil) != (tt.change["jwks"] != nil) {
					t.Errorf("answer %d %s", a.Status, a.Raw)
				}
				if (a.text("client_secret") != "") != (a.text("token_endpoint_auth_method") == "client_secret_jwt") {
					t.Errorf("a secret to %s", a.Raw)
				}
				return
			}
			wantError(t, a, http.StatusBadRequest, "invalid_client_metadata")
			if !strings.Contains(a.text("error_description"), tt.want) {
				t.Errorf("got  %s\nwant %s", a.text("error_description"), tt.want)
			}
			if strings.Contains(a.Raw, "nWGxne") {
				t.Error("the answer shows a private key")
			}
		})
	}
}

// assertingAs is a request to /revoke that authenticates by an assertion.
func assertingAs(t *testing.T, op *providertest.Server, alg jose.SignatureAlgorithm, key any, client string) answer {
	t.Helper()
	assertion := signed(t, alg, key, "", "JWT", assertionClaims(op, client))
	return postForm(t, op.URL()+"/revoke", asserting(assertion).with(params{"token": "x", "grant_type": ""}), nil)
}

// TestRegisteredKeyAuthenticates: private_key_jwt, and with the next key after a PUT.
func TestRegisteredKeyAuthenticates(t *testing.T) {
	op := providertest.Start(t, nil)
	document1 := func(key crypto.Signer) document {
		return document{"token_endpoint_auth_method": "private_key_jwt", "jwks": publicKeys(t, key)}
	}
	client := registered(t, op, smallest().with(document1(rpKeys()[jose.ES256])))
	use := func(alg jose.SignatureAlgorithm, want int) {
		t.Helper()
		if a := assertingAs(t, op, alg, rpKeys()[alg], client.text("client_id")); a.Status != want {
			t.Errorf("%s: %d %s, want %d", alg, a.Status, a.Raw, want)
		}
	}
	use(jose.ES256, 200)
	use(jose.EdDSA, 401)
	if a := manage(t, http.MethodPut, client, update(client, document1(rpKeys()[jose.EdDSA]))); a.Status != 200 {
		t.Fatalf("update: %d %s", a.Status, a.Raw)
	}
	use(jose.EdDSA, 200)
	use(jose.ES256, 401)
}

// TestRegisteredUnderEitherName: EdDSA and Ed25519 are one algorithm (RFC 9864),
// whichever of them the client registered and whichever it signs by.
func TestRegisteredUnderEitherName(t *testing.T) {
	op := providertest.Start(t, nil)
	keys := publicKeys(t, rpKeys()[jose.EdDSA])
	for _, registeredAs := range []string{"EdDSA", "Ed25519"} {
		client := registered(t, op, smallest().with(document{
			"token_endpoint_auth_method": "private_key_jwt", "jwks": keys,
			"token_endpoint_auth_signing_alg": registeredAs, "request_object_signing_alg": registeredAs,
		}))
		id := client.text("client_id")
		for _, alg := range []jose.SignatureAlgorithm{"EdDSA", "Ed25519"} {
			if a := assertingAs(t, op, alg, rpKeys()[alg], id); a.Status != http.StatusOK {
				t.Errorf("%s, an assertion by %s: %d %s", registeredAs, alg, a.Status, a.Raw)
			}
			pushed := asserting(signed(t, alg, rpKeys()[alg], "", "JWT", assertionClaims(op, id))).with(params{
				"grant_type": "", "request": object(t, alg, objectMembers(op, id).with(members{"redirect_uri": client.Body["redirect_uris"].([]any)[0]})),
			})
			if a := postForm(t, op.URL()+"/par", pushed, nil); a.Status != http.StatusCreated {
				t.Errorf("%s, a request object by %s: %d %s", registeredAs, alg, a.Status, a.Raw)
			}
		}
	}
}

// TestRegisteredSecretSigns: client_secret_jwt with the secret that was told; a
// change of method brings another secret where the old one would not do.
func TestRegisteredSecretSigns(t *testing.T) {
	op := providertest.Start(t, nil)
	client := registered(t, op, smallest().with(document{"token_endpoint_auth_method": "client_secret_jwt"}))
	id, secret := client.text("client_id"), client.text("client_secret")
	signs := func(secret string, want int) {
		t.Helper()
		if a := assertingAs(t, op, jose.HS256, []byte(secret), id); a.Status != want {
			t.Errorf("signed with %q: %d %s, want %d", secret, a.Status, a.Raw, want)
		}
	}
	change := func(method string) answer {
		t.Helper()
		a := manage(t, http.MethodPut, client, update(client, document{"token_endpoint_auth_method": method, "client_secret": nil}))
		if a.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", method, a.Status, a.Raw)
		}
		return a
	}
	signs(secret, 200)
	signs(tamper(secret, 0), 401)
	if a := change("client_secret_jwt"); a.Body["client_secret"] != nil {
		t.Errorf("a new secret without need: %s", a.Raw)
	}
	signs(secret, 200)
	if a := change("client_secret_post"); a.Body["client_secret"] != nil {
		t.Errorf("a new secret without need: %s", a.Raw)
	}
	signs(secret, 401)
	change("none")
	random := change("client_secret_post").text("client_secret")
	if random == secret || random == "" {
		t.Errorf("after none: %q", random)
	}
	derived := change("client_secret_jwt").text("client_secret")
	if derived == "" || derived == random {
		t.Errorf("a secret that only its digest is kept of cannot verify: %q", derived)
	}
	signs(derived, 200)
	signs(random, 401)
	// The store has nothing to sign with, and a restart changes nothing.
	record, err := op.Store.Client(t.Context(), id)
	if err != nil || strings.Contains(string(record.Metadata), derived) {
		t.Errorf("stored: %s, %v", record.Metadata, err)
	}
	again := serving(t, provider.Config{Issuer: op.URL(), Store: op.Store})
	assertion := signed(t, jose.HS256, []byte(derived), "", "JWT", assertionClaims(op, id))
	a := again.answer(t, http.MethodPost, "/revoke", asserting(assertion).with(params{"token": "x"}).values(), nil)
	if a.Status != http.StatusOK {
		t.Errorf("after a restart: %d %s", a.Status, a.Raw)
	}
}

// TestRegisteredSigningSecretExpires: the next secret is another.
func TestRegisteredSigningSecretExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{FixedKeys: fixedKeys(), Registration: provider.Registration{SecretLifetime: provider.Duration(time.Hour)}})
		client := op.json(t, http.MethodPost, "/register", smallest().with(document{"token_endpoint_auth_method": "client_secret_jwt"}), nil)
		use := func(secret string, want int) answer {
			t.Helper()
			claims := map[string]any{
				"iss": client.text("client_id"), "sub": client.text("client_id"), "aud": "http://op.localhost", "jti": time.Now().String() + secret,
				"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
			}
			request := asserting(signed(t, jose.HS256, []byte(secret), "", "JWT", claims)).with(params{"token": "x"})
			a := op.answer(t, http.MethodPost, "/revoke", request.values(), nil)
			if a.Status != want {
				t.Errorf("%d %s, want %d", a.Status, a.Raw, want)
			}
			return a
		}
		use(client.text("client_secret"), 200)
		time.Sleep(time.Hour)
		if a := use(client.text("client_secret"), 401); !strings.Contains(a.text("error_description"), "has expired") {
			t.Errorf("the secret was right: %s", a.Raw)
		}
		if a := use("another secret of the right length.", 401); strings.Contains(a.Raw, "expired") {
			t.Errorf("told to whoever does not know it: %s", a.Raw)
		}
		next := op.json(t, http.MethodPut, "/register/"+client.text("client_id"), update(client, document{"client_secret": nil}), bearer(client.text("registration_access_token")))
		if next.text("client_secret") == "" || next.text("client_secret") == client.text("client_secret") {
			t.Fatalf("update: %d %s", next.Status, next.Raw)
		}
		use(next.text("client_secret"), 200)
		use(client.text("client_secret"), 401)
	})
}
