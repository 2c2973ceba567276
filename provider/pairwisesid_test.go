package provider_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// inSectors are clients that hear of sign-outs by both channels: rp-0 and rp-1
// in one sector, rp-2 in another, and rp-public in none.
func inSectors() []provider.Client {
	clients := []provider.Client{receiver("rp-0"), receiver("rp-1"), receiver("rp-2"), receiver("rp-public")}
	for i := range clients {
		c := &clients[i]
		c.FrontchannelLogoutURI = "http://rp.localhost:1/ended?of=" + c.ID
		c.GrantTypes, c.Audience = []string{"authorization_code", "implicit", "refresh_token"}, []string{resourceAudience}
		c.ResponseTypes = []string{"code", "code id_token token"}
		if c.ID != "rp-public" {
			c.SubjectType = "pairwise"
		}
	}
	clients[2].SectorIdentifierURI = "https://sector.example/uris.json"
	return append(clients, moreClients()[3]) // the resource server
}

// endsSession signs out and returns what the frames of each client are told.
func (op *inProcess) endsSession(t *testing.T, idToken string) map[string]url.Values {
	t.Helper()
	rec := op.do(t, http.MethodGet, "/logout?"+goodLogout(idToken).values().Encode(), nil, nil)
	told := map[string]url.Values{}
	for _, frame := range elements(t, &providertest.Page{Body: rec.Body.String()}, "iframe") {
		query := mustQuery(t, frame["src"])
		told[query.Get("of")] = query
	}
	return told
}

// TestPairwiseSessions: one name for each sector, and the same one wherever the
// client hears of the session (OIDC Core §8.1, Back-Channel Logout §2.1).
func TestPairwiseSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op, rs := receiving(t, 0, provider.Config{Clients: inSectors()}, nil)
		names := func() map[string]any {
			sids := map[string]any{}
			for _, client := range []string{"rp-0", "rp-1", "rp-2", "rp-public"} {
				sids[client] = claimsOf(t, op.joins(t, client))["sid"]
			}
			return sids
		}
		first := names()
		if first["rp-0"] != first["rp-1"] {
			t.Errorf("one sector, two names: %v", first)
		}
		if first["rp-0"] == first["rp-2"] || first["rp-0"] == first["rp-public"] || first["rp-2"] == first["rp-public"] {
			t.Errorf("the sectors share a name: %v", first)
		}
		if diff := cmp.Diff(first, names()); diff != "" {
			t.Errorf("the names have changed (-before +now):\n%s", diff)
		}
		frames := op.endsSession(t, op.joins(t, "rp-2"))
		for client, sid := range first {
			if len(rs.told[client]) != 1 || claimsOf(t, rs.told[client][0])["sid"] != sid {
				t.Errorf("%s: logout token of another session than %v", client, sid)
			}
			if got := frames[client].Get("sid"); got != sid {
				t.Errorf("%s: frame of the session %q, want %v", client, got, sid)
			}
		}
		for client, sid := range names() {
			if sid == nil || sid == first[client] {
				t.Errorf("%s: the next session is %v, too", client, sid)
			}
		}
	})
}

// mayBeShared are the members of what clients are told that say nothing of the
// user, or of the session no more than when it began and how.
var mayBeShared = []string{
	"iss", "aud", "typ", "alg", "kid", "scope", "token_type", "expires_in", "active", "iat", "exp", "auth_time", "acr", "amr", "events",
}

// note notes every value in something told to a client, with its name.
func note(told map[string]string, name string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for member, v := range value {
			if !slices.Contains(mayBeShared, member) {
				note(told, name+" "+member, v)
			}
		}
	case []any:
		for _, v := range value {
			note(told, name, v)
		}
	default:
		raw, _ := json.Marshal(value)
		told[string(raw)] = name
	}
}

// noteQuery is note for parameters.
func noteQuery(told map[string]string, name string, query url.Values) {
	for parameter, values := range query {
		if !slices.Contains(mayBeShared, parameter) {
			note(told, name+" "+parameter, values[0])
		}
	}
}

// everythingTold signs alice in at a client and returns all that it hears of her
// until the session has ended.
func everythingTold(t *testing.T, op *inProcess, client string) map[string]string {
	t.Helper()
	told := map[string]string{}
	got := op.authorize(t, codeRequest().with(params{
		"client_id": client, "response_type": "code id_token token", "scope": "openid offline_access",
		"state": "state of " + client, "nonce": "nonce of " + client,
	}))
	noteQuery(told, "response", got)
	tokens := op.token(t, redeem(got.Get("code")).with(params{"client_id": client}))
	refreshed := op.token(t, refreshRequest(tokens.text("refresh_token")).with(params{"client_id": client}))
	for name, a := range map[string]answer{"tokens": tokens, "refreshed": refreshed} {
		if a.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, a.Status, a.Raw)
		}
		note(told, name, a.Body)
	}
	for name, token := range map[string]string{
		"front-channel ID token": got.Get("id_token"), "front-channel access token": got.Get("access_token"),
		"ID token": tokens.text("id_token"), "access token": tokens.text("access_token"),
		"refreshed ID token": refreshed.text("id_token"), "refreshed access token": refreshed.text("access_token"),
	} {
		note(told, name, headerOf(t, token))
		note(told, name, claimsOf(t, token))
	}
	access := refreshed.text("access_token")
	note(told, "userinfo", op.answer(t, http.MethodGet, "/userinfo", nil, bearer(access)).Body)
	seen := op.answer(t, http.MethodPost, "/introspect", url.Values{"token": {access}}, asResourceServer)
	if seen.Body["active"] != true {
		t.Fatalf("introspection: %s", seen.Raw)
	}
	note(told, "introspection", seen.Body)
	return told
}

// TestNothingPairsSectors: of all that two sectors hear of one user's session,
// nothing is the same but what is the same for many (OIDC Core §17.3).
func TestNothingPairsSectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op, rs := receiving(t, 0, provider.Config{Clients: inSectors()}, nil)
		told := map[string]map[string]string{}
		clients := []string{"rp-0", "rp-2", "rp-public"}
		for _, client := range clients {
			told[client] = everythingTold(t, op, client)
		}
		frames := op.endsSession(t, op.joins(t, "rp-0"))
		for _, client := range clients {
			note(told[client], "logout token", claimsOf(t, rs.told[client][0]))
			noteQuery(told[client], "frame", frames[client])
			if len(told[client]) < 20 {
				t.Errorf("%s heard only of %v", client, told[client])
			}
		}
		for i, one := range clients {
			for _, other := range clients[i+1:] {
				for value, name := range told[one] {
					if there, shared := told[other][value]; shared {
						t.Errorf("%s has in its %s, and %s in its %s: %s", one, name, other, there, value)
					}
				}
			}
		}
	})
}

// TestSessionIsToldAsItWasKnown: a client hears of the end of the session under
// the names that it was told, whatever it is registered as by then.
func TestSessionIsToldAsItWasKnown(t *testing.T) {
	for _, before := range []string{"public", "pairwise"} {
		t.Run(before, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := storagetest.NewModel()
				rp := receiver("rp")
				rp.SubjectType = before
				op, _ := receiving(t, 0, provider.Config{Store: store, Clients: []provider.Client{rp}}, nil)
				known := claimsOf(t, op.joins(t, "rp"))
				rp.SubjectType = map[string]string{"public": "pairwise", "pairwise": "public"}[before]
				after, rs := receiving(t, 1, provider.Config{Store: store, Clients: []provider.Client{rp}}, nil)
				after.cookies = op.cookies
				after.signsOut(t, after.joins(t, "rp-0"))
				told := claimsOf(t, rs.told["rp"][0])
				if told["sid"] != known["sid"] || told["sub"] != known["sub"] {
					t.Errorf("told of %v's session %v, knows %v and %v", told["sub"], told["sid"], known["sub"], known["sid"])
				}
			})
		})
	}
}

// TestSessionClientOfBefore: an older store says of no client under which name
// it knows the session.
func TestSessionClientOfBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storagetest.NewModel()
		op, rs := receiving(t, 2, provider.Config{Store: store}, nil)
		idToken := op.joins(t, "rp-0")
		sid, _ := claimsOf(t, idToken)["sid"].(string)
		older := storage.SessionClient{SID: sid, ClientID: "rp-1", Subject: aliceSubject, ExpiresAt: time.Now().Add(time.Hour)}
		if err := store.Commit(t.Context(), storage.Changes{SessionClients: []storage.SessionClient{older}}); err != nil {
			t.Fatal(err)
		}
		op.signsOut(t, idToken)
		if got := claimsOf(t, rs.told["rp-1"][0])["sid"]; got != sid {
			t.Errorf("told of the session %v, want %s", got, sid)
		}
	})
}
