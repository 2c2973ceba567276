package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/oidclab/oidclab/storage"
)

var lifecycleRules = []rule{
	{"an open store answers Ping", func(f *fixture) { f.equal("Ping", f.store.Ping(f.Context()), nil) }},
	{"a closed store answers ErrClosed", closed},
	{"closing again does nothing", func(f *fixture) {
		f.equal("first", f.store.Close(), nil)
		f.equal("second", f.store.Close(), nil)
	}},
	{"commits meet Close", closeMeanwhile},
	{"nothing is done for a context that has ended", ended},
}

// calls are all methods that can fail.
func calls(ctx context.Context, s storage.Store) map[string]error {
	errs := map[string]error{}
	_, errs["Grant"] = s.Grant(ctx, "grant")
	_, _, errs["Code"] = s.Code(ctx, storage.DigestOf("code"))
	_, _, errs["AccessToken"] = s.AccessToken(ctx, storage.DigestOf("access"))
	_, _, errs["RefreshToken"] = s.RefreshToken(ctx, storage.DigestOf("refresh"))
	_, errs["Session"] = s.Session(ctx, storage.DigestOf("session"))
	_, errs["Consent"] = s.Consent(ctx, "alice", "client")
	_, errs["SessionClients"] = s.SessionClients(ctx, "sid of session")
	_, errs["Client"] = s.Client(ctx, "client")
	_, errs["Clients"] = s.Clients(ctx)
	_, errs["HasOrigin"] = s.HasOrigin(ctx, "https://client.example")
	_, errs["Seen"] = s.Seen(ctx, storage.DigestOf("once"))
	_, errs["PushedRequest"] = s.PushedRequest(ctx, storage.DigestOf("pushed"))
	_, errs["DeviceCode"] = s.DeviceCode(ctx, storage.DigestOf("device"))
	_, errs["DeviceCodeOf"] = s.DeviceCodeOf(ctx, "user code of device")
	_, errs["Keys"] = s.Keys(ctx)
	_, errs["KeysVersion"] = s.KeysVersion(ctx)
	errs["Commit"] = s.Commit(ctx, storage.Changes{At: start, DeleteKeys: []string{"key"}})
	errs["empty Commit"] = s.Commit(ctx, storage.Changes{})
	_, errs["Sweep"] = s.Sweep(ctx, start.Add(always), 10)
	errs["Ping"] = s.Ping(ctx)
	return errs
}

func closed(f *fixture) {
	f.commit(oneOfEach())
	f.equal("Close", f.store.Close(), nil)
	for name, err := range calls(f.Context(), f.store) {
		f.wants(name, err, storage.ErrClosed)
	}
}

func ended(f *fixture) {
	f.commit(oneOfEach())
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	for name, err := range calls(ctx, f.store) {
		f.wants(name, err, context.Canceled)
	}
	f.holdsOneOfEach()
}

// closeMeanwhile closes the store under commits: each of them is done or
// refused.
func closeMeanwhile(f *fixture) {
	var begun, done sync.WaitGroup
	for racer := range racers {
		begun.Add(1)
		done.Go(func() {
			for n := range 1000 {
				err := f.store.Commit(f.Context(), storage.Changes{Keys: []storage.Key{newKey(fmt.Sprintf("%d/%d", racer, n))}})
				if n == 0 {
					begun.Done()
				}
				if errors.Is(err, storage.ErrClosed) {
					return
				}
				if err != nil {
					f.Errorf("Commit: %v", err)
					return
				}
			}
		})
	}
	begun.Wait()
	f.equal("Close", f.store.Close(), nil)
	done.Wait()
}
