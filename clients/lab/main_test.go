package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/provider/localtls"
)

// localCA certifies the labs that speak https. The browser believes it.
var localCA *localtls.CA

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "labtest")
	if err == nil {
		localCA, err = localtls.Open(filepath.Join(dir, "ca"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "no local CA:", err)
		os.Exit(1)
	}
	browsertest.Main(m, localCA.Certificate)
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, "removing the local CA:", err)
	}
}
