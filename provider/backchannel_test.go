package provider_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// TestLogoutToken: Back-Channel Logout §2.4.
func TestLogoutToken(t *testing.T) {
	for _, alg := range everyAlgorithm {
		for _, subjects := range []string{"public", "pairwise"} {
			t.Run(alg+" "+subjects, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rp := receiver("rp")
					rp.IDTokenSignedResponseAlg, rp.SubjectType = alg, subjects
					op, rs := receiving(t, 0, provider.Config{Clients: []provider.Client{rp}}, nil)
					idToken := op.joins(t, "rp")
					time.Sleep(time.Minute) // the ID token is older
					op.signsOut(t, idToken)
					if len(rs.told["rp"]) != 1 {
						t.Fatalf("told: %v", rs.times())
					}
					token := rs.told["rp"][0]
					verifyAs(t, op, token)
					head := headerOf(t, token)
					delete(head, "kid")
					if diff := cmp.Diff(map[string]any{"alg": alg, "typ": "logout+jwt"}, head); diff != "" {
						t.Errorf("header (-want +got):\n%s", diff)
					}
					claims, id := claimsOf(t, token), claimsOf(t, idToken)
					if jti, _ := claims["jti"].(string); len(jti) < 22 {
						t.Errorf("jti %q", jti)
					}
					delete(claims, "jti")
					now := float64(time.Now().Unix())
					if diff := cmp.Diff(map[string]any{
						"iss": "http://op.localhost", "aud": "rp", "sub": id["sub"], "sid": id["sid"], "iat": now, "exp": now + 120,
						"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
					}, claims); diff != "" {
						t.Errorf("claims (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

// verifyAs checks a token's signature with the keys at /jwks.
func verifyAs(t *testing.T, op *inProcess, token string) {
	t.Helper()
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(op.do(t, http.MethodGet, "/jwks", nil, nil).Body.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	key := keys.Key(parsed.Headers[0].KeyID)
	if len(key) != 1 || parsed.Claims(key[0].Key, &map[string]any{}) != nil {
		t.Errorf("no published key verifies the token: %v", parsed.Headers)
	}
}

// TestLogoutTokenIsNoHint: nor an access token. Back-Channel Logout §4.1.
func TestLogoutTokenIsNoHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op, rs := receiving(t, 1, provider.Config{}, nil)
		op.signsOut(t, op.joins(t, "rp-0"))
		token := rs.told["rp-0"][0]
		if rec := op.do(t, http.MethodGet, "/logout?"+goodLogout(token).values().Encode(), nil, nil); rec.Code != http.StatusBadRequest {
			t.Errorf("as a hint: %d to %q", rec.Code, rec.Header().Get("Location"))
		}
		if got := op.userinfo(t, token); got != http.StatusUnauthorized {
			t.Errorf("at userinfo: %d", got)
		}
	})
}

// TestSignedOutPageSaysWhoWasTold: where the browser stays at the provider.
func TestSignedOutPageSaysWhoWasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for client, want := range map[string]string{
			"rp-0": "are told to end theirs", providertest.PublicClient: "An application that keeps a session of its own may",
		} {
			op, _ := receiving(t, 1, provider.Config{}, nil)
			var hint string
			if client == "rp-0" {
				hint = op.joins(t, "rp-0")
			} else {
				hint = op.token(t, redeem(op.code(t))).text("id_token")
			}
			rec := op.do(t, http.MethodGet, "/logout?"+url.Values{"id_token_hint": {hint}}.Encode(), nil, nil)
			if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), want) {
				t.Errorf("%s: %d %s", client, rec.Code, rec.Body)
			}
			rec = op.do(t, http.MethodGet, "/logout", nil, nil)
			if !strings.Contains(rec.Body.String(), "Nobody is signed in") {
				t.Errorf("again: %s", rec.Body)
			}
		}
	})
}

// TestBackChannelAnswers: which answers are worth a second try (§2.8).
func TestBackChannelAnswers(t *testing.T) {
	status := func(codes ...int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			code := codes[0]
			if len(codes) > 1 {
				codes = codes[1:]
			}
			w.WriteHeader(code)
		}
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		times  int
		log    string
	}{
		{"200", status(200), 1, "client told of the sign-out"},
		{"204", status(204), 1, "client told of the sign-out"},
		{"400", status(400), 2, "attempt=2 status=400"},
		{"400, then 200", status(400, 200), 2, `msg="client told of the sign-out" client=rp-0 attempt=2`},
		{"401", status(401), 1, "status=401"},
		{"403", status(403), 1, "status=403"},
		{"404", status(404), 1, "status=404"},
		{"405", status(405), 1, "status=405"},
		{"408, then 200", status(408, 200), 2, `msg="client told of the sign-out" client=rp-0 attempt=2`},
		{"429, then 204", status(429, 204), 2, `msg="client told of the sign-out" client=rp-0 attempt=2`},
		{"202, which is no success", status(202), 1, "status=202"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, 1, "redirect"},
		{"500", status(500), 2, "status=500"},
		{"503, then 200", status(503, 200), 2, `msg="client told of the sign-out" client=rp-0 attempt=2`},
		{"500, then 400", status(500, 400), 2, "attempt=2 status=400"},
		{"a connection that breaks", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 2, "gave no usable answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				op, rs := receiving(t, 1, provider.Config{}, tt.answer)
				op.signsOut(t, op.joins(t, "rp-0"))
				if got := rs.times()["rp-0"]; got != tt.times {
					t.Errorf("told %d times, want %d", got, tt.times)
				}
				if !strings.Contains(rs.log.String(), tt.log) {
					t.Errorf("the log has no %q:\n%s", tt.log, rs.log.String())
				}
				for _, token := range rs.told["rp-0"] {
					if strings.Contains(rs.log.String(), token) || strings.Contains(rs.log.String(), strings.Split(token, ".")[2]) {
						t.Errorf("the log has the token:\n%s", rs.log.String())
					}
				}
				if len(rs.told["rp-0"]) > 1 {
					first, second := claimsOf(t, rs.told["rp-0"][0]), claimsOf(t, rs.told["rp-0"][1])
					if first["jti"] == second["jti"] {
						t.Error("the second try has the jti of the first")
					}
				}
			})
		})
	}
}

// TestWhoIsTold: the clients of this session that can hear of it, each once.
func TestWhoIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storagetest.NewModel()
		op, rs := receiving(t, 4, provider.Config{Store: store}, nil)
		idToken := op.joins(t, "rp-0")
		op.joins(t, "rp-0")
		op.joins(t, "rp-1")
		op.joins(t, providertest.PublicClient)                                                     // registered no URI
		op.authorize(t, online().with(params{"client_id": "rp-2", "scope": "email", "nonce": ""})) // not signed in at
		sid, _ := claimsOf(t, idToken)["sid"].(string)
		gone := storage.SessionClient{SID: sid, ClientID: "removed", Subject: "alice", ExpiresAt: time.Now().Add(time.Hour)}
		if err := store.Commit(t.Context(), storage.Changes{SessionClients: []storage.SessionClient{gone}}); err != nil {
			t.Fatal(err)
		}
		laptop := op.cookies
		op.cookies = map[string]string{}
		elsewhere := op.joins(t, "rp-3") // alice's other browser
		op.cookies = laptop

		op.signsOut(t, idToken)
		if diff := cmp.Diff(map[string]int{"rp-0": 1, "rp-1": 1}, rs.times()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		op.cookies = map[string]string{}
		op.do(t, http.MethodGet, "/logout?"+goodLogout(elsewhere).values().Encode(), nil, nil)
		if rs.times()["rp-3"] != 0 {
			t.Error("told of the end of a session that this browser does not have")
		}
	})
}

// TestJoiningWhileSigningOut: a client that joins after the provider has looked
// at the session is told too, if the session was still there when it joined.
func TestJoiningWhileSigningOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
		op, rs := receiving(t, 2, provider.Config{Store: store}, nil)
		idToken := op.joins(t, "rp-0")
		session := provider.SecretID(op.cookies["op_session"])
		store.onCommit = func(c storage.Changes) error {
			if len(c.SignOut) == 0 {
				return nil
			}
			late := storage.SessionClient{SID: c.SignOut[0], ClientID: "rp-1", Subject: "alice", ExpiresAt: time.Now().Add(time.Hour)}
			return store.Store.Commit(t.Context(), storage.Changes{RequireSession: session, SessionClients: []storage.SessionClient{late}})
		}
		op.signsOut(t, idToken)
		if diff := cmp.Diff(map[string]int{"rp-0": 1, "rp-1": 1}, rs.times()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// TestAnotherUserIsTold: the clients of the browser's first user hear that
// another has signed in, and that one does not wait for them.
func TestAnotherUserIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op, rs := receiving(t, 2, provider.Config{}, func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) })
		first := claimsOf(t, op.joins(t, "rp-0"))
		op.authorize(t, online().with(params{"client_id": "rp-1", "prompt": "login"}))
		time.Sleep(time.Minute)
		if len(rs.times()) != 0 {
			t.Fatalf("told of a second login of the same user: %v", rs.times())
		}
		begin := time.Now()
		op.authorizeAs(t, "bob", online().with(params{"prompt": "login"}))
		if took := time.Since(begin); took >= time.Second {
			t.Errorf("bob waited %s", took)
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff(map[string]int{"rp-0": 1, "rp-1": 1}, rs.times()); diff != "" {
			t.Fatalf("told (-want +got):\n%s", diff)
		}
		if got := claimsOf(t, rs.told["rp-0"][0]); got["sub"] != first["sub"] || got["sid"] != first["sid"] {
			t.Errorf("told of %v at %v, not of %v at %v", got["sub"], got["sid"], first["sub"], first["sid"])
		}
	})
}

// TestSignOutWhateverItsClients: what keeps the clients from being told does not
// keep the user signed in.
func TestSignOutWhateverItsClients(t *testing.T) {
	t.Run("store", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := &brokenClients{Model: storagetest.NewModel()}
			op, rs := receiving(t, 1, provider.Config{Store: store}, nil)
			idToken := op.joins(t, "rp-0")
			store.broken = true
			op.signsOut(t, idToken)
			if !strings.Contains(rs.log.String(), "clients of an ended session are not told") {
				t.Errorf("log:\n%s", rs.log.String())
			}
		})
	})
	t.Run("address", func(t *testing.T) {
		called := false
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
		t.Cleanup(server.Close)
		rp := receiver("rp")
		rp.BackchannelLogoutURI = server.URL + "/logout"
		op := serving(t, provider.Config{Clients: append(providertest.DefaultClients(), rp)})
		op.signsOut(t, op.joins(t, "rp"))
		if called {
			t.Error("a private address was called without insecure_private_addresses")
		}
	})
}

// brokenClients is a store that cannot say which clients a session has.
type brokenClients struct {
	*storagetest.Model
	broken bool
}

func (s *brokenClients) SessionClients(ctx context.Context, sid string) ([]storage.SessionClient, error) {
	if s.broken {
		return nil, errors.New("broken")
	}
	return s.Model.SessionClients(ctx, sid)
}
