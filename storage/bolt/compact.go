package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"go.etcd.io/bbolt"
)

// compactTransaction bounds what compacting keeps in memory, in bytes.
const compactTransaction = 4 << 20

// Compact writes the records of the file at path to a new one without free pages,
// and puts it in the place of the old one: in one step, so that whenever the
// process or the power ends, a whole file is there. It returns the sizes before
// and after. Nobody else can use the file meanwhile.
func Compact(path string) (before, after int64, err error) {
	// 1. A link would be replaced by a file.
	path, err = filepath.EvalSymlinks(path)
	if err != nil {
		return 0, 0, fmt.Errorf("store %s: %w", path, err)
	}
	f, err := Inspect(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before, after, err = f.compact(path)
	if err != nil {
		return 0, 0, fmt.Errorf("store %s: %w", path, err)
	}
	return before, after, nil
}

func (f *File) compact(path string) (before, after int64, err error) {
	// 2. It is ours alone, and in order: what is damaged would be lost for good.
	//    Nor has another compaction put its copy in the place meanwhile: what a process has
	//    written there since would be lost.
	if err := lockAlone(f.file); err != nil || replaced(path, f.file) {
		return 0, 0, heldBy(path)
	}
	if problems := f.Check(); len(problems) > 0 {
		return 0, 0, fmt.Errorf("%w: %w", ErrDamaged, problems[0])
	}
	info, err := f.file.Stat()
	if err != nil {
		return 0, 0, err
	}

	// 3. The copy, beside it. One that a compaction left behind which did not end
	//    is nobody's.
	copied := path + ".compact"
	if err := os.Remove(copied); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, err
	}
	defer os.Remove(copied) // gone after the rename
	if err := f.copyTo(copied, info); err != nil {
		return 0, 0, err
	}
	size, err := os.Stat(copied)
	if err != nil {
		return 0, 0, err
	}

	// 4. The step. Windows renames over no file that is open.
	if runtime.GOOS == "windows" {
		if err := f.Close(); err != nil {
			return 0, 0, err
		}
	}
	if err := os.Rename(copied, path); err != nil {
		return 0, 0, err
	}
	return info.Size(), size.Size(), syncDir(filepath.Dir(path))
}

// copyTo writes the records to a new file, which is on disk and in order when it
// returns.
func (f *File) copyTo(path string, like os.FileInfo) error {
	db, err := bbolt.Open(path, like.Mode().Perm(), &bbolt.Options{
		NoSync: true, NoGrowSync: true, FreelistType: bbolt.FreelistMapType, Timeout: lockWait,
	})
	if err != nil {
		return err
	}
	err = recovered(func() error { return bbolt.Compact(db, f.db, compactTransaction) })
	if err == nil {
		err = db.Sync()
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := likeOld(path, like); err != nil {
		return err
	}
	written, err := Inspect(path)
	if err != nil {
		return err
	}
	problems := written.Check()
	return errors.Join(append(problems, written.Close())...)
}
