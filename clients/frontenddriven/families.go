package frontenddriven

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/oidclab/oidclab/clients/internal/backchannel"
	"github.com/oidclab/oidclab/clients/internal/records"
)

// family is one login: what the backend holds of the provider's, tied to the one
// refresh token of the application that is good at the moment.
type family struct {
	ID         string          `json:"id"`
	Subject    string          `json:"sub"`
	SID        string          `json:"sid"` // of the provider's session, "" if it did not say
	Began      time.Time       `json:"began"`
	RefreshJTI string          `json:"refresh_jti"`    // of the current application refresh token; all older ones are used
	ProviderRT string          `json:"provider_token"` // the provider's current refresh token
	IDToken    string          `json:"id_token"`       // the provider's latest, for logout
	Nonce      string          `json:"nonce"`          // of the login
	Claims     json.RawMessage `json:"claims"`         // what UserInfo said last
	Expires    time.Time       `json:"expires"`        // the end, which nothing moves
}

// families keeps the logins. A record lives as long as its family may.
type families struct {
	records *records.Records[family]

	mu    sync.Mutex
	locks map[string]*familyLock
}

type familyLock struct {
	sync.Mutex
	waiting int
}

func openFamilies(db *records.DB) (*families, error) {
	r, err := records.Bucket[family](db, "families")
	return &families{records: r, locks: map[string]*familyLock{}}, err
}

// lock makes the caller the only one who works on a family, so that a refresh
// token which is sent twice at the same time is seen twice, one after the other.
// One process at a time has the file, so a lock in memory is enough.
func (f *families) lock(id string) (unlock func()) {
	f.mu.Lock()
	l := f.locks[id]
	if l == nil {
		l = &familyLock{}
		f.locks[id] = l
	}
	l.waiting++
	f.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		f.mu.Lock()
		defer f.mu.Unlock()
		if l.waiting--; l.waiting == 0 {
			delete(f.locks, id)
		}
	}
}

func (f *families) save(fam family) error          { return f.records.Put(fam.ID, fam, fam.Expires) }
func (f *families) load(id string) (family, error) { return f.records.Get(id) }
func (f *families) end(id string) error            { return f.records.Delete(id) }

// signIn is the family in the words of a logout by the back channel.
func (f family) signIn() backchannel.SignIn {
	return backchannel.SignIn{SID: f.SID, Subject: f.Subject, Began: f.Began}
}

// drop forgets what is held of the provider's in the families that a logout there
// concerns. What remains says why they are over. One that is being renewed is
// waited for, or the renewal would bring back the tokens.
func (f *families) drop(_ context.Context, logout backchannel.Logout) error {
	return f.records.Each(func(fam family) error {
		if !logout.Concerns(fam.signIn()) {
			return nil
		}
		defer f.lock(fam.ID)()
		err := f.records.Update(fam.ID, func(kept *family) error {
			kept.ProviderRT, kept.IDToken, kept.Claims = "", "", nil
			return nil
		})
		if errors.Is(err, records.ErrNotFound) {
			return nil // it ended meanwhile
		}
		return err
	})
}
