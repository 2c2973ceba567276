package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// boundToken signs alice in and returns an access token that is bound to key.
func boundToken(t *testing.T, op *providertest.Server, client string, key dpopKey) string {
	t.Helper()
	code := signIn(t, op, codeRequest().with(params{"client_id": client})).Get("code")
	a := tokenRequest(t, op, key, redeem(code).with(params{"client_id": client}), nil)
	if a.Status != http.StatusOK {
		t.Fatalf("redeem: %d %s", a.Status, a.Raw)
	}
	return a.text("access_token")
}

// wantDPoPChallenge checks an error about a bound token: RFC 9449 §7.1.
func wantDPoPChallenge(t *testing.T, op *providertest.Server, a answer, code string) {
	t.Helper()
	if a.Status != http.StatusUnauthorized || a.text("error") != code {
		t.Errorf("answer: %d %s; want 401 %s", a.Status, a.Raw, code)
	}
	challenges := a.Header.Values("WWW-Authenticate")
	if len(challenges) != 2 || challenges[0] != `Bearer realm="`+op.URL()+`"` {
		t.Fatalf("challenges %q", challenges)
	}
	if got := challenges[1]; !strings.HasPrefix(got, `DPoP realm="`+op.URL()+`", error="`+code+`", error_description="`) || !strings.HasSuffix(got, `", algs="ES256 Ed25519 EdDSA PS256"`) {
		t.Errorf("challenge %q", got)
	}
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
}

// TestUserInfoTakesTheBoundToken: in both formats, by both methods, with the
// scheme in any case of letters (RFC 9110 §11.1).
func TestUserInfoTakesTheBoundToken(t *testing.T) {
	op := startWithMore(t)
	key, target := newDPoPKey(t), op.URL()+"/userinfo"
	for _, client := range []string{providertest.PublicClient, opaqueClient} {
		token := boundToken(t, op, client, key)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			for _, scheme := range []string{"DPoP", "dpop", "DPOP", "dPOP"} {
				a := userinfoRequest(t, op, method, nil, func(r *http.Request) {
					r.Header.Set("Authorization", scheme+" "+token)
					r.Header.Set("DPoP", key.proof(t, method, target, token, nil))
				})
				if a.Status != http.StatusOK || a.text("sub") == "" {
					t.Errorf("%s, %s %s: %d %s", client, method, scheme, a.Status, a.Raw)
				}
			}
		}
	}
}

// TestProofAtUserInfo: each check of RFC 9449 §4.3 alone refuses.
func TestProofAtUserInfo(t *testing.T) {
	op := providertest.Start(t, nil)
	key, target := newDPoPKey(t), op.URL()+"/userinfo"
	token := boundToken(t, op, providertest.PublicClient, key)
	const ath = "ath of the DPoP proof is not the hash of the access token."
	tests := append(badProofs(t),
		changedProof("no ath", withoutMember("ath"), ath),
		changedProof("ath of another token", withClaim("ath", challenge("another")), ath),
		changedProof("ath that is the token", withClaim("ath", token), ath),
		badProof{"a proof for the token endpoint", func(t *testing.T, k dpopKey, _, _, _ string) string {
			t.Helper()
			return k.proof(t, http.MethodPost, op.URL()+"/token", "", nil)
		}, "htm of the DPoP proof is not the method of the request."},
	)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proof := tt.make(t, key, http.MethodGet, target, token)
			a := get(t, target, dpop(token, proof))
			wantDPoPChallenge(t, op, a, "invalid_dpop_proof")
			if got := a.text("error_description"); !strings.Contains(got, tt.want) {
				t.Errorf("description %q, want %q", got, tt.want)
			}
		})
	}
	control := get(t, target, dpop(token, key.proof(t, http.MethodGet, target, token, nil)))
	if control.Status != http.StatusOK {
		t.Errorf("control: %d %s", control.Status, control.Raw)
	}
}

// TestUserInfoRefusesWhoLacksTheKey: RFC 9449 §7.1, §7.2.
func TestUserInfoRefusesWhoLacksTheKey(t *testing.T) {
	op := startWithMore(t)
	key, other, target := newDPoPKey(t), newDPoPKey(t), op.URL()+"/userinfo"
	for _, client := range []string{providertest.PublicClient, opaqueClient} {
		token := boundToken(t, op, client, key)
		used := key.proof(t, http.MethodGet, target, token, nil)
		if a := get(t, target, dpop(token, used)); a.Status != http.StatusOK {
			t.Fatalf("control: %d %s", a.Status, a.Raw)
		}
		for _, tt := range []struct {
			name, code string
			answer     answer
		}{
			{"as a bearer token", "invalid_token", get(t, target, bearer(token))},
			{"as a bearer token with a proof", "invalid_token", get(t, target, both(bearer(token), withProof(key.proof(t, http.MethodGet, target, token, nil))))},
			{"in the body", "invalid_token", postForm(t, target, params{"access_token": token}, nil)},
			{"in the body with a proof", "invalid_token", postForm(t, target, params{"access_token": token}, withProof(key.proof(t, http.MethodPost, target, token, nil)))},
			{"without a proof", "invalid_dpop_proof", get(t, target, func(r *http.Request) { r.Header.Set("Authorization", "DPoP "+token) })},
			{"with another key", "invalid_token", get(t, target, dpop(token, other.proof(t, http.MethodGet, target, token, nil)))},
			{"with a proof that was used", "invalid_dpop_proof", get(t, target, dpop(token, used))},
			{"with two proofs", "invalid_dpop_proof", get(t, target, func(r *http.Request) {
				r.Header.Set("Authorization", "DPoP "+token)
				r.Header["Dpop"] = []string{key.proof(t, http.MethodGet, target, token, nil), key.proof(t, http.MethodGet, target, token, nil)}
			})},
			{"dead", "invalid_token", get(t, target, dpop(tamper(token, 0), key.proof(t, http.MethodGet, target, tamper(token, 0), nil)))},
		} {
			t.Run(client+", "+tt.name, func(t *testing.T) { wantDPoPChallenge(t, op, tt.answer, tt.code) })
		}
	}
}

// TestUserInfoRefusesAProofForABearerToken: the scheme DPoP is for bound tokens.
// A proof beside a bearer token does no harm.
func TestUserInfoRefusesAProofForABearerToken(t *testing.T) {
	op := providertest.Start(t, nil)
	key, target := newDPoPKey(t), op.URL()+"/userinfo"
	token := tokensFor(t, op, codeRequest()).text("access_token")
	wantDPoPChallenge(t, op, get(t, target, dpop(token, key.proof(t, http.MethodGet, target, token, nil))), "invalid_token")
	if a := get(t, target, both(bearer(token), withProof("nonsense"))); a.Status != http.StatusOK {
		t.Errorf("with a header that nobody asked for: %d %s", a.Status, a.Raw)
	}
}

// TestUserInfoOffersBothSchemes: who comes without a token, or with a dead one,
// learns of both (RFC 9449 §7.2).
func TestUserInfoOffersBothSchemes(t *testing.T) {
	op := providertest.Start(t, nil)
	for name, a := range map[string]answer{
		"no token": get(t, op.URL()+"/userinfo", nil),
		"dead":     get(t, op.URL()+"/userinfo", bearer("dead")),
	} {
		challenges := a.Header.Values("WWW-Authenticate")
		if len(challenges) != 2 || !strings.HasPrefix(challenges[0], "Bearer ") || challenges[1] != `DPoP realm="`+op.URL()+`", algs="ES256 Ed25519 EdDSA PS256"` {
			t.Errorf("%s: challenges %q", name, challenges)
		}
	}
	for _, header := range []string{"DPoP", "DPoP ", "DPoP  "} {
		a := get(t, op.URL()+"/userinfo", func(r *http.Request) { r.Header.Set("Authorization", header) })
		if a.Status != http.StatusBadRequest || a.text("error") != "invalid_request" {
			t.Errorf("%q: %d %s", header, a.Status, a.Raw)
		}
	}
}

// TestBoundTokenEndsAsOthersDo: revoked and expired ones, with good proofs.
func TestBoundTokenEndsAsOthersDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := providertest.DefaultClients()
		clients[0].Lifetimes = &provider.Lifetimes{AccessToken: provider.Duration(30 * time.Second)}
		op, key := serving(t, provider.Config{Clients: clients}), newDPoPKey(t)
		proof := key.proof(t, http.MethodPost, "http://op.localhost/token", "", nil)
		token := op.answer(t, http.MethodPost, "/token", redeem(op.code(t)).values(), withProof(proof)).text("access_token")
		ask := func() answer {
			return op.answer(t, http.MethodGet, "/userinfo", nil, dpop(token, key.proof(t, http.MethodGet, "http://op.localhost/userinfo", token, nil)))
		}
		time.Sleep(29 * time.Second)
		if a := ask(); a.Status != http.StatusOK {
			t.Errorf("after 29 s: %d %s", a.Status, a.Raw)
		}
		time.Sleep(time.Second)
		if a := ask(); a.Status != http.StatusUnauthorized || a.text("error") != "invalid_token" {
			t.Errorf("after 30 s: %d %s", a.Status, a.Raw)
		}
	})
}
