package provider_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
)

// TestReadme: the README's section on what is supported names every value that
// the metadata document announces, and every endpoint in it. The claims of the
// userinfo stand for their scopes there.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "\n## What is supported\n")
	if !found {
		t.Fatal("there is no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	op := serving(t, provider.Config{FixedKeys: fixedKeys()})
	document := op.answer(t, http.MethodGet, openIDConfiguration, nil, nil).Body
	for member, value := range document {
		switch v := value.(type) {
		case string:
			path := strings.TrimPrefix(v, "http://op.localhost")
			if path != "" && !strings.Contains(section, "`"+path+"`") {
				t.Errorf("%s: %s is not in the README", member, path)
			}
		case []any:
			for _, item := range v {
				if member != "claims_supported" && !strings.Contains(section, "`"+item.(string)+"`") {
					t.Errorf("%s: %s is not in the README", member, item)
				}
			}
		}
	}
}
