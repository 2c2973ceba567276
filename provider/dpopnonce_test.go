package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
)

// askWithNonce sends a token request with a proof that carries a nonce, "" for
// none, and returns the answer and the nonce that came with it.
func askWithNonce(t *testing.T, op *inProcess, key dpopKey, nonce string, change func(jws)) (answer, string) {
	t.Helper()
	proof := key.proof(t, http.MethodPost, "http://op.localhost/token", "", func(p jws) {
		if nonce != "" {
			p.claims["nonce"] = nonce
		}
		if change != nil {
			change(p)
		}
	})
	a := op.answer(t, http.MethodPost, "/token", machine.values(), both(asWeb, withProof(proof)))
	return a, a.Header.Get("DPoP-Nonce")
}

// TestNonceAtTheTokenEndpoint: RFC 9449 §8, over time. Each answer gives the
// newest nonce to who does not have it.
func TestNonceAtTheTokenEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Now().Truncate(5 * time.Minute).Add(5 * time.Minute))) // a turn begins
		op, key := serving(t, provider.Config{DPoPNonce: true}), newDPoPKey(t)

		a, first := askWithNonce(t, op, key, "", nil)
		wantError(t, a, 400, "use_dpop_nonce")
		if len(first) < 22 {
			t.Fatalf("DPoP-Nonce %q", first)
		}
		for _, wrong := range []string{"x", first + "x", first[1:], strings.ToLower(first)} {
			a, next := askWithNonce(t, op, key, wrong, nil)
			wantError(t, a, 400, "use_dpop_nonce")
			if next != first {
				t.Errorf("DPoP-Nonce %q, want %q", next, first)
			}
		}
		good := func(nonce, wantNext string) {
			t.Helper()
			a, next := askWithNonce(t, op, key, nonce, nil)
			wantBound(t, a, key)
			if next != wantNext {
				t.Errorf("DPoP-Nonce %q, want %q", next, wantNext)
			}
		}
		good(first, "")
		time.Sleep(5*time.Minute - time.Second)
		good(first, "")

		// The next turn: the old nonce is good for another, and the new one comes with the answer.
		time.Sleep(time.Second)
		_, second := askWithNonce(t, op, key, "", nil)
		if second == first || second == "" {
			t.Fatalf("DPoP-Nonce %q after %q", second, first)
		}
		good(first, second)
		good(second, "")
		time.Sleep(5*time.Minute - time.Second)
		good(first, second)
		time.Sleep(time.Second)
		a, _ = askWithNonce(t, op, key, first, nil)
		wantError(t, a, 400, "use_dpop_nonce")
	})
}

// TestNonceTellsTheTime: where there are nonces, the client's clock does not
// count (RFC 9449 §4.3), but the proof is for one use all the same, as long as
// its nonce lives.
func TestNonceTellsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Now().Truncate(5 * time.Minute).Add(5 * time.Minute)))
		op, key := serving(t, provider.Config{DPoPNonce: true}), newDPoPKey(t)
		_, nonce := askWithNonce(t, op, key, "", nil)
		for _, off := range []time.Duration{-time.Hour, time.Hour} {
			a, _ := askWithNonce(t, op, key, nonce, withClaim("iat", time.Now().Add(off).Unix()))
			wantBound(t, a, key)
		}
		a, _ := askWithNonce(t, op, key, nonce, withoutMember("iat"))
		wantError(t, a, 400, "invalid_dpop_proof")

		proof := key.proof(t, http.MethodPost, "http://op.localhost/token", "", withClaim("nonce", nonce))
		ask := func() answer {
			return op.answer(t, http.MethodPost, "/token", machine.values(), both(asWeb, withProof(proof)))
		}
		wantBound(t, ask(), key)
		for range 10 {
			wantError(t, ask(), 400, "invalid_dpop_proof")
			time.Sleep(time.Minute - time.Millisecond)
		}
		time.Sleep(time.Second)
		wantError(t, ask(), 400, "use_dpop_nonce")
	})
}

// TestNonceIsTheStores: it is good after a restart, and no other provider's is.
func TestNonceIsTheStores(t *testing.T) {
	store := openStore(t)
	key := newDPoPKey(t)
	_, nonce := askWithNonce(t, serving(t, provider.Config{DPoPNonce: true, Store: store}), key, "", nil)
	a, _ := askWithNonce(t, serving(t, provider.Config{DPoPNonce: true, Store: store}), key, nonce, nil)
	wantBound(t, a, key)
	a, _ = askWithNonce(t, serving(t, provider.Config{DPoPNonce: true}), key, nonce, nil)
	wantError(t, a, 400, "use_dpop_nonce")
}

// TestNonceAtUserInfo: RFC 9449 §9.
func TestNonceAtUserInfo(t *testing.T) {
	op, key := serving(t, provider.Config{DPoPNonce: true}), newDPoPKey(t)
	_, nonce := askWithNonce(t, op, key, "", nil)
	proof := key.proof(t, http.MethodPost, "http://op.localhost/token", "", withClaim("nonce", nonce))
	token := op.answer(t, http.MethodPost, "/token", redeem(op.code(t)).values(), withProof(proof)).text("access_token")
	ask := func(change func(jws)) answer {
		return op.answer(t, http.MethodGet, "/userinfo", nil, dpop(token, key.proof(t, http.MethodGet, "http://op.localhost/userinfo", token, change)))
	}
	a := ask(nil)
	challenges := a.Header.Values("WWW-Authenticate")
	if a.Status != http.StatusUnauthorized || a.text("error") != "use_dpop_nonce" || a.Header.Get("DPoP-Nonce") == "" ||
		len(challenges) != 2 || !strings.Contains(challenges[1], `DPoP realm="http://op.localhost", error="use_dpop_nonce"`) {
		t.Errorf("answer %d %s, challenges %q", a.Status, a.Raw, challenges)
	}
	if a := ask(withClaim("nonce", a.Header.Get("DPoP-Nonce"))); a.Status != http.StatusOK {
		t.Errorf("with the nonce: %d %s", a.Status, a.Raw)
	}
}

// TestNoNonceUnlessAskedFor: nonces are off by default, and concern DPoP alone.
func TestNoNonceUnlessAskedFor(t *testing.T) {
	key := newDPoPKey(t)
	a, nonce := askWithNonce(t, serving(t, provider.Config{}), key, "", nil)
	wantBound(t, a, key)
	if nonce != "" {
		t.Errorf("DPoP-Nonce %q", nonce)
	}
	op := serving(t, provider.Config{DPoPNonce: true})
	for _, form := range []url.Values{machine.values(), {}} {
		a := op.answer(t, http.MethodPost, "/token", form, asWeb)
		if got := a.Header.Get("DPoP-Nonce"); got != "" {
			t.Errorf("DPoP-Nonce %q for who sends no proof", got)
		}
	}
}

// TestNonceWithAPushedRequest: RFC 9449 §10.1, as at the token endpoint.
func TestNonceWithAPushedRequest(t *testing.T) {
	op, key := serving(t, provider.Config{DPoPNonce: true}), newDPoPKey(t)
	push := func(change func(jws)) answer {
		proof := key.proof(t, http.MethodPost, "http://op.localhost/par", "", change)
		return op.answer(t, http.MethodPost, "/par", codeRequest().values(), withProof(proof))
	}
	a := push(nil)
	wantError(t, a, 400, "use_dpop_nonce")
	if a := push(withClaim("nonce", a.Header.Get("DPoP-Nonce"))); a.Status != http.StatusCreated {
		t.Errorf("with the nonce: %d %s", a.Status, a.Raw)
	}
}
