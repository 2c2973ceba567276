package bolt

import (
	"errors"
	"fmt"
	"strconv"

	"go.etcd.io/bbolt"
)

// schema is the version of the bucket map in doc.go. Raise it with every
// change that an older program would misread.
const schema = 1

var (
	metaBucket = []byte("meta")
	schemaKey  = []byte("schema")
)

var errForeign = errors.New("not a store of this program")

// initialise lays out a new file and refuses one that is not ours to read.
func initialise(db *bbolt.DB) error {
	version := 0
	err := db.View(func(t *bbolt.Tx) (err error) {
		version, err = schemaOf(t)
		return err
	})
	switch {
	case err != nil:
		return err
	case version > schema:
		return fmt.Errorf("written by a newer version of the program (schema %d, this one knows %d)", version, schema)
	case version == schema:
		return nil
	}
	return db.Update(func(t *bbolt.Tx) error {
		for _, k := range kinds {
			if _, err := t.CreateBucket(k.bucket()); err != nil {
				return err
			}
		}
		if _, err := t.CreateBucket(expiryBucket); err != nil {
			return err
		}
		meta, err := t.CreateBucket(metaBucket)
		if err != nil {
			return err
		}
		return meta.Put(schemaKey, []byte(strconv.Itoa(schema)))
	})
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
