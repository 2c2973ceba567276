package provider_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// machine is a token request that needs no user.
var machine = params{"grant_type": "client_credentials"}

// TestProofAtTheTokenEndpoint: each check of RFC 9449 §4.3 alone refuses.
func TestProofAtTheTokenEndpoint(t *testing.T) {
	op := providertest.Start(t, nil)
	key, target := newDPoPKey(t), op.URL()+"/token"
	for _, tt := range badProofs(t) {
		t.Run(tt.name, func(t *testing.T) {
			proof := tt.make(t, key, http.MethodPost, target, "")
			a := postForm(t, target, machine, both(asWeb, withProof(proof)))
			wantError(t, a, 400, "invalid_dpop_proof")
			if got := a.text("error_description"); !strings.Contains(got, tt.want) {
				t.Errorf("description %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("two headers", func(t *testing.T) {
		a := postForm(t, target, machine, both(asWeb, func(r *http.Request) {
			for range 2 {
				r.Header.Add("DPoP", key.proof(t, http.MethodPost, target, "", nil))
			}
		}))
		wantError(t, a, 400, "invalid_dpop_proof")
	})
	t.Run("control", func(t *testing.T) {
		a := postForm(t, target, machine, both(asWeb, withProof(key.proof(t, http.MethodPost, target, "", nil))))
		wantBound(t, a, key)
	})
}

// wantBound checks that a token answer has an access token bound to a key.
func wantBound(t *testing.T, a answer, key dpopKey) {
	t.Helper()
	if a.Status != http.StatusOK || a.text("token_type") != "DPoP" {
		t.Fatalf("answer %d %s; want a token of type DPoP", a.Status, a.Raw)
	}
	cnf, _ := claimsOf(t, a.text("access_token"))["cnf"].(map[string]any)
	if got := cnf["jkt"]; got != key.thumbprint(t) || len(cnf) != 1 {
		t.Errorf("cnf %v, want jkt %q", cnf, key.thumbprint(t))
	}
}

// TestProofAlgorithms: every algorithm of the metadata works.
func TestProofAlgorithms(t *testing.T) {
	op := providertest.Start(t, nil)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := []dpopKey{newDPoPKey(t), {"EdDSA", ed}, {"Ed25519", ed}, {"PS256", newRSAKey(t)}}
	announced := get(t, op.URL()+openIDConfiguration, nil).Body["dpop_signing_alg_values_supported"].([]any)
	for _, key := range keys {
		if !slices.Contains(announced, any(key.alg)) {
			t.Errorf("%s is not announced", key.alg)
		}
		proof := key.proof(t, http.MethodPost, op.URL()+"/token", "", nil)
		wantBound(t, postForm(t, op.URL()+"/token", machine, both(asWeb, withProof(proof))), key)
	}
	if len(announced) != len(keys) {
		t.Errorf("announced are %v", announced)
	}
}

// TestProofsThatMeanTheSame: what RFC 9449 §4.3 lets a client write otherwise.
func TestProofsThatMeanTheSame(t *testing.T) {
	op := providertest.Start(t, nil)
	key, target := newDPoPKey(t), op.URL()+"/token"
	host, path := target[:strings.LastIndexByte(target, '/')], "/token"
	for name, change := range map[string]func(jws){
		"htu with a query":      withClaim("htu", target+"?a=b"),
		"htu with a fragment":   withClaim("htu", target+"#a"),
		"htu in capitals":       withClaim("htu", strings.ToUpper(host)+path),
		"htu with dot segments": withClaim("htu", host+"/a/../."+path),
		"htu with an escape":    withClaim("htu", host+"/%74oken"),
		"dot segment as escape": withClaim("htu", host+"/a/%2e%2E"+path),
		"nbf and exp": func(p jws) {
			p.claims["nbf"] = time.Now().Unix()
			p.claims["exp"] = time.Now().Add(5 * time.Minute).Unix()
		},
		"other members": func(p jws) {
			p.claims["extra"] = map[string]any{"a": 1}
			p.header["extra"] = "x"
			p.header["kid"] = "k"
		},
		"a nonce that nobody set": withClaim("nonce", "x"),
		"ath without a token":     withClaim("ath", "x"),
		"iat ten seconds ago":     withClaim("iat", time.Now().Add(-10*time.Second).Unix()),
		"iat in ten seconds":      withClaim("iat", time.Now().Add(10*time.Second).Unix()),
		"iat with a fraction":     withClaim("iat", float64(time.Now().UnixMilli())/1000),
		"jti of 256 bytes":        withClaim("jti", strings.Repeat("x", 256)),
		"jwk for verifying": func(p jws) {
			jwk := p.header["jwk"].(map[string]any)
			jwk["use"] = "sig"
			jwk["key_ops"] = []string{"verify"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			proof := key.proof(t, http.MethodPost, target, "", change)
			wantBound(t, postForm(t, target, machine, both(asWeb, withProof(proof))), key)
		})
	}
	t.Run("header name in capitals", func(t *testing.T) {
		a := postForm(t, target, machine, both(asWeb, func(r *http.Request) {
			r.Header["DPOP"] = []string{key.proof(t, http.MethodPost, target, "", nil)} // goes out as it is
		}))
		wantBound(t, a, key)
	})
}

// TestProofOfTheIssuersURL: htu is compared with the issuer, whatever Host says,
// and with the default port as without it.
func TestProofOfTheIssuersURL(t *testing.T) {
	key := newDPoPKey(t)
	clients := providertest.DefaultClients()
	op := serving(t, provider.Config{Issuer: "https://op.example/tenant", Clients: clients})
	for htu, ok := range map[string]bool{
		"https://op.example/tenant/token":      true,
		"https://op.example:443/tenant/token":  true,
		"https://op.example:/tenant/token":     true,
		"https://op.example:8443/tenant/token": false,
		"http://op.example/tenant/token":       false,
		"https://op.example/token":             false,
		"https://op.localhost/tenant/token":    false, // the Host header of the request
		"https://op.example//tenant/token":     false,
	} {
		proof := key.proof(t, http.MethodPost, htu, "", nil)
		a := op.answer(t, http.MethodPost, "/tenant/token", machine.values(), both(asWeb, withProof(proof)))
		if ok {
			wantBound(t, a, key)
		} else {
			wantError(t, a, 400, "invalid_dpop_proof")
		}
	}
}

// TestProofsAge: the window of RFC 9449 §11.1, to the second.
func TestProofsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op, key := newInProcess(t), newDPoPKey(t)
		for _, tt := range []struct {
			age time.Duration
			ok  bool
		}{{-31 * time.Second, false}, {-30 * time.Second, true}, {0, true}, {59 * time.Second, true}, {60 * time.Second, false}} {
			proof := key.proof(t, http.MethodPost, "http://op.localhost/token", "", withClaim("iat", time.Now().Add(-tt.age).Unix()))
			a := op.answer(t, http.MethodPost, "/token", machine.values(), both(asWeb, withProof(proof)))
			if ok := a.Status == http.StatusOK; ok != tt.ok {
				t.Errorf("%s old: %d %s", tt.age, a.Status, a.Raw)
			}
		}
	})
}

// TestProofsOwnLimits: exp and nbf, where a proof has them, to the second: RFC
// 7519 §4.1.4, §4.1.5. They hold beside a nonce, which says only when a proof was
// made.
func TestProofsOwnLimits(t *testing.T) {
	for name, config := range map[string]provider.Config{"without nonces": {}, "with nonces": {DPoPNonce: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				op, key := serving(t, config), newDPoPKey(t)
				const target = "http://op.localhost/token"
				ask := func(change func(jws)) answer {
					proof := key.proof(t, http.MethodPost, target, "", change)
					return op.answer(t, http.MethodPost, "/token", machine.values(), both(asWeb, withProof(proof)))
				}
				nonce := ask(nil).Header.Get("DPoP-Nonce")
				for _, tt := range []struct {
					claim string
					from  time.Duration // now
					ok    bool
				}{
					{"exp", -30 * time.Second, false},
					{"exp", -29 * time.Second, true},
					{"exp", time.Hour, true},
					{"nbf", 31 * time.Second, false},
					{"nbf", 30 * time.Second, true},
					{"nbf", -time.Hour, true},
				} {
					a := ask(func(p jws) { p.claims[tt.claim], p.claims["nonce"] = time.Now().Add(tt.from).Unix(), nonce })
					if !tt.ok {
						wantError(t, a, 400, "invalid_dpop_proof")
					} else if a.Status != http.StatusOK {
						t.Errorf("%s %s from now: %d %s", tt.claim, tt.from, a.Status, a.Raw)
					}
				}
			})
		})
	}
}

// TestProofIsForOneUse: as long as a proof is young enough, a second use is
// refused (RFC 9449 §11.1); the jti alone does not count, since another client
// may have chosen the same.
func TestProofIsForOneUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op, key, other := newInProcess(t), newDPoPKey(t), newDPoPKey(t)
		ask := func(proof string) answer {
			return op.answer(t, http.MethodPost, "/token", machine.values(), both(asWeb, withProof(proof)))
		}
		const target = "http://op.localhost/token"
		// The longest life: its iat is as far ahead as it may be.
		change := func(p jws) { p.claims["jti"] = "one"; p.claims["iat"] = time.Now().Add(30 * time.Second).Unix() }
		proof := key.proof(t, http.MethodPost, target, "", change)
		wantBound(t, ask(proof), key)
		wantBound(t, ask(other.proof(t, http.MethodPost, target, "", change)), other)
		for range 9 {
			a := ask(proof)
			wantError(t, a, 400, "invalid_dpop_proof")
			if !strings.Contains(a.Raw, "used before") {
				t.Errorf("answer %s", a.Raw)
			}
			wantError(t, ask(key.proof(t, http.MethodPost, target, "", change)), 400, "invalid_dpop_proof") // the same jti
			time.Sleep(10 * time.Second)
		}
		a := ask(proof)
		wantError(t, a, 400, "invalid_dpop_proof")
		if !strings.Contains(a.Raw, "not made just now") {
			t.Errorf("after its life: %s", a.Raw)
		}
	})
}

// TestProofIsKeptFromStrangers: a request whose client is unknown spends nothing,
// so that a stranger cannot fill the store.
func TestProofIsKeptFromStrangers(t *testing.T) {
	op := providertest.Start(t, nil)
	key, target := newDPoPKey(t), op.URL()+"/token"
	proof := withProof(key.proof(t, http.MethodPost, target, "", nil))
	wantError(t, postForm(t, target, machine, both(proof, func(r *http.Request) { r.SetBasicAuth("stranger", "x") })), 401, "invalid_client")
	wantBound(t, postForm(t, target, machine, both(proof, asWeb)), key)
	wantError(t, postForm(t, target, machine, both(proof, asWeb)), 400, "invalid_dpop_proof")
}

// TestParallelUsesOfAProof: one of 64 succeeds.
func TestParallelUsesOfAProof(t *testing.T) {
	op := providertest.Start(t, nil)
	key, target := newDPoPKey(t), op.URL()+"/token"
	proof := withProof(key.proof(t, http.MethodPost, target, "", nil))
	answers := make([]answer, 64)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			<-start
			answers[i] = postForm(t, target, machine, both(asWeb, proof))
		})
	}
	close(start)
	all.Wait()
	won := 0
	for _, a := range answers {
		if a.Status == http.StatusOK {
			won++
			continue
		}
		wantError(t, a, 400, "invalid_dpop_proof")
	}
	if won != 1 {
		t.Errorf("%d of %d succeeded, want exactly one", won, len(answers))
	}
}

// TestProofStoreFailure: what cannot be noted cannot be used.
func TestProofStoreFailure(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	key, target := newDPoPKey(t), op.URL()+"/token"
	store.fail("Commit")
	proof := withProof(key.proof(t, http.MethodPost, target, "", nil))
	wantUnavailable(t, postForm(t, target, machine, both(asWeb, proof)))
	store.repair()
	wantBound(t, postForm(t, target, machine, both(asWeb, proof)), key)
}

// TestAccessTokenWithoutProofIsABearerToken: as for a client that knows no DPoP.
func TestAccessTokenWithoutProofIsABearerToken(t *testing.T) {
	op := providertest.Start(t, nil)
	a := postForm(t, op.URL()+"/token", machine, asWeb)
	if a.text("token_type") != "Bearer" || claimsOf(t, a.text("access_token"))["cnf"] != nil {
		t.Errorf("answer %s", a.Raw)
	}
}
