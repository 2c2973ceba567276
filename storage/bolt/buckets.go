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

	// What finds records by another name, in which no record stands.

	sids
	sessionGrants
	userCodes
	origins
)

// everyKind is all of them, as people may want to see them: what comes of a grant
// after it.
var everyKind = []kind{
	keys, clients, sessions, sessionClients, consents, grants, codes, accessTokens, refreshTokens,
	deviceCodes, pushedRequests, onces,
}

// everyIndex is all that find them, but for the expiry index.
var everyIndex = []kind{sessionGrants, sids, userCodes, origins}

// expires reports whether records of a kind are in the expiry index.
func (k kind) expires() bool { return k < sids && k != keys && k != clients && k != consents }

// buckets are the buckets of the kinds. Those of issued ones were theirs before schema 6.
var buckets = [...][]byte{
	codes:          []byte("code"),
	accessTokens:   []byte("access"),
	refreshTokens:  []byte("refresh"),
	sessions:       []byte("session"),
	grants:         []byte("grant"),
	consents:       []byte("consent"),
	keys:           []byte("key"),
	clients:        []byte("client"),
	onces:          []byte("once"),
	pushedRequests: []byte("pushed"),
	deviceCodes:    []byte("device"),
	sessionClients: []byte("sessionclient"),
	sids:           []byte("sid"),
	sessionGrants:  []byte("sessiongrant"),
	userCodes:      []byte("usercode"),
	origins:        []byte("origin"),
}

func (k kind) bucket() []byte { return buckets[k] }

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
	// older says that the file is not yet of schema 6: every kind has a bucket of
	// its own, and every record that expires an entry of its own.
	older bool
	// stage is where the buckets are while a file is brought up to date; see move.
	stage *bbolt.Bucket
	// written is set when there is something to commit.
	written bool
	// spans are those of which something may expire earlier than the index says;
	// see noteSpans.
	spans map[span]bound
	// issued looks things up in the bucket of issued records: bbolt makes a cursor for
	// every Get, this one is used again.
	issued *bbolt.Cursor
}

// fullPage is how full bbolt leaves a page behind that it splits. Most keys begin with
// the time, so that nothing will come into it any more. One that is half as full when
// something is removed from it is put together with its neighbour.
const fullPage = 0.9

// open returns a bucket, nil if the file does not have it.
func (t *tx) open(name []byte) *bbolt.Bucket {
	var bucket *bbolt.Bucket
	if t.stage == nil {
		bucket = t.Bucket(name)
	} else {
		bucket = t.stage.Bucket(name)
	}
	if bucket != nil {
		bucket.FillPercent = fullPage
	}
	return bucket
}

// of returns the bucket that a kind is in.
func (t *tx) of(k kind) *bbolt.Bucket {
	if t.issues(k) {
		return t.open(issuedBucket)
	}
	return t.open(k.bucket())
}

// at returns the key in that bucket of what has this key among its kind.
func (t *tx) at(k kind, key []byte) []byte {
	if t.issues(k) {
		return issuedKey(k, key)
	}
	return key
}

// stored returns what is stored under a key of the bucket, nil if nothing is.
func (t *tx) stored(k kind, at []byte) []byte {
	if !t.issues(k) {
		return t.of(k).Get(at)
	}
	if t.issued == nil {
		t.issued = t.of(k).Cursor()
	}
	found, stored := t.issued.Seek(at)
	if !bytes.Equal(found, at) {
		return nil
	}
	return stored
}

func (t *tx) has(k kind, key []byte) bool {
	return t.stored(k, t.at(k, key)) != nil
}

// get returns the record under key; its memory is the caller's.
func get[T any](t *tx, k kind, key []byte) (record T, err error) {
	stored := t.stored(k, t.at(k, key))
	if stored == nil {
		return record, fmt.Errorf("%s: %w", k, storage.ErrNotFound)
	}
	return decode[T](k, t.bare(k, stored))
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
// did. What is missing is passed over. When it expires does not change.
func change[T any](t *tx, k kind, key []byte, f func(record *T) bool) error {
	record, err := get[T](t, k, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil || !f(&record) {
		return err
	}
	return t.update(k, key, &record)
}

// put writes what is new, or takes the place of what is there.
func (t *tx) put(k kind, at, value []byte) error {
	t.written = true
	return t.of(k).Put(at, value)
}

// update writes a record that was read in this transaction and changed. When it
// expires does not change.
func (t *tx) update(k kind, key []byte, record any) error {
	value, err := appendRecord(nil, k, record)
	if err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	at := t.at(k, key)
	if k.issued() {
		copy(value[:ordered.InstantSize], t.stored(k, at))
	}
	return t.put(k, at, value)
}

func (t *tx) remove(k kind, key []byte) error {
	t.written = true
	return t.of(k).Delete(t.at(k, key))
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

// keysUnder returns the keys of a kind that begin with a prefix, in their order. Of
// an issued kind, the prefix must have the whole first name. They are the caller's:
// the bucket may be changed while they are used.
func (t *tx) keysUnder(k kind, prefix []byte) (all [][]byte) {
	cursor := t.of(k).Cursor()
	from := t.at(k, prefix)
	for at, _ := cursor.Seek(from); at != nil && bytes.HasPrefix(at, from); at, _ = cursor.Next() {
		all = append(all, bytes.Clone(at[len(from)-len(prefix):]))
	}
	return all
}

// each calls do for all that there is of a kind.
func (t *tx) each(k kind, do func(key, stored []byte) error) error {
	bucket := t.of(k)
	if bucket == nil {
		return nil // a later version of the file has it
	}
	return bucket.ForEach(func(at, stored []byte) error {
		if !t.issues(k) {
			return do(at, stored)
		}
		if len(at) <= issuedPrefix || kind(at[timeSize]) != k {
			return nil
		}
		return do(at[issuedPrefix:], stored)
	})
}
