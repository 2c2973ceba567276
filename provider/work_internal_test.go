package provider

import (
	"context"
	"errors"
	"testing"

	"github.com/oidclab/oidclab/storage"
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
