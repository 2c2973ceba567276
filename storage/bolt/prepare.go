package bolt

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// maxKey is the longest identifier; bbolt's own limit is 32 KiB.
const maxKey = 4096

// row is a record on its way into its bucket.
type row struct {
	kind    kind
	key     []byte
	grantID string    // of a code or token: the grant that it comes of
	expires time.Time // of a code or refresh token: unset, the grant decides
	value   []byte
}

// prepare encodes what a Changes writes, so that the writer need not, and
// refuses what could not be written: one caller's mistake must not fail the
// transaction of others.
func prepare(c storage.Changes) (*commit, error) {
	w := &commit{
		Changes:  c,
		inserted: map[string]storage.Grant{},
		stored:   map[string]storage.Grant{},
	}
	var errs []error
	encode := func(r row, record any) row {
		var err error
		if r.value, err = json.Marshal(record); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.kind, err))
		}
		if len(r.key) == 0 || len(r.key) > maxKey {
			errs = append(errs, fmt.Errorf("%s: identifier of %d bytes", r.kind, len(r.key)))
		}
		return r
	}
	for _, g := range c.Grants {
		w.inserted[g.ID] = g
		w.inserts = append(w.inserts, encode(row{kind: grants, key: []byte(g.ID), expires: g.ExpiresAt}, g))
	}
	for _, x := range c.Codes {
		w.inserts = append(w.inserts, encode(row{kind: codes, key: digestKey(x.ID), grantID: x.GrantID}, x))
	}
	for _, a := range c.AccessTokens {
		w.inserts = append(w.inserts, encode(row{kind: accessTokens, key: digestKey(a.ID), grantID: a.GrantID, expires: a.ExpiresAt}, a))
	}
	for _, r := range c.RefreshTokens {
		w.inserts = append(w.inserts, encode(row{kind: refreshTokens, key: digestKey(r.ID), grantID: r.GrantID}, r))
	}
	for _, s := range c.Sessions {
		w.upserts = append(w.upserts, encode(row{kind: sessions, key: digestKey(s.ID), expires: s.ExpiresAt}, s))
	}
	for _, x := range c.Consents {
		w.upserts = append(w.upserts, encode(row{kind: consents, key: consentKey(x.ConsentID)}, x))
	}
	for _, k := range c.Keys {
		w.upserts = append(w.upserts, encode(row{kind: keys, key: []byte(k.ID)}, k))
	}
	return w, errors.Join(append(errs, checkAt(&c))...)
}

// checkAt refuses Changes that stamp a record without saying when: a zero
// UsedAt would leave a redeemed code unused.
func checkAt(c *storage.Changes) error {
	stamps := !c.RedeemCode.IsZero() || !c.RotateRefreshToken.IsZero() ||
		len(c.RevokeGrants)+len(c.RevokeAccessTokens) > 0
	if stamps && c.At.IsZero() {
		return errors.New("changes without a time")
	}
	if _, err := c.At.MarshalJSON(); err != nil {
		return fmt.Errorf("changes: %w", err)
	}
	return nil
}
