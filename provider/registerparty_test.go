package provider_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// TestRelyingPartyThatRegisters is a relying party of the usual libraries, which
// knows the issuer's URL and nothing else.
func TestRelyingPartyThatRegisters(t *testing.T) {
	for _, tt := range []struct {
		name  string
		body  document
		style oauth2.AuthStyle
		alg   string
	}{
		{"basic", nil, oauth2.AuthStyleInHeader, "RS256"},
		{"post", document{"token_endpoint_auth_method": "client_secret_post"}, oauth2.AuthStyleInParams, "RS256"},
		{"public", document{"token_endpoint_auth_method": "none"}, oauth2.AuthStyleInParams, "RS256"},
		{"pairwise, ES256", document{"subject_type": "pairwise", "id_token_signed_response_alg": "ES256"}, oauth2.AuthStyleInHeader, "ES256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			op := providertest.Start(t, nil)
			ctx := t.Context()
			issuer, err := oidc.NewProvider(ctx, op.URL())
			if err != nil {
				t.Fatal(err)
			}
			var metadata struct {
				Endpoint string `json:"registration_endpoint"`
			}
			if err := issuer.Claims(&metadata); err != nil {
				t.Fatal(err)
			}
			// 1. Register.
			body := smallest().with(document{"grant_types": []string{"authorization_code", "refresh_token"}}).with(tt.body)
			client := sendJSON(t, http.MethodPost, metadata.Endpoint, body, nil)
			endpoint := issuer.Endpoint()
			endpoint.AuthStyle = tt.style
			config := oauth2.Config{
				ClientID: client.text("client_id"), ClientSecret: client.text("client_secret"), Endpoint: endpoint,
				RedirectURL: providertest.RedirectURI, Scopes: []string{"openid", "email", "offline_access"},
			}
			// 2. Sign in.
			verifier := oauth2.GenerateVerifier()
			target := config.AuthCodeURL("some-state", oidc.Nonce("some-nonce"), oauth2.S256ChallengeOption(verifier))
			callback := providertest.NewBrowser(t).SignIn(target, "bob", "bob").Query()
			token, err := config.Exchange(ctx, callback.Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			raw, _ := token.Extra("id_token").(string)
			idToken, err := issuer.Verifier(&oidc.Config{ClientID: config.ClientID, SupportedSigningAlgs: []string{tt.alg}}).Verify(ctx, raw)
			if err != nil {
				t.Fatal(err)
			}
			info, err := issuer.UserInfo(ctx, oauth2.StaticTokenSource(token))
			if err != nil || info.Subject != idToken.Subject || info.Email != "bob@example.com" {
				t.Errorf("userinfo: %+v, %v", info, err)
			}
			// 3. Renew, then sign off.
			token.Expiry = token.Expiry.Add(-1e15) // long ago
			renewed, err := config.TokenSource(ctx, token).Token()
			if err != nil || renewed.AccessToken == token.AccessToken {
				t.Errorf("refresh: %v", err)
			}
			if a := manage(t, http.MethodDelete, client, nil); a.Status != http.StatusNoContent {
				t.Fatalf("delete: %d %s", a.Status, a.Raw)
			}
			if _, err := issuer.UserInfo(ctx, oauth2.StaticTokenSource(renewed)); err == nil {
				t.Error("the token outlives its client")
			}
		})
	}
}

// TestRegistrationLogsHoldNoSecrets: what succeeds and what fails, looked for
// in the log.
func TestRegistrationLogsHoldNoSecrets(t *testing.T) {
	var logs safeBuffer
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	op := serving(t, provider.Config{
		Store: store, Explain: true, Registration: provider.Registration{InitialAccessToken: initialToken},
		Logger: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})),
	})
	const guess = "guessed-token_0123456789"
	client := op.json(t, http.MethodPost, "/register", smallest(), bearer(initialToken))
	path, token := "/register/"+client.text("client_id"), client.text("registration_access_token")
	for _, broken := range []string{"", "Client", "Commit"} {
		if broken != "" {
			store.fail(broken)
		}
		for _, presented := range []string{initialToken, token, guess} {
			op.json(t, http.MethodPost, "/register", smallest(), bearer(presented))
			op.json(t, http.MethodGet, path+"?access_token="+presented, nil, bearer(presented))
			op.json(t, http.MethodPut, path, update(client, nil), bearer(presented))
			op.json(t, http.MethodPut, path, update(client, document{"client_secret": guess}), bearer(presented))
			op.json(t, http.MethodPut, path, update(client, document{"redirect_uris": nil}), bearer(presented))
		}
		store.repair()
	}
	op.json(t, http.MethodDelete, path, nil, bearer(token))
	got := logs.String()
	for _, line := range []string{"client registered", "client registration replaced", "client deleted", "request refused", "request failed"} {
		if !strings.Contains(got, line) {
			t.Errorf("the log does not say %q", line)
		}
	}
	for name, secret := range map[string]string{
		"initial access token": initialToken, "registration access token": token, "client secret": client.text("client_secret"), "guess": guess,
	} {
		if secret == "" || strings.Contains(got, secret) {
			t.Errorf("the log holds the %s %q", name, secret)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// FuzzRegister: a document is refused by name, or registered so that nothing of
// it can do harm; what came of it can be read and written back unchanged.
func FuzzRegister(f *testing.F) {
	add := func(d document) {
		raw, err := json.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	add(smallest())
	add(publicDocument())
	add(everyMember())
	add(smallest().with(document{"token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
	}}}}))
	add(smallest().with(document{"token_endpoint_auth_method": "client_secret_jwt", "subject_type": "pairwise", "default_max_age": 1e6}))
	for _, text := range []string{
		``, `{}`, `[]`, `null`, `{"redirect_uris":["javascript:alert(1)"]}`, `{"redirect_uris":["https://a/","https://a/#b"]}`,
		`{"redirect_uris":["com.example:/x"],"application_type":"native"}`, `{"redirect_uris":["HTTP://LOCALHOST:80/%2e%2e/"]}`,
		`{"redirect_uris":["https://a"],"redirect_uris":["https://b"]}`, `{"redirect_uris":["https://a\u0000"]}`,
		`{"redirect_uris":["https://a"],"client_name":"\ud800"}`, `{"redirect_uris":["https://a"],"jwks":{"keys":[{"a":1e400}]}}`,
		`{"redirect_uris":["https://a"],"x":[[[[[[[[[[[[[[]]]]]]]]]]]]]]}`, `{"redirect_uris":["https://a"],"default_max_age":9223372036854775807}`,
		`{"client_id":"spa","client_secret":"x","redirect_uris":["http://[::1]:1/"]}`, `{"software_statement":"e30.e30."}`,
	} {
		f.Add(text)
	}
	op := &inProcess{cookies: map[string]string{}}
	p, err := provider.New(f.Context(), provider.Config{
		Issuer: "http://op.localhost", Store: storagetest.NewModel(), FixedKeys: fixedKeys(), Clients: providertest.DefaultClients(),
		Registration: provider.Registration{MaxClients: 1 << 30},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = p.Close() })
	op.handler = p
	f.Fuzz(func(t *testing.T, text string) {
		a := op.json(t, http.MethodPost, "/register", json.RawMessage(text), nil)
		switch a.Status {
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			if a.text("error") == "" || a.text("error_description") == "" || a.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("refused without a word: %d %s", a.Status, a.Raw)
			}
			return
		case http.StatusCreated:
		default:
			t.Fatalf("answer %d %s", a.Status, a.Raw)
		}
		uris, _ := a.Body["redirect_uris"].([]any)
		for _, uri := range uris {
			text := strings.ToLower(uri.(string))
			for _, bad := range []string{"javascript:", "data:", "vbscript:", "blob:", "file:"} {
				if strings.HasPrefix(text, bad) {
					t.Fatalf("registered %q", text)
				}
			}
			if strings.ContainsAny(text, "#\r\n\x00 ") {
				t.Fatalf("registered %q", text)
			}
		}
		// What came of it is a registration, too.
		auth := bearer(a.text("registration_access_token"))
		path := "/register/" + a.text("client_id")
		read := op.answer(t, http.MethodGet, path, nil, auth)
		var asWritten map[string]json.RawMessage
		if err := json.Unmarshal([]byte(read.Raw), &asWritten); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"} {
			delete(asWritten, name)
		}
		put := op.json(t, http.MethodPut, path, asWritten, auth)
		if read.Status != http.StatusOK || put.Status != http.StatusOK || put.Raw != read.Raw {
			t.Fatalf("read %d %s\nwritten back %d %s", read.Status, read.Raw, put.Status, put.Raw)
		}
		if gone := op.answer(t, http.MethodDelete, path, nil, auth); gone.Status != http.StatusNoContent {
			t.Fatalf("delete: %d %s", gone.Status, gone.Raw)
		}
	})
}
