package bolt

import (
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// File is a store's file that is looked at while no process has it as its store.
// Nothing in it changes.
type File struct {
	// Schema is the version of its bucket map, at most Schema.
	// An older one is not brought up to date: Open does that.
	Schema int

	db     *bbolt.DB
	file   *os.File
	layout *layout
}

// ErrDamaged says that a file cannot be read in the way it was asked for. Check
// has the details.
var ErrDamaged = errors.New("the file is damaged")

// Inspect opens a file to look at it. It fails with an InUseError while a process
// has it as its store, and refuses what is no store of ours, or a newer program's.
// A damaged one it opens as long as one of its two meta pages is good.
func Inspect(path string) (*File, error) {
	f, err := inspect(path)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	return f, nil
}

func inspect(path string) (*File, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.Size() == 0 { // bbolt would begin one
		return nil, errors.New("the file is empty")
	}
	f := &File{}
	var err error
	f.db, f.file, err = openBolt(path, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	if f.layout, err = walk(f.file, f.db.Info().PageSize); err == nil && len(f.layout.damage) == 0 {
		err = f.view(func(t *tx) (err error) {
			f.Schema, err = schemaOf(t.Tx)
			return err
		})
	}
	switch {
	case err == nil && len(f.layout.damage) == 0 && f.Schema == 0:
		err = errForeign
	case err == nil && f.Schema > Schema:
		err = newerSchema(f.Schema)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openBolt opens the file with bbolt, which panics on some damage.
func openBolt(path string, o *bbolt.Options) (db *bbolt.DB, file *os.File, err error) {
	o.Timeout = lockWait
	o.FreelistType = bbolt.FreelistMapType
	o.OpenFile = func(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
		file, err = os.OpenFile(path, flag, mode)
		return file, err
	}
	err = recovered(func() (err error) {
		db, err = bbolt.Open(path, 0o600, o)
		return err
	})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, nil, heldBy(path)
	}
	if _, panicked := errors.AsType[*panicError](err); panicked {
		return nil, nil, errors.Join(fmt.Errorf("%w: %w", ErrDamaged, err), release(file))
	}
	return db, file, err
}

// Close lets others use the file.
func (f *File) Close() error { return f.db.Close() }

// view reads the file; what panics is damage that a walk does not see.
func (f *File) view(do func(*tx) error) error {
	if len(f.layout.damage) > 0 {
		return fmt.Errorf("%w: %w", ErrDamaged, f.layout.damage[0])
	}
	err := recovered(func() error {
		return f.db.View(func(t *bbolt.Tx) error { return do(&tx{Tx: t, older: f.Schema < issuedSchema}) })
	})
	if _, panicked := errors.AsType[*panicError](err); panicked {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// each calls do for every record of every kind that the file has.
func (f *File) each(t *tx, do func(k kind, key, stored []byte) error) error {
	for _, k := range everyKind {
		if err := t.each(k, func(key, stored []byte) error { return do(k, key, stored) }); err != nil {
			return err
		}
	}
	return nil
}
