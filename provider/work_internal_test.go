package provider

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// TestReadOnce: what was read of a handle stays as it was, an error too, and is that
// of no other handle.
func TestReadOnce(t *testing.T) {
	reads := 0
	read := func(_ context.Context, id storage.Digest) (storage.Code, storage.Grant, error) {
		reads++
		if id == recordID("none") {
			return storage.Code{}, storage.Grant{}, storage.ErrNotFound
		}
		return storage.Code{ID: id}, storage.Grant{}, nil
	}
	var once *readOnce[storage.Code]
	for i, tt := range []struct {
		handle string
		reads  int
	}{{"one", 1}, {"one", 1}, {"none", 2}, {"none", 2}, {"one", 3}} {
		once = once.get(t.Context(), tt.handle, read)
		if none := tt.handle == "none"; reads != tt.reads || errors.Is(once.err, storage.ErrNotFound) != none || (once.record.ID == recordID(tt.handle)) == none {
			t.Errorf("%d, %s: read %d times, %v, %v", i, tt.handle, reads, once.record.ID, once.err)
		}
	}
}

// TestWorkOutlivesItsRequest: a client that hangs up undoes nothing of what was decided,
// and who writes nothing does not ask the store.
func TestWorkOutlivesItsRequest(t *testing.T) {
	store := storagetest.NewModel()
	p := &Provider{store: store}
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	mustCommit(t, store, storage.Changes{Grants: []storage.Grant{{ID: "revoked"}}})

	_, success := p.begin(t.Context())
	success.onSuccess.Grants = []storage.Grant{{ID: "made"}}
	_, failure := p.begin(t.Context())
	failure.revoke("revoked")
	spend := func(ctx context.Context) error { return p.spendOnce(ctx, "kind", "id", time.Now().Add(time.Hour)) }
	for what, err := range map[string]error{"commit": success.commit(gone), "abort": failure.abort(gone), "spend": spend(gone)} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := store.Grant(t.Context(), "made"); err != nil {
		t.Error(err)
	}
	if grant, err := store.Grant(t.Context(), "revoked"); err != nil || grant.RevokedAt.IsZero() {
		t.Errorf("%+v, %v", grant, err)
	}
	if err := spend(t.Context()); !errors.Is(err, storage.ErrSeen) {
		t.Errorf("spent twice: %v", err)
	}

	nothing := &work{} // and no store
	if err := errors.Join(nothing.commit(t.Context()), nothing.abort(t.Context())); err != nil {
		t.Error(err)
	}
}

// TestOnceIDs: one identifier of two kinds is two, however kind and identifier are divided.
func TestOnceIDs(t *testing.T) {
	seen := map[storage.Digest]bool{}
	for _, pair := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}, {"b", "bc"}, {"a", "bd"}} {
		id := onceID(pair[0], pair[1])
		if seen[id] {
			t.Errorf("%q is another's", pair)
		}
		seen[id] = true
	}
}

// TestRequestsOfAGrantShareNothing: what a handler of the engine adds to one of them is in
// no other.
func TestRequestsOfAGrantShareNothing(t *testing.T) {
	store := storagetest.NewModel()
	p := cachingProvider(store)
	mustCommit(t, store, storage.Changes{Clients: []storage.Client{clientRecord(t, "id", "first")}})
	ctx, _ := p.begin(t.Context())
	room := func(value string) []string { return append(make([]string, 0, 4), value) }
	grant := storage.Grant{ClientID: "id", Subject: "id", Scopes: room("openid"), Audience: room("https://api")}
	var requests []*fosite.Request
	for range 2 {
		req, err := engineStore{p}.request(ctx, grant)
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, req)
	}
	requests[0].GrantScope("first")
	requests[0].GrantAudience("https://first")
	requests[1].GrantScope("second")
	requests[1].GrantAudience("https://second")
	got := [][]string{requests[0].GetGrantedScopes(), requests[0].GetGrantedAudience()}
	if diff := cmp.Diff([][]string{{"openid", "first"}, {"https://api", "https://first"}}, got); diff != "" {
		t.Errorf("the first one (-want +got):\n%s", diff)
	}
}
