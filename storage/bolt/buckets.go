package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// kind is a bucket of records, as one byte in the keys of the expiry index.
// What expires at the same instant is swept in this order: a grant goes after
// all that came of it. The bytes are in files: new kinds come last.
type kind byte

const (
	codes kind = iota + 1
	accessTokens
	refreshTokens
	sessions
	grants
	consents
	keys
	clients
	onces
	pushedRequests
	deviceCodes
	sessionClients
)

// everyKind is all of them, as people may want to see them: what comes of a grant
// after it.
var everyKind = []kind{
	keys, clients, sessions, sessionClients, consents, grants, codes, accessTokens, refreshTokens,
	deviceCodes, pushedRequests, onces,
}

// expires reports whether records of a kind are in the expiry index.
func (k kind) expires() bool { return k != keys && k != clients && k != consents }

func (k kind) bucket() []byte {
	switch k {
	case codes:
		return []byte("code")
	case accessTokens:
		return []byte("access")
	case refreshTokens:
		return []byte("refresh")
	case sessions:
		return []byte("session")
	case grants:
		return []byte("grant")
	case consents:
		return []byte("consent")
	case keys:
		return []byte("key")
	case clients:
		return []byte("client")
	case onces:
		return []byte("once")
	case pushedRequests:
		return []byte("pushed")
	case deviceCodes:
		return []byte("device")
	case sessionClients:
		return []byte("sessionclient")
	default:
		panic(fmt.Sprintf("no such kind of record: %d", k))
	}
}

// String names a record of this kind in error messages.
func (k kind) String() string {
	switch k {
	case accessTokens:
		return "access token"
	case refreshTokens:
		return "refresh token"
	case onces:
		return "identifier"
	case pushedRequests:
		return "pushed request"
	case deviceCodes:
		return "device code"
	case sessionClients:
		return "session client"
	default:
		return string(k.bucket())
	}
}

// tx is a transaction that knows the bucket map.
type tx struct {
	*bbolt.Tx
	// written is set when there is something to commit.
	written bool
}

func (t *tx) has(k kind, key []byte) bool {
	return t.Bucket(k.bucket()).Get(key) != nil
}

// get returns the record under key; its memory is the caller's.
func get[T any](t *tx, k kind, key []byte) (record T, err error) {
	value := t.Bucket(k.bucket()).Get(key)
	if value == nil {
		return record, fmt.Errorf("%s: %w", k, storage.ErrNotFound)
	}
	return decode[T](k, value)
}

// recordOf decodes a stored value of any kind; key is where it belongs.
func recordOf(k kind, value []byte) (record any, key []byte, err error) {
	switch k {
	case codes:
		return recordAs(k, value, func(c storage.Code) []byte { return c.ID[:] })
	case accessTokens:
		return recordAs(k, value, func(a storage.AccessToken) []byte { return a.ID[:] })
	case refreshTokens:
		return recordAs(k, value, func(r storage.RefreshToken) []byte { return r.ID[:] })
	case sessions:
		return recordAs(k, value, func(s storage.Session) []byte { return s.ID[:] })
	case grants:
		return recordAs(k, value, func(g storage.Grant) []byte { return []byte(g.ID) })
	case consents:
		return recordAs(k, value, func(c storage.Consent) []byte { return ordered.Consent(c.ConsentID) })
	case keys:
		return recordAs(k, value, func(k storage.Key) []byte { return []byte(k.ID) })
	case clients:
		return recordAs(k, value, func(c storage.Client) []byte { return []byte(c.ID) })
	case onces:
		return recordAs(k, value, func(o storage.Once) []byte { return o.ID[:] })
	case pushedRequests:
		return recordAs(k, value, func(r storage.PushedRequest) []byte { return r.ID[:] })
	case deviceCodes:
		return recordAs(k, value, func(d storage.DeviceCode) []byte { return d.ID[:] })
	case sessionClients:
		return recordAs(k, value, func(c storage.SessionClient) []byte { return ordered.SessionClient(c.SID, c.ClientID) })
	default:
		return nil, nil, fmt.Errorf("no such kind of record: %d", k)
	}
}

func recordAs[T any](k kind, value []byte, key func(T) []byte) (any, []byte, error) {
	r, err := decode[T](k, value)
	return r, key(r), err
}

// change reads a record, lets f change it, and writes it back if f says that it
// did. What is missing is passed over.
func change[T any](t *tx, k kind, key []byte, f func(record *T) bool) error {
	record, err := get[T](t, k, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil || !f(&record) {
		return err
	}
	return t.update(k, key, record)
}

func (t *tx) put(k kind, key, value []byte) error {
	return t.store(k.bucket(), key, value)
}

// fullPage is how full bbolt leaves a page behind that it splits. Most keys begin with
// the time, so that nothing will come into it any more.
const fullPage = 0.9

// store puts a value into a bucket.
func (t *tx) store(name, key, value []byte) error {
	t.written = true
	bucket := t.Bucket(name)
	bucket.FillPercent = fullPage
	return bucket.Put(key, value)
}

// update writes a record that was read in this transaction and changed.
func (t *tx) update(k kind, key []byte, record any) error {
	value, err := encode(record)
	if err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	return t.put(k, key, value)
}

func (t *tx) remove(k kind, key []byte) error {
	t.written = true
	return t.Bucket(k.bucket()).Delete(key)
}

// counted returns a number in the meta bucket, zero if it was never written.
func (t *tx) counted(name []byte) (int, error) {
	value := t.Bucket(metaBucket).Get(name)
	if value == nil {
		return 0, nil
	}
	n, err := strconv.Atoi(string(value))
	if err != nil {
		return 0, fmt.Errorf("stored number of %s: %w", name, err)
	}
	return n, nil
}

// count adds to a number in the meta bucket.
func (t *tx) count(name []byte, by int) error {
	n, err := t.counted(name)
	if err != nil {
		return err
	}
	t.written = true
	return t.Bucket(metaBucket).Put(name, strconv.AppendInt(nil, int64(n+by), 10))
}

// keysUnder returns the keys of a bucket that begin with a prefix, in their
// order. They are the caller's: the bucket may be changed while they are used.
func (t *tx) keysUnder(bucket, prefix []byte) (all [][]byte) {
	cursor := t.Bucket(bucket).Cursor()
	for key, _ := cursor.Seek(prefix); key != nil && bytes.HasPrefix(key, prefix); key, _ = cursor.Next() {
		all = append(all, bytes.Clone(key))
	}
	return all
}
