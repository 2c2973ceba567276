package frontenddriven_test

import (
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
)

func TestMain(m *testing.M) { browsertest.Main(m) }
