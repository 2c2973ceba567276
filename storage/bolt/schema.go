package bolt

import (
	"errors"
	"fmt"
	"strconv"

	"go.etcd.io/bbolt"
)

// Schema is the version of the bucket map in doc.go. Raise it with every
// change that an older program would misread.
const Schema = 6

var (
	metaBucket = []byte("meta")
	schemaKey  = []byte("schema")
	// clientsKey has how many clients there are, keysVersionKey how many commits
	// have changed keys.
	clientsKey     = []byte("clients")
	keysVersionKey = []byte("keysversion")
)

var errForeign = errors.New("not a store of this program")

// migrations bring a file from each version to the next, but for the last one: see move.
// An empty file has version 0, so a new one goes the way of an old one.
var migrations = [issuedSchema - 1]func(t *tx) error{layOut, addIndexes, addSIDs, addOrigins, pack}

// layOut makes the buckets of version 1.
func layOut(t *tx) error {
	for _, name := range [][]byte{metaBucket, expiryBucket} {
		if _, err := t.CreateBucket(name); err != nil {
			return err
		}
	}
	return t.create(codes, accessTokens, refreshTokens, sessions, grants, consents, keys)
}

// addIndexes makes the buckets that version 2 added, and notes the grants of
// version 1 under their sessions.
func addIndexes(t *tx) error {
	if err := t.create(sessionGrants, userCodes, clients, onces, pushedRequests, deviceCodes, sessionClients); err != nil {
		return err
	}
	return t.enterAll(grants)
}

// addSIDs makes the bucket that version 3 added, and notes the sessions of
// before under their "sid". Requests that were pushed before are forgotten: which of
// them were answered, version 2 noted elsewhere than we look.
func addSIDs(t *tx) error {
	if err := t.create(sids); err != nil {
		return err
	}
	for _, key := range t.keysUnder(pushedRequests, nil) {
		if err := t.endNow(pushedRequests, key); err != nil {
			return err
		}
	}
	return t.enterAll(sessions)
}

// addOrigins makes the bucket that version 4 added, and counts the clients. Which
// origins the clients of before have is not in their records: the provider knows.
func addOrigins(t *tx) error {
	if err := t.create(origins); err != nil {
		return err
	}
	return t.count(clientsKey, len(t.keysUnder(clients, nil)))
}

// pack marks the file: from version 5 on, records are written that older programs cannot
// read (codec.go). Those that are there stay as they are.
func pack(*tx) error { return nil }

// enterAll makes the entries of all records of a kind.
func (t *tx) enterAll(k kind) error {
	return t.each(k, func(key, _ []byte) error {
		entries, err := t.entriesOf(k, key)
		if err != nil {
			return err
		}
		return t.enter(entries)
	})
}

func (t *tx) create(kinds ...kind) error {
	for _, k := range kinds {
		if _, err := t.CreateBucket(k.bucket()); err != nil {
			return err
		}
	}
	return nil
}

// knownSchema returns the version of a file, and refuses one that is not ours to read.
func knownSchema(db *bbolt.DB) (version int, err error) {
	err = db.View(func(t *bbolt.Tx) (err error) {
		version, err = schemaOf(t)
		return err
	})
	if err == nil && version > Schema {
		err = newerSchema(version)
	}
	return version, err
}

// initialise lays out a new file, and brings an old one up to date.
func initialise(db *bbolt.DB, version int, part int64) error {
	if version == Schema {
		return nil
	}
	if err := bringUpToDate(db, version, part); err != nil {
		return fmt.Errorf("bring the file from schema %d to %d: %w", version, Schema, err)
	}
	return nil
}

// bringUpToDate goes the whole way: to version 5 in one transaction, in which the first part
// of the rest has room, and on from there.
func bringUpToDate(db *bbolt.DB, version int, part int64) error {
	m := &move{part: part}
	update := func(step func(t *tx) error) error {
		return db.Update(func(bt *bbolt.Tx) error {
			if err := step(&tx{Tx: bt, older: true}); err != nil {
				return fmt.Errorf("from schema %d: %w", version, err)
			}
			return nil
		})
	}
	err := update(func(t *tx) error {
		for ; version < issuedSchema-1; version++ {
			if err := migrations[version](t); err != nil {
				return err
			}
		}
		return errors.Join(t.setSchema(version), m.begin(t))
	})
	for err == nil && m.more {
		err = update(m.some)
	}
	if err != nil {
		return err
	}
	return update(m.arrive)
}

func (t *tx) setSchema(version int) error {
	return t.Bucket(metaBucket).Put(schemaKey, []byte(strconv.Itoa(version)))
}

func newerSchema(version int) error {
	return fmt.Errorf("written by a newer version of the program (schema %d, this one knows %d)", version, Schema)
}

// schemaOf returns the version of a file, 0 for an empty one.
func schemaOf(t *bbolt.Tx) (int, error) {
	meta := t.Bucket(metaBucket)
	if meta == nil {
		// Buckets without ours: another program's file, which must not be
		// written to.
		if name, _ := t.Cursor().First(); name != nil {
			return 0, errForeign
		}
		return 0, nil
	}
	version, err := strconv.Atoi(string(meta.Get(schemaKey)))
	if err != nil || version < 1 {
		return 0, errForeign
	}
	return version, nil
}
