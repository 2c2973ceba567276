package storagetest_test

import (
	"testing"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

func TestModel(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return storagetest.NewModel() })
}
